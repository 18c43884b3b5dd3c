"""Which variants no other beats in accuracy at the same or a lower cost, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cost = Literal["live_peak_bytes", "trainable", "train_s", "eval_tokens_per_s"]


@dataclass(frozen=True)
class Front:
    """The Pareto front of accuracy against one cost; lower costs are better, but for eval_tokens_per_s.

    By the summary's place: `costs`, None where the records don't tell; `shares`, the share of bootstrap draws of seeds
    and test examples in which the variant is on the front, None where it has no cost or no predictions.
    """

    cost: Cost
    costs: tuple[float | None, ...]
    members: frozenset[int]
    shares: tuple[float | None, ...]
