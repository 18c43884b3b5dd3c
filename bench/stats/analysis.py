"""One comparison's predictions -> what is known of its variants and what isn't."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.stats import jackknife
from bench.stats.differences import against, top_group
from bench.stats.intervals import of_each, of_pairs
from bench.stats.outcomes import read
from bench.stats.pareto import above_majority, fronts
from bench.stats.reference import find

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.stats.differences import Difference
    from bench.stats.intervals import Figures, Interval
    from bench.stats.outcomes import Outcomes
    from bench.stats.pareto import Front
    from bench.stats.summaries import Comparison

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Analysis:
    """What one comparison says; index i is comparison.summaries[i].

    `missing` tells in words whose predictions couldn't be read, and why. `differences` are against the summary
    `reference`, None for itself. `top` are those that can't be told from the best. `detectable` is the smallest
    difference in accuracy from the reference that would have been found with 80% power. `clustered`: the intervals take
    passages of one document together; else they are given these passages.
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

    @property
    def best_predicted(self) -> int | None:
        """The summary with the highest mean accuracy among those whose predictions are known."""
        return next((place for place, outcomes in enumerate(self.outcomes) if outcomes), None)

    @cached_property
    def above_majority(self) -> tuple[bool, ...]:
        """Which are known to do better than always naming the most frequent style."""
        return above_majority(self.comparison, self.accuracy)


def analyse(comparison: Comparison, folder: Path, reference: str | None = None) -> Analysis:
    """Analyse the predictions that lie in the store `folder` beside the comparison's records.

    `reference` is as on the command line: a method, or one with hyperparameters ("lora alpha=8"); of several that fit,
    the first in ascending order of alpha, then of the others. None means LoRA, if it is there. Raises UsageError where
    no variant with predictions fits.
    """
    found, missing = read(comparison.summaries, folder)
    known = {place: outcomes for place, outcomes in enumerate(found) if outcomes}
    chosen = find(comparison.summaries, known, reference)
    clusters, clustered = _clusters(known.values())
    if clusters is None:
        return without_predictions(comparison, missing)
    accuracies = [jackknife.accuracy(outcomes, clusters) for outcomes in known.values()]
    macro_f1 = [jackknife.macro_f1(outcomes, clusters) for outcomes in known.values()]
    intervals = _placed(known, of_each(accuracies).intervals(within=(0, 1)), len(found))
    every = of_pairs(accuracies)
    above = above_majority(comparison, intervals)
    differences, detectable = _against(every, known, chosen, above)
    return Analysis(
        comparison=comparison,
        outcomes=found,
        missing=missing,
        accuracy=intervals,
        macro_f1=_placed(known, of_each(macro_f1).intervals(within=(0, 1)), len(found)),
        reference=chosen,
        differences=_placed(known, differences, len(found)),
        top=frozenset(place for place, on in zip(known, top_group(every), strict=True) if on),
        detectable=detectable,
        clustered=clustered,
        fronts=fronts(comparison, found, clusters, above),
    )


def without_predictions(comparison: Comparison, missing: tuple[str, ...] = ()) -> Analysis:
    """What the records alone tell: means and deviations, but no interval and no difference."""
    nothing = (None,) * len(comparison.summaries)
    return Analysis(
        comparison=comparison,
        outcomes=nothing,
        missing=missing,
        accuracy=nothing,
        macro_f1=nothing,
        reference=None,
        differences=nothing,
        top=frozenset(),
        detectable=None,
        clustered=False,
        fronts=fronts(comparison, nothing, None, above_majority(comparison, nothing)),
    )


def _clusters(known: Collection[Outcomes]) -> tuple[NDArray[Any] | None, bool]:
    """Each test example's cluster, and whether that is its document; None where there are fewer than two."""
    if not known:
        return None, False
    documents = next((outcomes.documents for outcomes in known if outcomes.documents is not None), None)
    if documents is not None and documents.max() > 0:
        return documents, True
    examples = len(next(iter(known)).labels)
    return (np.arange(examples), False) if examples > 1 else (None, False)


def _against(
    every: Figures, known: Collection[int], reference: int | None, above: Sequence[bool]
) -> tuple[list[Difference | None], float | None]:
    """The differences from the reference of those with predictions, and the typical smallest one that is found.

    Typical is the root mean square over those `above` the majority class: an untrained head's luck, which moves
    it by ten points, would hide how well the others can be told apart.
    """
    if reference is None:
        return [None] * len(known), None
    column = [*known].index(reference)
    others = np.arange(len(known)) != column
    figures = every.at(others, column)
    differences = against(figures)
    differences.insert(column, None)
    counted = (figures.seeds > 0) & np.array([above[place] for place in known])[others]
    if not counted.any():
        return differences, None
    found = figures.detectable(int((figures.seeds > 0).sum()))[counted]
    return differences, float(np.sqrt(np.nanmean(found**2)))


def _placed(known: Collection[int], values: Sequence[Value | None], length: int) -> tuple[Value | None, ...]:
    """Values of those with predictions at their summaries' places."""
    at = dict(zip(known, values, strict=True))
    return tuple(at.get(place) for place in range(length))
