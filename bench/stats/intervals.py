"""How sure a mean over seeds and test examples is: both are drawn by chance, and of seeds there are few.

Every seed is scored on the same test examples, a crossed design. Its two sources of chance are estimated apart, each
with its own degrees of freedom, and put together so that intervals hold for 3 seeds (docs/statistics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def at(self, *places: NDArray[Any] | slice | int) -> Figures:
        """The figures at some places of the arrays."""
        return Figures(
            self.mean[places], self.seed_variance[places], self.test_variance[places], self.seeds[places], self.clusters
        )

    def put(self, places: int | tuple[NDArray[Any], ...], others: Figures) -> None:
        """Set the figures at some places."""
        for name in ("mean", "seed_variance", "test_variance", "seeds"):
            getattr(self, name)[places] = getattr(others, name)

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

        sqrt(λ(seeds - 1)² seed_variance + λ(clusters - 1)² test_variance), where a t test with ν degrees of freedom at
        the level LEVEL / tests, Holm's strictest step, finds a difference of λ(ν) standard errors with this power: the
        noncentrality of Student's distribution (Cohen 1988, *Statistical Power Analysis*, ch. 2). It is put together as
        the intervals are.
        """
        from scipy.special import nctdtrinc

        def noncentrality(units: NDArray[Any] | int) -> NDArray[Any]:
            degrees = np.maximum(1, np.asarray(units) - 1)
            return np.where(np.asarray(units) > 1, nctdtrinc(degrees, 1 - power, -_quantile(LEVEL / tests, degrees)), 0)

        of_seeds, of_test = noncentrality(self.seeds), noncentrality(self.clusters)
        return np.asarray(np.sqrt(of_seeds**2 * self.seed_variance + of_test**2 * self.test_variance))


def _quantile(level: float | NDArray[Any], degrees: NDArray[Any] | int) -> NDArray[Any]:
    """Student's t beyond which both tails hold `level`, negative; 0 for no degrees of freedom, where nothing varies."""
    from scipy.special import stdtrit

    return np.where(np.asarray(degrees) > 0, stdtrit(np.maximum(1, degrees), np.divide(level, 2)), 0.0)


def singly(scores: NDArray[Any], influences: NDArray[Any]) -> Figures:
    """The figures [...] of variants from their scores [..., seeds] and influences [..., seeds, clusters]."""
    seed, test = covariances(scores[..., None, :], influences[..., None, :, :])
    return _figures(scores.mean(axis=-1), seed[..., 0, 0], test[..., 0, 0], *influences.shape[-2:])


def differences(scores: NDArray[Any], influences: NDArray[Any]) -> Figures:
    """The figures [..., k, k] of all differences, the first minus the second.

    scores are [..., k, seeds], influences [..., k, seeds, clusters].
    """
    mean = scores.mean(axis=-1)
    seed, test = map(_of_differences, covariances(scores, influences))
    return _figures(mean[..., :, None] - mean[..., None, :], seed, test, *influences.shape[-2:])


def _figures(mean: NDArray[Any], seed: NDArray[Any], test: NDArray[Any], seeds: int, clusters: int) -> Figures:
    """Put figures together; a variance that is estimated below 0 is 0."""
    return Figures(mean, np.maximum(0.0, seed), np.maximum(0.0, test), np.full(mean.shape, seeds), clusters)


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


def _of_differences(covariance: NDArray[Any]) -> NDArray[Any]:
    own = np.diagonal(covariance, axis1=-2, axis2=-1)
    return np.asarray(own[..., :, None] + own[..., None, :] - 2 * covariance)


def of_each(samples: Sequence[Sample]) -> Figures:
    """The figures [k] of each sample over its own seeds."""
    every = _nothing(samples, (len(samples),))
    for place, sample in enumerate(samples):
        every.put(place, singly(sample.scores, sample.influences))
    return every


def of_pairs(samples: Sequence[Sample]) -> Figures:
    """The figures [k, k] of every difference: [i, j] is sample i minus sample j over the seeds that both have."""
    every = _nothing(samples, (len(samples), len(samples)))
    shared = np.array([[len({*one.seeds} & {*other.seeds}) for other in samples] for one in samples])
    for common in _common_seeds(samples):
        able = np.array([i for i, sample in enumerate(samples) if {*common} <= {*sample.seeds}])
        scores, influences = zip(*(samples[i].at(common) for i in able), strict=True)
        found = differences(np.stack(scores), np.stack(influences))
        exactly = np.nonzero(shared[np.ix_(able, able)] == len(common))
        every.put((able[exactly[0]], able[exactly[1]]), found.at(*exactly))
    return every


def _nothing(samples: Sequence[Sample], shape: tuple[int, ...]) -> Figures:
    """Figures without a seed."""
    mean, seed, test = np.full((3, *shape), np.nan)
    return Figures(mean, seed, test, np.zeros(shape, int), samples[0].influences.shape[-1])


def _common_seeds(samples: Sequence[Sample]) -> set[tuple[int, ...]]:
    """Each set of seeds that is all that some two samples have in common."""
    kinds = {sample.seeds for sample in samples}
    return {tuple(sorted({*one} & {*other})) for one in kinds for other in kinds} - {()}
