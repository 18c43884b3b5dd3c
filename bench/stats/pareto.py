"""Which variants no other beats in accuracy at the same or a lower cost, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from bench.stats.bootstrap import Draws
from bench.stats.jackknife import totals_by_cluster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.stats.intervals import Interval
    from bench.stats.outcomes import Outcomes
    from bench.stats.summaries import Comparison, Summary
    from bench.store.record import Majority, Record

Cost = Literal["live_peak_bytes", "trainable", "train_s", "eval_tokens_per_s", "forgetting", "train_joules"]
_NOT_ALWAYS_TOLD = ("forgetting", "train_joules")


@dataclass(frozen=True)
class Front:
    """The Pareto front of accuracy against one cost; lower costs are better, but for eval_tokens_per_s.

    By the summary's place: `costs`, None where the records don't tell; `shares`, the share of draws of seeds and test
    examples in which the variant is on the front, None where it has no cost or no predictions.
    """

    cost: Cost
    costs: tuple[float | None, ...]
    members: frozenset[int]
    shares: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Accuracies [draws] of the variants with predictions, by the summary's place, and of the majority class."""

    draws: Draws
    seeds: Mapping[int, tuple[int, ...]]
    accuracies: Mapping[int, NDArray[Any]]
    majority: NDArray[Any]


def above_majority(comparison: Comparison, intervals: Sequence[Interval | None]) -> tuple[bool, ...]:
    """By the summary's place, whether it is known to do better than always naming the most frequent style.

    `intervals` are the accuracies'; without one, the mean decides.
    """
    lowest = [
        interval.low if interval else summary.accuracy.mean if summary.accuracy else -np.inf
        for summary, interval in zip(comparison.summaries, intervals, strict=True)
    ]
    return tuple(accuracy > comparison.majority.accuracy for accuracy in lowest)


def fronts(
    comparison: Comparison,
    above: Sequence[bool],
    drawn: Drawn | None = None,
) -> tuple[Front, ...]:
    """The front for each cost; variants that aren't `above` the majority class, by place, are never on it.

    There is none for forgetting or energy where no record tells it, as older ones and those of a BERT don't.
    Without `drawn` accuracies, where no predictions are there, nobody's share is known.
    """
    told = {cost for cost in get_args(Cost) if any(getattr(summary, cost) for summary in comparison.summaries)}
    costs = [cost for cost in get_args(Cost) if cost in told or cost not in _NOT_ALWAYS_TOLD]
    return tuple(_front(comparison, cost, drawn, above) for cost in costs)


def draw(outcomes: Mapping[int, Outcomes], clusters: NDArray[Any], of_seeds: NDArray[Any], majority: Majority) -> Drawn:
    """Draw accuracies of the variants with `outcomes`, by place.

    `clusters` [examples] numbers each test example's cluster from 0; `of_seeds` [draws, variants] is how far the chance
    in seeds moves each mean.
    """
    own = {place: found.seeds for place, found in outcomes.items()}
    draws, sizes = Draws.make(max(map(len, own.values())), clusters.max() + 1), np.bincount(clusters)
    some = next(iter(outcomes.values()))
    usual = np.asarray(some.styles)[some.labels] == majority.style
    right = np.stack([usual, *(found.right.mean(axis=0) for found in outcomes.values())])
    accuracies = draws.over_clusters(totals_by_cluster(right, clusters), sizes)
    moved = accuracies[:, 1:] + of_seeds
    return Drawn(draws, own, dict(zip(outcomes, moved.T, strict=True)), accuracies[:, 0])


def _front(comparison: Comparison, cost: Cost, drawn: Drawn | None, above: Sequence[bool]) -> Front:
    estimates = [getattr(summary, cost) for summary in comparison.summaries]
    costs = [found.mean if found else None for found in estimates]
    eligible = {
        place: summary.accuracy.mean
        for place, summary in enumerate(comparison.summaries)
        if summary.accuracy and above[place] and costs[place] is not None
    }
    sign = -1 if cost == "eval_tokens_per_s" else 1
    on = on_front(
        np.array([[*eligible.values()]]), sign * np.array([[costs[place] for place in eligible]], dtype=float)
    )
    shares: dict[int, float] = {}
    if drawn:
        shares = {place: 0.0 for place in drawn.accuracies if costs[place] is not None}
        shares |= _shares(comparison, cost, sign, drawn, [place for place in eligible if place in shares])
    return Front(
        cost,
        tuple(costs),
        frozenset(place for place, member in zip(eligible, on[0], strict=True) if member),
        tuple(shares.get(place) for place in range(len(costs))),
    )


def _shares(comparison: Comparison, cost: Cost, sign: int, drawn: Drawn, places: Sequence[int]) -> dict[int, float]:
    """The share of draws in which each is on the front, and above the majority class on the examples drawn."""
    if not places:
        return {}
    accuracies = np.stack([drawn.accuracies[place] for place in places], axis=1)
    values = (_by_seed(comparison.summaries[place], cost, drawn.seeds[place]) for place in places)
    costs = np.stack([drawn.draws.over_seeds(value) for value in values], axis=1)
    on = on_front(accuracies, sign * costs) & (accuracies > drawn.majority[:, None])
    return dict(zip(places, on.mean(axis=0).tolist(), strict=True))


def _by_seed(summary: Summary, cost: Cost, seeds: Sequence[int]) -> NDArray[Any]:
    """A cost by seed; the mean stands in for a run that doesn't tell, on another machine or beside other runs, say."""
    timed = {run.seed for run in summary.timed}
    costs = {run.seed: _of_run(summary, run, cost, run.seed in timed) for run in summary.runs}
    known = {seed: found for seed, found in costs.items() if found is not None}
    mean = sum(known.values()) / len(known)
    return np.array([known.get(seed, mean) for seed in seeds], dtype=float)


def _of_run(summary: Summary, run: Record, cost: Cost, timed: bool) -> float | None:
    if cost == "live_peak_bytes":
        return run.compute.live_peak_bytes if run.compute else None
    if cost == "trainable":
        return run.parameters.trainable if run.parameters else None
    if cost == "forgetting":
        return summary.forgot(run)
    return getattr(run.speed, cost, None) if timed else None


def on_front(accuracies: NDArray[Any], costs: NDArray[Any]) -> NDArray[Any]:
    """Which of k points no other beats, for each of n sets of points, booleans [n, k] from [n, k] and [n, k].

    A point is beaten by one that is no worse in both and better in one (Pareto dominance); equal points don't beat each
    other. By ascending cost, the more accurate first among equals, a point is on the front when it is as accurate as
    any so far and costs what the first of those costs.
    """
    order = np.lexsort((-accuracies, costs), axis=1)
    accuracy, cost = np.take_along_axis(accuracies, order, axis=1), np.take_along_axis(costs, order, axis=1)
    highest = np.maximum.accumulate(accuracy, axis=1)
    rises = np.diff(highest, axis=1, prepend=-np.inf) > 0
    first = np.maximum.accumulate(np.where(rises, np.arange(accuracy.shape[1]), 0), axis=1)
    on = np.zeros(accuracies.shape, dtype=bool)
    np.put_along_axis(on, order, (accuracy == highest) & (cost == np.take_along_axis(cost, first, axis=1)), axis=1)
    return on
