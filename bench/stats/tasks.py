"""Several comparisons, a task each -> what holds over all; tasks are what is drawn anew (docs/statistics.md)."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.stats.intervals import LEVEL, Interval
from bench.stats.summaries import differing_hyperparameters, differing_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.stats.analysis import Analysis
    from bench.stats.summaries import Estimate, Summary

DRAWS = 4000
THRESHOLDS = np.linspace(0, 1, 101)
"""The normalised accuracies at which a performance profile is taken."""


@dataclass(frozen=True)
class Average:
    """A mean over tasks, with its 95% interval where tasks can be drawn anew."""

    mean: float
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Contender:
    """A method with the hyperparameters and training settings that tell it from others within any task.

    `places` has its summary's place in each task that it has a result on, by the task's number. `varying` are the
    other hyperparameters and settings, whose values differ between tasks.
    """

    method: str
    summary: Summary
    hyperparameters: tuple[str, ...]
    settings: tuple[str, ...]
    places: Mapping[int, int]
    varying: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Profile:
    """For each of THRESHOLDS, the share of runs whose normalised accuracy is at least that, every task alike.

    The band between `low` and `high` is pointwise, 95%; None where tasks can't be drawn anew.
    """

    share: NDArray[Any]
    low: NDArray[Any] | None
    high: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Overall:
    """What holds over all tasks: index t is tasks[t], index i is contenders[i], the lowest mean rank first.

    `contenders` have a result on every task, `others` don't; the ranks are among contenders alone. `units` [tasks] says
    which tasks are drawn together: those on the same texts, where there are several texts.
    """

    tasks: tuple[Analysis, ...]
    contenders: tuple[Contender, ...]
    others: tuple[Contender, ...]
    drawn: Literal["texts", "backbones"]
    units: NDArray[Any]

    def summary(self, task: int, contender: int) -> Summary:
        """The contender's summary in a task."""
        return self.tasks[task].comparison.summaries[self.contenders[contender].places[task]]

    @cached_property
    def number_of_units(self) -> int:
        """How many there are to draw from."""
        return int(self.units.max()) + 1

    @cached_property
    def accuracies(self) -> NDArray[Any]:
        """Mean accuracies [tasks, contenders]."""
        return self._table(lambda summary: summary.accuracy)

    @cached_property
    def ranks(self) -> NDArray[Any]:
        """Ranks [tasks, contenders], 1 the highest mean accuracy; who are equal share the mean of their ranks."""
        return ranks(self.accuracies)

    @cached_property
    def mean_ranks(self) -> tuple[Average, ...]:
        """Each contender's rank, averaged over tasks."""
        return self._averages(self.ranks, np.ones(len(self.tasks), dtype=bool), (1, len(self.contenders)))

    @cached_property
    def won(self) -> tuple[Average, ...]:
        """The share of tasks in which a contender has the highest mean accuracy; who are equal share a task.

        The interval is Wilson's (1927, J. Am. Stat. Assoc. 22:209) for as many trials as there are units: drawn anew,
        a share of 0 or 1 would stay as it is.
        """
        best = self.ranks == self.ranks.min(axis=1, keepdims=True)
        shares = (best / best.sum(axis=1, keepdims=True)).mean(axis=0)
        return tuple(Average(float(share), _wilson(float(share), self.number_of_units)) for share in shares)

    @cached_property
    def normalised(self) -> NDArray[Any]:
        """Accuracies [tasks, contenders] on a scale of 0, the majority class, to 1, the task's best contender.

        nan in a task where no contender's accuracy is above the majority class's.
        """
        low, room = self._scale
        return np.asarray((self.accuracies - low) / room)

    @cached_property
    def normalised_means(self) -> tuple[Average | None, ...]:
        """Each contender's normalised accuracy, averaged over the tasks where it is known."""
        known = self.scaled
        if not known.any():
            return (None,) * len(self.contenders)
        return self._averages(self.normalised, known, (-np.inf, 1))

    def profile(self, contender: int) -> Profile | None:
        """The contender's performance profile (Dolan & Moré 2002, Math. Program. 91:201) of normalised accuracies.

        As Agarwal et al. draw it (2021, arXiv 2108.13264). None where no task has a scale.
        """
        known = np.flatnonzero(self.scaled)
        if not known.size:
            return None
        low, room = self._scale
        shares = np.stack(
            [_reached((_runs(self.summary(task, contender)) - low[task, 0]) / room[task, 0]) for task in known.tolist()]
        )
        means, reach = shares.mean(axis=0), self._reach(shares, known)
        if reach is None:
            return Profile(means, None, None)
        return Profile(means, np.maximum(0, means - reach), np.minimum(1, means + reach))

    @cached_property
    def indistinct(self) -> frozenset[int]:
        """The contenders whose mean rank can't be told from the lowest.

        Nemenyi's question (Demšar 2006, J. Mach. Learn. Res. 7:1), answered by permutation, which holds for few tasks
        too: a contender is told apart where at most 5% of permutations of the ranks within each unit spread mean ranks
        as far as it lies from the lowest.
        """
        totals = self._totals(self.ranks)
        generator = np.random.default_rng(0)
        drawn = np.zeros((DRAWS, len(self.contenders)))
        for row in totals:
            drawn += generator.permuted(np.broadcast_to(row, drawn.shape), axis=1)
        spread = np.ptp(drawn, axis=1)[:, None]
        found = totals.sum(axis=0)
        p = (1 + (spread >= found - found.min() - 1e-9).sum(axis=0)) / (1 + DRAWS)
        return frozenset(np.flatnonzero((p > LEVEL) | (found == found.min())).tolist())

    @cached_property
    def concordance(self) -> float | None:
        """Kendall's W: 0 where tasks share no order, 1 where all have the same; None where nothing differs."""
        within = self.ranks.var(axis=1).mean()
        return float(self.ranks.mean(axis=0).var() / within) if within > 0 else None

    @cached_property
    def agreement(self) -> tuple[float | None, ...]:
        """Kendall's tau-b of each task's order with the mean ranks over all others; None where one has no order."""
        tasks = len(self.tasks)
        others = (self.ranks.sum(axis=0) - self.ranks) / max(1, tasks - 1)
        return tuple(kendall(self.ranks[task], others[task]) for task in range(tasks))

    @cached_property
    def disagreeing(self) -> tuple[int, ...]:
        """The tasks on which the contender with the lowest mean rank is shown not to be among the best."""
        return tuple(
            task
            for task, analysis in enumerate(self.tasks)
            if analysis.top and self.contenders[0].places[task] not in analysis.top
        )

    def among_best(self, contender: int) -> int | None:
        """In how many tasks the contender can't be told from the best; None where one has no predictions."""
        if not all(analysis.top for analysis in self.tasks):
            return None
        return sum(self.contenders[contender].places[t] in analysis.top for t, analysis in enumerate(self.tasks))

    def times_the_least(self, cost: Callable[[Summary], Estimate | None]) -> tuple[float | None, ...]:
        """Each contender's cost by the least of any on the same task, as a geometric mean over the tasks.

        None where a contender has no such cost above 0 on some task.
        """
        costs = self._table(cost)
        costs[costs <= 0] = np.nan
        known = ~np.isnan(costs).any(axis=0)
        if not known.any():
            return (None,) * len(self.contenders)
        least = costs[:, known].min(axis=1, keepdims=True)
        found = np.exp(np.log(costs / least).mean(axis=0))
        return tuple(float(value) if on else None for value, on in zip(found, known, strict=True))

    def mean(self, figure: Callable[[Summary], Estimate | None]) -> tuple[float | None, ...]:
        """Each contender's figure averaged over the tasks; None where it is missing on some task."""
        found = self._table(figure).mean(axis=0)
        return tuple(None if np.isnan(value) else float(value) for value in found)

    def _table(self, figure: Callable[[Summary], Estimate | None]) -> NDArray[Any]:
        """A figure's means [tasks, contenders], nan where there is none."""
        rows = [
            [estimate.mean if (estimate := figure(self.summary(t, i))) else np.nan for i in range(len(self.contenders))]
            for t in range(len(self.tasks))
        ]
        return np.array(rows, dtype=float).reshape(len(self.tasks), len(self.contenders))

    @cached_property
    def _scale(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """What is 0 on each task's scale, and how far from there 1 is, nan where nothing is above: [tasks, 1] each."""
        low = np.array([[analysis.comparison.majority.accuracy] for analysis in self.tasks])
        room = self.accuracies.max(axis=1, keepdims=True) - low
        return low, np.where(room > 0, room, np.nan)

    @property
    def scaled(self) -> NDArray[Any]:
        """Which tasks have a contender above the majority class, and so a scale, [tasks]."""
        return np.asarray(~np.isnan(self._scale[1][:, 0]))

    def _averages(self, values: NDArray[Any], known: NDArray[Any], within: tuple[float, float]) -> tuple[Average, ...]:
        """Average values [tasks, contenders], which lie within these bounds, over the known tasks."""
        tasks = np.flatnonzero(known)
        means, reach = values[tasks].mean(axis=0), self._reach(values[tasks], tasks)
        if reach is None:
            return tuple(Average(float(mean), None) for mean in means)
        low, high = np.clip(means - reach, *within), np.clip(means + reach, *within)
        return tuple(Average(float(m), Interval(float(a), float(b))) for m, a, b in zip(means, low, high, strict=True))

    def _reach(self, values: NDArray[Any], tasks: NDArray[Any]) -> NDArray[Any] | None:
        """How far the 95% intervals of the means of values [tasks, k] reach; None where there is nothing to draw from.

        Units are drawn with replacement, one fewer than there are (Rao & Wu 1988, J. Am. Stat. Assoc. 83:231), which
        gives the standard error. It is known with as many degrees of freedom; percentiles of the draws, which can't
        leave the range of the tasks, would hold three tasks' mean in 74% instead of 95%.
        """
        from scipy.special import stdtrit

        units = np.unique(self.units[tasks], return_inverse=True)[1]
        number = int(units.max()) + 1
        if number < 2:
            return None
        weights = np.random.default_rng(0).multinomial(number - 1, np.full(number, 1 / number), DRAWS)
        drawn = weights @ _summed(values, units) / (weights @ np.bincount(units))[:, None]
        return np.asarray(stdtrit(number - 1, 1 - LEVEL / 2) * drawn.std(axis=0))

    def _totals(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sums [units, k] of values [tasks, k]."""
        return _summed(values, self.units)


def over_tasks(analyses: Sequence[Analysis]) -> Overall | None:
    """Return what holds over the comparisons that have a result; None where fewer than two have.

    Of comparisons on one backbone and the same texts the one with the largest train split counts, and of these, which
    differ in the preset alone, the first.
    """
    distinct: dict[tuple[str, str], Analysis] = {}
    for one in sorted(analyses, key=lambda one: one.comparison.train_size, reverse=True):
        if one.comparison.results:
            distinct.setdefault((one.comparison.newest.backbone.revision, one.comparison.texts), one)
    tasks = tuple(one for one in analyses if any(one is kept for kept in distinct.values()))
    if len(tasks) < 2:
        return None
    found = contenders(tasks)
    whole = tuple(contender for contender in found if len(contender.places) == len(tasks))
    others = tuple(contender for contender in found if len(contender.places) < len(tasks))
    texts = [one.comparison.texts for one in tasks]
    several = len(set(texts)) > 1
    units = np.unique(texts, return_inverse=True)[1] if several else np.arange(len(tasks))
    unsorted = Overall(tasks, whole, others, "texts" if several else "backbones", units)
    if not whole:
        return unsorted
    order = np.argsort(unsorted.ranks.mean(axis=0), kind="stable")
    return Overall(tasks, tuple(whole[place] for place in order), others, unsorted.drawn, units)


def ranks(values: NDArray[Any]) -> NDArray[Any]:
    """Ranks [rows, k] of values [rows, k] within each row, 1 the highest; who are equal share the mean of theirs."""
    rounded = np.round(values, 12)
    higher = (rounded[:, None, :] > rounded[:, :, None]).sum(axis=2)
    equal = (rounded[:, None, :] == rounded[:, :, None]).sum(axis=2)
    return np.asarray(higher + (equal + 1) / 2)


def kendall(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Kendall's tau-b (1945, Biometrika 33:239) of values a [k] and b [k]; None where all of either are equal."""
    one, other = (np.sign(np.round(values[:, None] - values[None, :], 12)) for values in (a, b))
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / scale) if scale > 0 else None


def contenders(tasks: Sequence[Analysis]) -> list[Contender]:
    """Match the variants of all tasks by what tells them apart within a task."""
    hyperparameters: dict[str, dict[str, None]] = defaultdict(dict)
    settings: dict[str, None] = {}
    for one in tasks:
        for method, names in differing_hyperparameters(one.comparison.summaries).items():
            hyperparameters[method].update(dict.fromkeys(names))
        settings.update(dict.fromkeys(differing_settings(one.comparison.summaries)))
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for number, one in enumerate(tasks):
        for place, summary in enumerate(one.comparison.summaries):
            if summary.accuracy:
                told = {name: summary.hyperparameters.get(name) for name in hyperparameters[summary.method]}
                trained = {name: getattr(summary.training, name) for name in settings}
                found[json.dumps([summary.method, told, trained], sort_keys=True)].setdefault(number, place)
    return [_contender(tasks, places, hyperparameters, tuple(settings)) for places in found.values()]


def _contender(
    tasks: Sequence[Analysis],
    places: Mapping[int, int],
    hyperparameters: Mapping[str, Mapping[str, None]],
    settings: tuple[str, ...],
) -> Contender:
    summaries = [tasks[number].comparison.summaries[place] for number, place in places.items()]
    first = summaries[0]
    return Contender(
        method=first.method,
        summary=first,
        hyperparameters=tuple(name for name in first.hyperparameters if name in hyperparameters[first.method]),
        settings=settings,
        places=places,
        varying=tuple(
            dict.fromkeys([*differing_hyperparameters(summaries)[first.method], *differing_settings(summaries)])
        ),
    )


def _runs(summary: Summary) -> NDArray[Any]:
    return np.array([run.quality.test.accuracy for run in summary.runs if run.quality])


def _reached(values: NDArray[Any]) -> NDArray[Any]:
    """The share of values [n] that are at least each threshold, but for rounding."""
    return np.asarray((values[:, None] >= THRESHOLDS - 1e-12).mean(axis=0))


def _summed(values: NDArray[Any], units: NDArray[Any]) -> NDArray[Any]:
    summed = np.zeros((int(units.max()) + 1, values.shape[1]))
    np.add.at(summed, units, values)
    return summed


def _wilson(share: float, trials: int) -> Interval:
    z = 1.959963984540054
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return Interval(max(0.0, float(middle - reach)), min(1.0, float(middle + reach)))
