"""One comparison's predictions -> what is known of its variants and what isn't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.stats.differences import Difference
    from bench.stats.intervals import Interval
    from bench.stats.outcomes import Outcomes
    from bench.stats.pareto import Front
    from bench.stats.summaries import Comparison


@dataclass(frozen=True, eq=False)
class Analysis:
    """What one comparison says; index i is comparison.summaries[i].

    `missing` tells in words whose predictions couldn't be read, and why. `differences` are against the summary
    `reference`, None for itself. `top` are those that can't be told from the best. `detectable` is the smallest
    difference in accuracy that would have been found with 80% power. `clustered`: the intervals take passages of one
    document together; else they are given these passages.
    """

    comparison: Comparison
    outcomes: tuple[Outcomes | None, ...]
    missing: tuple[str, ...]
    accuracy: tuple[Interval | None, ...]
    macro_f1: tuple[Interval | None, ...]
    reference: int | None
    differences: tuple[Difference | None, ...]
    top: frozenset[int]
    detectable: float | None
    clustered: bool
    fronts: tuple[Front, ...]
