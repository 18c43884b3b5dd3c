"""How sure an estimate is: seeds and test examples are both drawn by chance, and there are few seeds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval, its ends in the estimate's own unit: for accuracy -1 to 1, never points."""

    low: float
    high: float
