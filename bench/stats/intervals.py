"""How sure a mean over seeds and test examples is: both are drawn by chance, and of seeds there are few.

Every seed is scored on the same test examples, a crossed design. Its two sources of chance are estimated apart, each
with its own degrees of freedom, and put together so that intervals hold for 3 seeds (docs/statistics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from bench.stats.jackknife import Sample

LEVEL = 0.05
"""Intervals cover with 1 - LEVEL; families of tests err with LEVEL at most."""

_SMALLEST_P = 1e-15


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval, its ends in the estimate's own unit: for accuracy -1 to 1, never points."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Figures:
    """Means over seeds and test examples, arrays of one shape, with the parts of their variances.

    `seed_variance` is that of the mean over `seeds` seeds given the test set; it holds what a seed changes on all
    examples and on single ones. `test_variance` is what `clusters` test examples, or documents, add. With one seed the
    seed's part is 0: the figures are given this seed. With none the mean is nan.
    """

    mean: NDArray[Any]
    seed_variance: NDArray[Any]
    test_variance: NDArray[Any]
    seeds: NDArray[Any]
    clusters: int

    def at(self, *places: NDArray[Any]) -> Figures:
        """The figures at some places of the arrays."""
        return Figures(
            self.mean[places], self.seed_variance[places], self.test_variance[places], self.seeds[places], self.clusters
        )

    def half_width(self, level: float = LEVEL) -> NDArray[Any]:
        """Half the width of the intervals that cover with 1 - level.

        With t the quantile of Student's distribution: sqrt(t(seeds - 1)² seed_variance + t(clusters - 1)²
        test_variance). Each source is given the margin that it would have alone, and the margins are added in squares.
        So Howe (1974, J. Am. Stat. Assoc. 69:789) puts together two margins; Graybill & Wang (1980, J. Am. Stat. Assoc.
        75:869) and Zou & Donner (2008, Stat. Med. 27:1693) generalise it.
        """
        of_seeds, of_test = (_quantile(level, units - 1) for units in (self.seeds, self.clusters))
        return np.asarray(np.sqrt(of_seeds**2 * self.seed_variance + of_test**2 * self.test_variance))

    def intervals(self, within: tuple[float, float] = (-1.0, 1.0)) -> list[Interval | None]:
        """The 95% intervals of one-dimensional figures, cut to what can be; None where there is no seed."""
        low, high = (np.clip(self.mean + sign * self.half_width(), *within) for sign in (-1, 1))
        ends = zip(low.tolist(), high.tolist(), self.seeds > 0, strict=True)
        return [Interval(low, high) if known else None for low, high, known in ends]

    def p(self) -> NDArray[Any]:
        """Two-sided p for a mean of 0: the level at which the interval just excludes 0, so that both always agree.

        1e-15 stands for anything smaller. Without a seed p is 1.
        """
        from scipy.optimize.elementwise import find_root  # scipy takes long to import, and most commands never ask

        def excess(log_level: NDArray[Any], *figures: NDArray[Any]) -> NDArray[Any]:
            mean, seed_variance, test_variance, seed_degrees, test_degrees = figures
            of_seeds, of_test = (_quantile(np.exp(log_level), degrees) for degrees in (seed_degrees, test_degrees))
            return np.asarray(of_seeds**2 * seed_variance + of_test**2 * test_variance - mean**2)

        figures = self.mean, self.seed_variance, self.test_variance, self.seeds - 1, self.clusters - 1
        found = find_root(excess, (np.log(_SMALLEST_P), 0.0), args=figures, tolerances={"xatol": 1e-6, "xrtol": 0})
        p = np.where(found.success, np.exp(found.x), _SMALLEST_P)
        return np.where((self.seeds == 0) | (self.mean == 0), 1.0, p)

    def detectable(self, tests: int, power: float = 0.8) -> NDArray[Any]:
        """The smallest true differences that are found with this power among so many tests.

        half_width(LEVEL / tests) + half_width(2 (1 - power)): a difference is found when its estimate exceeds the first
        (Holm's strictest step), and an estimate falls short of the truth by the second with probability 1 - power. It
        is the textbook's t(1 - α/2) + t(power) standard errors (Bloom 1995, Eval. Rev. 19:547, "minimum detectable
        effect") for two sources of chance.
        """
        found_beyond, falls_short = self.half_width(LEVEL / tests), self.half_width(2 * (1 - power))
        return np.asarray(found_beyond + falls_short)


def _quantile(level: float | NDArray[Any], degrees: NDArray[Any] | int) -> NDArray[Any]:
    """Student's t beyond which both tails hold `level`, negative; 0 for no degrees of freedom, where nothing varies."""
    from scipy.special import stdtrit

    return np.where(np.asarray(degrees) > 0, stdtrit(np.maximum(1, degrees), np.divide(level, 2)), 0.0)


def covariances(scores: NDArray[Any], influences: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Covariances of k means over S seeds: the seeds' part and the test examples', [..., k, k] each.

    scores [..., k, S] are each seed's; influences [..., k, S, clusters] are the jackknife's, in the same unit. The
    seeds' part is the scores' sample covariance over S. The test examples' is the jackknife's covariance of the mean
    over seeds (Efron & Stein 1981, Ann. Stat. 9:586), less its share that comes from runs disagreeing about single
    examples: that is in the seeds' part already, as the mean squares of a crossed two-way layout tell (Searle, Casella
    & McCulloch 1992, *Variance Components*, ch. 4). With one seed the first is 0 and nothing is taken off the second.
    """
    seeds, clusters = influences.shape[-2:]
    mean = influences.mean(axis=-2)
    test = _products(mean)
    seed = np.zeros_like(test)
    if seeds > 1:
        seed = _products(scores - scores.mean(axis=-1, keepdims=True)) / (seeds * (seeds - 1))
        disagreement = influences - mean[..., None, :]
        test = test - _products(disagreement.reshape(*mean.shape[:-1], -1)) / (seeds * (seeds - 1))
    return seed, test * (clusters - 1) / clusters


def _products(rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(rows @ np.swapaxes(rows, -1, -2))


def singly(samples: Sequence[Sample]) -> Figures:
    """The figures of each sample over its own seeds, [k]."""
    parts = [covariances(sample.scores[None], sample.influences[None]) for sample in samples]
    return Figures(
        mean=np.array([sample.scores.mean() for sample in samples]),
        seed_variance=np.array([seed[0, 0] for seed, _ in parts]),
        test_variance=np.array([max(0.0, test[0, 0]) for _, test in parts]),
        seeds=np.array([len(sample.seeds) for sample in samples]),
        clusters=samples[0].influences.shape[-1],
    )


def pairwise(samples: Sequence[Sample]) -> Figures:
    """The figures of every difference, [k, k]: [i, j] is sample i minus sample j over the seeds that both have."""
    k = len(samples)
    mean, seed, test = np.full((3, k, k), np.nan)
    figures = Figures(mean, seed, test, np.zeros((k, k), int), samples[0].influences.shape[-1])
    which = {seeds: [i for i, sample in enumerate(samples) if sample.seeds == seeds] for seeds in _sets(samples)}
    for common in {tuple(sorted({*one} & {*other})) for one in which for other in which} - {()}:
        _fill(figures, samples, common, which)
    return figures


def _fill(figures: Figures, samples: Sequence[Sample], common: tuple[int, ...], which: dict[Any, list[int]]) -> None:
    """Set the figures of the pairs whose common seeds are exactly these."""
    able = [i for seeds, members in which.items() if {*common} <= {*seeds} for i in members]
    chosen = [samples[i].at(common) for i in able]
    scores, influences = (np.stack(parts) for parts in zip(*chosen, strict=True))
    seed, test = covariances(scores, influences)
    mean = scores.mean(axis=-1)
    values = np.subtract.outer(mean, mean), _of_difference(seed), _of_difference(test), len(common)
    exactly = np.array([[len({*samples[i].seeds} & {*samples[j].seeds}) == len(common) for j in able] for i in able])
    rows, columns = np.nonzero(exactly)
    places = np.asarray(able)[rows], np.asarray(able)[columns]
    for part, value in zip((figures.mean, figures.seed_variance, figures.test_variance), values[:3], strict=True):
        part[places] = value[rows, columns]
    figures.seeds[places] = len(common)


def _sets(samples: Iterable[Sample]) -> list[tuple[int, ...]]:
    return list(dict.fromkeys(sample.seeds for sample in samples))


def _of_difference(covariance: NDArray[Any]) -> NDArray[Any]:
    """Variances of all differences, from a covariance matrix; what rounding leaves below 0 is 0."""
    own = np.diagonal(covariance)
    return np.asarray(np.maximum(0.0, np.add.outer(own, own) - 2 * covariance))
