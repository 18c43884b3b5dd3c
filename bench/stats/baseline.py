"""The variants against a baseline whose predictions are fixed: no seed moves it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.stats import jackknife
from bench.stats.differences import judged
from bench.stats.families import holm
from bench.stats.intervals import LEVEL, of_each
from bench.stats.moderation import Prior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.stats.differences import Difference
    from bench.stats.intervals import Figures, Interval
    from bench.stats.jackknife import Sample
    from bench.stats.outcomes import Outcomes


@dataclass(frozen=True)
class Against:
    """How sure the baseline's scores are, given what it was fitted to, and each variant's accuracy minus its own.

    `figures` are these differences before they are judged.
    """

    accuracy: Interval | None
    macro_f1: Interval | None
    differences: tuple[Difference | None, ...]
    figures: Figures


def against(outcomes: Outcomes, samples: Sequence[Sample], clusters: NDArray[Any], prior: Prior) -> Against:
    """Hold variants' accuracies, `samples` with their `prior`, against the baseline's `outcomes`, a single row.

    `clusters` [examples] numbers each test example's from 0. A difference is a variant's by itself, with the baseline
    taken off each example: all that a seed does to the variant stays in it, as the baseline shares no seed. What is
    hard for both cancels out. Holm's method adjusts p for the number of variants, whatever they have in common.
    """
    own = jackknife.accuracy(outcomes, clusters)
    shifted = [
        replace(sample, scores=sample.scores - own.scores, influences=sample.influences - own.influences)
        for sample in samples
    ]
    (accuracy,), (macro_f1,) = (
        of_each([sample], Prior.none(1)).intervals(within=(0, 1))
        for sample in (own, jackknife.macro_f1(outcomes, clusters))
    )
    figures = of_each(shifted, prior)
    return Against(accuracy, macro_f1, judged(figures, LEVEL / len(samples), holm), figures)
