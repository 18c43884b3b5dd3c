"""One comparison's predictions -> what is known of its variants and what isn't."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.stats import baseline, jackknife, moderation
from bench.stats.bootstrap import DRAWS, correlated, covariance, heavier
from bench.stats.chain import told_apart
from bench.stats.differences import against, top_group
from bench.stats.families import Family
from bench.stats.intervals import of_each, of_pairs
from bench.stats.outcomes import read, read_baseline
from bench.stats.pareto import above_majority, draw, fronts
from bench.stats.reference import find
from bench.stats.tuned import tuned, tuned_apart

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.stats.baseline import Against
    from bench.stats.chain import Chain
    from bench.stats.differences import Difference
    from bench.stats.intervals import Figures, Interval
    from bench.stats.jackknife import Sample
    from bench.stats.moderation import Prior
    from bench.stats.outcomes import Outcomes
    from bench.stats.pareto import Front
    from bench.stats.summaries import Comparison
    from bench.stats.tuned import Tuned

Value = TypeVar("Value")

FLOOR = "head"
"""The method that others should beat: it trains nothing but the head."""


@dataclass(frozen=True)
class Shared:
    """What is known of the spread over seeds from several variants together.

    `variants` of them share it: one run's accuracy has the standard deviation `sd` over seeds, which is worth so many
    `degrees` of freedom for each. `outlying` are the places of those that spread far more, and keep their own.
    """

    variants: int
    sd: float
    degrees: float
    outlying: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What one comparison says; index i is comparison.summaries[i].

    `missing` tells in words whose predictions couldn't be read, and why. `shared` is None where each variant's spread
    over seeds is known from its own runs alone. `differences` are against the summary `reference`, None for itself;
    `from_base` against `base`, the reference where one was asked for, else the variant with the highest mean. `top` are
    those that can't be told from the best. `detectable` is the smallest difference in accuracy from the reference that
    would have been found with 80% power. `max_t`: differences were tested with regard to what they have in common, else
    by Holm's method. `against_baseline` holds the variants against the comparison's baseline; None where there is none,
    or its predictions aren't known. `documents` is how many there are, passages of each taken together; None: the
    intervals are given these passages. `chain` are variants of which each is better than the next. `tuned` and
    `optimised` are the comparison's searches, in order; `pairs` [i, j] are the differences of all summaries, without a
    seed where one has no predictions; `tuned_chain` is of the methods as they were tuned, given
    the choice, and `searched_chain` with what the searches leave to chance.
    """

    comparison: Comparison
    outcomes: tuple[Outcomes | None, ...]
    missing: tuple[str, ...]
    shared: Shared | None
    accuracy: tuple[Interval | None, ...]
    macro_f1: tuple[Interval | None, ...]
    reference: int | None
    differences: tuple[Difference | None, ...]
    base: int | None
    from_base: tuple[Difference | None, ...]
    top: frozenset[int]
    detectable: float | None
    against_baseline: Against | None
    documents: int | None
    max_t: bool
    fronts: tuple[Front, ...]
    chain: Chain | None
    tuned: tuple[Tuned, ...]
    tuned_chain: Chain | None
    searched_chain: Chain | None
    optimised: tuple[Tuned, ...]
    pairs: Figures | None

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
    clusters, documents = _clusters(known.values())
    if clusters is None:
        return without_predictions(comparison, missing)
    able = np.array([_has_learnt(comparison, place) for place in known])
    accuracies = [jackknife.accuracy(outcomes, clusters) for outcomes in known.values()]
    macro_f1 = [jackknife.macro_f1(outcomes, clusters) for outcomes in known.values()]
    prior = moderation.learn(accuracies, able)
    each, pairs = of_each(accuracies, prior), of_pairs(accuracies, prior)
    intervals = _placed(known, each.intervals(within=(0, 1)), len(found))
    macro_f1_intervals = of_each(macro_f1, moderation.learn(macro_f1, able)).intervals(within=(0, 1))
    above = above_majority(comparison, intervals)
    places = list(known)
    differences, detectable = _against(pairs, places, chosen, above)
    base = chosen if reference is not None else places[0]
    floor = next((place for place in places if comparison.summaries[place].method == FLOOR), None)
    searched = tuned(comparison, comparison.searches, places, each, pairs)
    tuned_chain, searched_chain = tuned_apart(searched, places, pairs, FLOOR)
    against_baseline, unread = _against_baseline(comparison, folder, known, accuracies, clusters, prior)
    return Analysis(
        comparison=comparison,
        outcomes=found,
        missing=(*missing, *unread),
        shared=_shared(prior, able, accuracies, places),
        accuracy=intervals,
        macro_f1=_placed(known, macro_f1_intervals, len(found)),
        reference=chosen,
        differences=tuple(map(differences.get, range(len(found)))),
        base=base,
        from_base=tuple(map(_against(pairs, places, base, above)[0].get, range(len(found)))),
        top=frozenset(place for place, on in zip(known, top_group(pairs), strict=True) if on),
        detectable=detectable,
        against_baseline=against_baseline,
        documents=documents,
        max_t=chosen is not None and Family(pairs, places.index(chosen)).max_t,
        fronts=fronts(comparison, above, draw(known, clusters, _moved_by_seeds(each, pairs), comparison.majority)),
        chain=told_apart(pairs, places, floor),
        tuned=searched,
        tuned_chain=tuned_chain,
        searched_chain=searched_chain,
        optimised=tuned(comparison, comparison.optimised, places, each, pairs),
        pairs=pairs.spread((places, places), (len(found), len(found))),
    )


def without_predictions(comparison: Comparison, missing: tuple[str, ...] = ()) -> Analysis:
    """What the records alone tell: means and deviations, but no interval and no difference."""
    nothing = (None,) * len(comparison.summaries)
    return Analysis(
        comparison=comparison,
        outcomes=nothing,
        missing=missing,
        shared=None,
        accuracy=nothing,
        macro_f1=nothing,
        reference=None,
        differences=nothing,
        base=None,
        from_base=nothing,
        top=frozenset(),
        detectable=None,
        against_baseline=None,
        documents=None,
        max_t=False,
        fronts=fronts(comparison, above_majority(comparison, nothing)),
        chain=None,
        tuned=tuned(comparison, comparison.searches),
        tuned_chain=None,
        searched_chain=None,
        optimised=tuned(comparison, comparison.optimised),
        pairs=None,
    )


def _has_learnt(comparison: Comparison, place: int) -> bool:
    """Whether a variant trains and its mean is above the majority class: else seeds move it otherwise than the rest."""
    summary = comparison.summaries[place]
    trains = summary.trainable is None or summary.trainable.mean > 0
    return trains and summary.accuracy is not None and summary.accuracy.mean > comparison.majority.accuracy


def _moved_by_seeds(each: Figures, pairs: Figures) -> NDArray[Any]:
    """How far the chance in seeds moves each variant's mean, [draws, variants]; two differ as the intervals say."""
    variances = covariance(each.variances[:-1].sum(axis=0), pairs.variances[0])
    return heavier(correlated(variances, DRAWS), each.degrees[1])


def _shared(prior: Prior, able: NDArray[Any], samples: Sequence[Sample], places: Sequence[int]) -> Shared | None:
    """Put the prior into words' reach; None where nothing is shared."""
    sharing = prior.degrees > 0
    if not sharing.any():
        return None
    varies = np.array([len(sample.seeds) > 1 and np.ptp(sample.scores) > 0 for sample in samples])
    return Shared(
        variants=int(sharing.sum()),
        sd=float(np.sqrt(prior.variance + prior.common)),
        degrees=float(prior.degrees.max()),
        outlying=tuple(np.asarray(places)[able & varies & ~sharing].tolist()),
    )


def _clusters(known: Collection[Outcomes]) -> tuple[NDArray[Any] | None, int | None]:
    """Each test example's cluster, and how many documents these are, None where each example is its own.

    No clusters where there are fewer than two.
    """
    if not known:
        return None, None
    documents = next((outcomes.documents for outcomes in known if outcomes.documents is not None), None)
    if documents is not None and documents.max() > 0:
        return documents, int(documents.max()) + 1
    examples = len(next(iter(known)).labels)
    return (np.arange(examples), None) if examples > 1 else (None, None)


def _against(
    pairs: Figures, places: Sequence[int], reference: int | None, above: Sequence[bool]
) -> tuple[dict[int, Difference], float | None]:
    """The differences from the reference by place, and the typical smallest one that is found.

    Typical is the root mean square over those `above` the majority class: an untrained head's luck, which moves
    it by ten points, would hide how well the others can be told apart.
    """
    if reference is None:
        return {}, None
    family = Family(pairs, places.index(reference))
    differences = {places[other]: difference for other, difference in against(family).items()}
    counted = np.array([above[places[other]] for other in family.others.tolist()], dtype=bool)
    if not counted.any():
        return differences, None
    return differences, float(np.sqrt(np.mean(family.figures.detectable(family.level)[counted] ** 2)))


def _against_baseline(
    comparison: Comparison,
    folder: Path,
    known: Mapping[int, Outcomes],
    accuracies: Sequence[Sample],
    clusters: NDArray[Any],
    prior: Prior,
) -> tuple[Against | None, tuple[str, ...]]:
    """The variants against the baseline by place, and in words why not where its predictions can't be read."""
    if comparison.baseline is None:
        return None, ()
    labels = next(iter(known.values())).labels
    outcomes, unread = read_baseline(comparison.newest.data, folder, labels)
    if outcomes is None:
        return None, (unread,) if unread else ()
    found = baseline.against(outcomes, accuracies, clusters, prior)
    length = len(comparison.summaries)
    differences = _placed(known, found.differences, length)
    return replace(found, differences=differences, figures=found.figures.spread((list(known),), (length,))), ()


def _placed(known: Collection[int], values: Sequence[Value | None], length: int) -> tuple[Value | None, ...]:
    """Values of those with predictions at their summaries' places."""
    at = dict(zip(known, values, strict=True))
    return tuple(at.get(place) for place in range(length))
