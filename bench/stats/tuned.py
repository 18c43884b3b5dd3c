"""What searches came to on the test split: the chosen settings beside the default, both trained anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.chain import told_apart
from bench.stats.searches import chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.stats.chain import Chain
    from bench.stats.intervals import Figures, Interval
    from bench.stats.searches import Chance, Rule, Search
    from bench.stats.summaries import Comparison, Estimate
    from bench.store.record import Record


@dataclass(frozen=True)
class Gap:
    """A difference in mean test accuracy, and its 95% interval where predictions are known."""

    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class Tuned:
    """A search, and the summaries of what it chose and of the default, by place; None: not trained anew.

    `gain` is the chosen settings minus the default, None where that was chosen; `behind` the chosen settings minus
    those of the method that is best at its chosen ones, None for itself. The intervals cover the chance in seeds, in
    test passages and, where it is known, what the searches leave to `chance`; None: they are given the choice.
    """

    search: Search
    rule: Rule
    place: int | None
    default: int | None
    accuracy: Estimate | None
    interval: Interval | None
    gain: Gap | None
    behind: Gap | None
    chance: Chance | None

    @property
    def counted(self) -> bool:
        """Whether intervals hold what the search leaves to chance."""
        return self.chance is not None


def tuned(
    comparison: Comparison,
    searches: Sequence[Search],
    places: Sequence[int] = (),
    each: Figures | None = None,
    pairs: Figures | None = None,
) -> tuple[Tuned, ...]:
    """Hold what was chosen against the default; `each` and `pairs` are the figures of the summaries at `places`."""
    rule: Rule = "best" if comparison.newest.training.select_epoch else "last"
    rows = {place: row for row, place in enumerate(places)}
    accuracies = [summary.accuracy for summary in comparison.summaries]

    def gap(place: int | None, other: int | None, *searches: Chance | None) -> Gap | None:
        one, two = (None if at is None else accuracies[at] for at in (place, other))
        if one is None or two is None or place is None or other is None or place == other:
            return None
        if pairs is None or not {place, other} <= rows.keys():
            return Gap(one.mean - two.mean, None)
        difference = _with(pairs.at(np.array([rows[place]]), np.array([rows[other]])), *searches)
        return Gap(float(difference.mean[0]), difference.intervals()[0])

    left = [None if search.optimised else one for search, one in zip(searches, chance(searches, rule), strict=True)]
    chosen = [_chosen(comparison, search, rule) for search in searches]
    best = min(
        (at for at, place in enumerate(chosen) if place is not None), key=lambda at: chosen[at] or 0, default=None
    )
    found = []
    for search, place, unknown in zip(searches, chosen, left, strict=True):
        default = _place(comparison, search.trials[0], rule)
        interval = None
        if each is not None and place in rows:
            [interval] = _with(each.at(slice(rows[place], rows[place] + 1)), unknown).intervals(within=(0, 1))
        found.append(
            Tuned(
                search=search,
                rule=rule,
                place=place,
                default=default,
                accuracy=None if place is None else accuracies[place],
                interval=interval,
                gain=gap(place, default, unknown),
                behind=None if best is None else gap(place, chosen[best], unknown, left[best]),
                chance=unknown,
            )
        )
    return tuple(found)


def _chosen(comparison: Comparison, search: Search, rule: Rule) -> int | None:
    trial = search.chosen(rule)
    return None if trial is None else _place(comparison, search.trials[trial], rule)


def _place(comparison: Comparison, trial: Record, rule: Rule) -> int | None:
    """Return where the trial's settings stand among the summaries, trained in the same way; None: nowhere."""
    return next((place for place, summary in enumerate(comparison.summaries) if summary.fits(trial, rule)), None)


def _with(figures: Figures, *left: Chance | None) -> Figures:
    """The same with what searches leave to chance, as far as that is known of all."""
    known = [one for one in left if one is not None]
    if len(known) < len(left):
        return figures
    return with_search(figures, sum(one.variance for one in known), min(one.degrees for one in known))


def with_search(figures: Figures, variance: float | NDArray[Any], degrees: float | NDArray[Any]) -> Figures:
    """The same with one more source of chance, the search."""
    more = [np.full((1, *figures.mean.shape), value, dtype=float) for value in (variance, degrees)]
    return replace(
        figures,
        variances=np.concatenate([figures.variances, more[0]]),
        degrees=np.concatenate([figures.degrees, more[1]]),
    )


def tuned_apart(
    found: Sequence[Tuned], places: Sequence[int], pairs: Figures, floor: str | None = None
) -> tuple[Chain | None, Chain | None]:
    """The longest chains of methods at their chosen settings, of which each is better than the next.

    The first is given the choice; the second counts what the searches leave to chance, None where that isn't known of
    all. `pairs` are the differences of the summaries at `places`. Of a method's several searches the first counts.
    `floor` is a method.
    """
    rows = {place: row for row, place in enumerate(places)}
    methods: dict[str, Tuned] = {}
    for one in found:
        if one.place in rows:
            methods.setdefault(one.search.method, one)
    ordered = sorted(methods.values(), key=lambda one: one.place or 0)
    chosen = [one.place for one in ordered if one.place is not None]
    at = [rows[place] for place in chosen]
    figures = pairs.at(*np.ix_(at, at))
    lowest = methods[floor].place if floor in methods else None
    given = told_apart(figures, chosen, lowest)
    left = [one.chance for one in ordered if one.chance is not None]
    if len(left) < len(ordered):
        return given, None
    variance, degrees = (np.array([getattr(one, name) for one in left]) for name in ("variance", "degrees"))
    whole = with_search(figures, np.add.outer(variance, variance), np.minimum.outer(degrees, degrees))
    return given, told_apart(whole, chosen, lowest)


def worse_than_default(found: Sequence[Tuned]) -> tuple[int, int]:
    """How many searches chose something that tests worse than the default, and of how many that chose another."""
    gains = [one.gain.mean for one in found if one.gain is not None]
    return sum(gain < 0 for gain in gains), len(gains)


def agreement(found: Sequence[Tuned]) -> float | None:
    """Kendall's tau-b between the methods' rankings by two searches' choices, averaged over pairs of search seeds.

    None where no two searches have three methods with test figures in common.
    """
    by_seed: dict[int, dict[str, float]] = {}
    for one in found:
        if one.accuracy is not None:
            by_seed.setdefault(one.search.seed, {})[one.search.method] = one.accuracy.mean
    taus = []
    seeds = sorted(by_seed)
    for place, seed in enumerate(seeds):
        for other in seeds[place + 1 :]:
            common = sorted(by_seed[seed].keys() & by_seed[other].keys())
            if len(common) > 2:
                from scipy.stats import kendalltau  # takes half a second to import, and few stores have two searches

                first, second = ([by_seed[s][name] for name in common] for s in (seed, other))
                taus.append(float(kendalltau(first, second).statistic))
    return float(np.mean(taus)) if taus else None
