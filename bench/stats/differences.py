"""Variants against a reference, on the same seeds and the same test examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.stats.intervals import Interval

Verdict = Literal["better", "worse", "no difference found", "equivalent"]


@dataclass(frozen=True)
class Difference:
    """A variant's accuracy minus the reference's, over the seeds that both have.

    `p` is the level at which the interval would just exclude 0; `p_holm` is p adjusted for all of the comparison's
    differences, and "better" and "worse" go by it. "equivalent": the interval lies wholly within ±1 point.
    """

    mean: float
    interval: Interval
    p: float
    p_holm: float
    verdict: Verdict
