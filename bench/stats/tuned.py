"""What searches came to on the test split: the chosen settings beside the default, both trained anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.searches import chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.stats.intervals import Figures, Interval
    from bench.stats.searches import Chance, Rule, Search
    from bench.stats.summaries import Comparison, Estimate
    from bench.store.record import Record


@dataclass(frozen=True)
class Tuned:
    """A search, and the summaries of what it chose and of the default, by place; None: not trained anew.

    `gain` is the chosen settings' mean test accuracy minus the default's, 0 where the default was chosen. The intervals
    cover the chance in seeds, in test passages and, where it is known (`counted`), in the search.
    """

    search: Search
    rule: Rule
    place: int | None
    default: int | None
    accuracy: Estimate | None
    interval: Interval | None
    gain: float | None
    gain_interval: Interval | None
    counted: bool

    @property
    def kept_default(self) -> bool:
        """Whether the default was chosen."""
        return self.search.chosen(self.rule) == 0


def tuned(
    comparison: Comparison, places: Sequence[int] = (), each: Figures | None = None, pairs: Figures | None = None
) -> tuple[Tuned, ...]:
    """Hold what was chosen against the default; `each` and `pairs` are the figures of the summaries at `places`."""
    rule: Rule = "best" if comparison.newest.training.select_epoch else "last"
    left = chance(comparison.searches, rule)
    at = {place: row for row, place in enumerate(places)}
    found = []
    for search, unknown in zip(comparison.searches, left, strict=True):
        chosen = search.chosen(rule)
        place = None if chosen is None else _place(comparison, search.trials[chosen], rule)
        default = _place(comparison, search.trials[0], rule)
        means = [None if p is None else comparison.summaries[p].accuracy for p in (place, default)]
        row, other = (None if p is None else at.get(p) for p in (place, default))
        same = place is not None and place == default
        interval = gain_interval = None
        if each is not None and row is not None:
            [interval] = _with(each.at(slice(row, row + 1)), unknown).intervals(within=(0, 1))
        gain = means[0].mean - means[1].mean if means[0] and means[1] else None
        if pairs is not None and row is not None and other is not None and not same:
            difference = pairs.at(np.array([row]), np.array([other]))
            gain = float(difference.mean[0])
            [gain_interval] = _with(difference, unknown).intervals()
        found.append(Tuned(search, rule, place, default, means[0], interval, gain, gain_interval, unknown is not None))
    return tuple(found)


def _place(comparison: Comparison, trial: Record, rule: Rule) -> int | None:
    """Return where the trial's settings stand among the summaries, trained in the same way; None: nowhere."""
    return next((place for place, summary in enumerate(comparison.summaries) if summary.fits(trial, rule)), None)


def _with(figures: Figures, left: Chance | None) -> Figures:
    return figures if left is None else with_search(figures, left.variance, left.degrees)


def with_search(figures: Figures, variance: float | NDArray[Any], degrees: float | NDArray[Any]) -> Figures:
    """The same with one more source of chance, the search."""
    more = [np.full((1, *figures.mean.shape), value, dtype=float) for value in (variance, degrees)]
    return replace(
        figures,
        variances=np.concatenate([figures.variances, more[0]]),
        degrees=np.concatenate([figures.degrees, more[1]]),
    )


def worse_than_default(found: Sequence[Tuned]) -> tuple[int, int]:
    """How many searches chose something that tests worse than the default, and of how many that chose another."""
    gains = [one.gain for one in found if one.gain is not None and not one.kept_default]
    return sum(gain < 0 for gain in gains), len(gains)


def agreement(found: Sequence[Tuned]) -> float | None:
    """Kendall's tau-b between the methods' rankings by two searches' choices, averaged over pairs of search seeds.

    None where no two searches have three methods with test figures in common.
    """
    from scipy.stats import kendalltau

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
                first, second = ([by_seed[s][name] for name in common] for s in (seed, other))
                taus.append(float(kendalltau(first, second).statistic))
    return float(np.mean(taus)) if taus else None
