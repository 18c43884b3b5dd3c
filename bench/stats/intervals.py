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
    from types import EllipsisType

    from numpy.typing import NDArray

    from bench.stats.jackknife import Sample
    from bench.stats.moderation import Prior

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
    """Means over seeds and test examples, arrays of one shape [...], with what makes them uncertain.

    `variances` and `degrees` [sources, ...] are the variance of the mean that each independent source of chance adds,
    and the degrees of freedom with which it is known: seeds first, test examples last. `seeds` says over how many seeds
    a mean is. With one seed the seed's variances are 0: the figures are given this seed. With none the mean is nan.
    """

    mean: NDArray[Any]
    variances: NDArray[Any]
    degrees: NDArray[Any]
    seeds: NDArray[Any]

    @property
    def variance(self) -> NDArray[Any]:
        """The variance of each mean."""
        return np.asarray(self.variances.sum(axis=0))

    def at(self, *places: NDArray[Any] | slice | int | EllipsisType) -> Figures:
        """The figures at some places of the arrays."""
        within = (slice(None), *places)
        return Figures(self.mean[places], self.variances[within], self.degrees[within], self.seeds[places])

    def reshaped(self, shape: tuple[int, ...]) -> Figures:
        """The same figures in arrays of another shape."""
        whole = (len(self.variances), *shape)
        return Figures(
            self.mean.reshape(shape),
            self.variances.reshape(whole),
            self.degrees.reshape(whole),
            self.seeds.reshape(shape),
        )

    def spread(self, places: Sequence[Sequence[int]], shape: tuple[int, ...]) -> Figures:
        """Figures of the shape that have these at `places`, a list for each dimension, and elsewhere no seed."""
        every = _nothing((len(self.variances), *shape))
        every.put(np.ix_(*places), self)
        return every

    def put(self, places: tuple[NDArray[Any] | slice, ...], others: Figures) -> None:
        """Set the figures at some places."""
        within = (slice(None), *places)
        self.mean[places], self.seeds[places] = others.mean, others.seeds
        self.variances[within], self.degrees[within] = others.variances, others.degrees

    def half_width(self, level: float | NDArray[Any] = LEVEL) -> NDArray[Any]:
        """Half the width of the intervals that cover with 1 - level.

        With t the quantile of Student's distribution: the square root of the sum of t(degrees)² variance. Each source
        is given the margin that it would have alone, and the margins are added in squares. So Howe (1974, J. Am. Stat.
        Assoc. 69:789) puts together two margins; Graybill & Wang (1980, J. Am. Stat. Assoc. 75:869) and Zou & Donner
        (2008, Stat. Med. 27:1693) generalise it.
        """
        return np.asarray(np.sqrt((_quantile(level, self.degrees) ** 2 * self.variances).sum(axis=0)))

    def intervals(self, within: tuple[float, float] = (-1.0, 1.0), level: float = LEVEL) -> list[Interval | None]:
        """The intervals of one-dimensional figures, cut to what can be; None where there is no seed."""
        low, high = (np.clip(self.mean + sign * self.half_width(level), *within) for sign in (-1, 1))
        ends = zip(low.tolist(), high.tolist(), self.seeds > 0, strict=True)
        return [Interval(low, high) if known else None for low, high, known in ends]

    def p(self) -> NDArray[Any]:
        """Two-sided p for a mean of 0: the level at which the interval just excludes 0, so that both always agree.

        1e-15 stands for anything smaller. Without a seed p is 1.
        """
        from scipy.optimize.elementwise import find_root  # scipy takes long to import, and most commands never ask

        sources = len(self.variances)

        def excess(log_level: NDArray[Any], mean: NDArray[Any], *each: NDArray[Any]) -> NDArray[Any]:
            margins = zip(each[:sources], each[sources:], strict=True)
            reach = sum(_quantile(np.exp(log_level), degrees) ** 2 * variance for variance, degrees in margins)
            return np.asarray(reach - mean**2)

        figures = self.mean, *self.variances, *self.degrees
        found = find_root(excess, (np.log(_SMALLEST_P), 0.0), args=figures, tolerances={"xatol": 1e-6, "xrtol": 0})
        p = np.where(found.success, np.exp(found.x), _SMALLEST_P)
        return np.where((self.seeds == 0) | (self.mean == 0), 1.0, p)

    def detectable(self, level: float | NDArray[Any] = LEVEL, power: float = 0.8) -> NDArray[Any]:
        """The smallest true differences that a test at this level finds with this power.

        The square root of the sum of λ(degrees)² variance, where a t test with ν degrees of freedom finds a difference
        of λ(ν) standard errors with this power: the noncentrality of Student's distribution (Cohen 1988, *Statistical
        Power Analysis*, ch. 2). It is put together as the intervals are.
        """
        from scipy.special import nctdtrinc

        reach = nctdtrinc(np.maximum(1, self.degrees), 1 - power, -_quantile(level, np.maximum(1, self.degrees)))
        return np.asarray(np.sqrt((reach**2 * self.variances).sum(axis=0)))


def _quantile(level: float | NDArray[Any], degrees: NDArray[Any]) -> NDArray[Any]:
    """Student's t beyond which both tails hold `level`, negative; 0 for no degrees of freedom, where nothing varies."""
    from scipy.special import stdtrit

    return np.where(degrees > 0, stdtrit(np.maximum(1, degrees), np.divide(level, 2)), 0.0)


def singly(scores: NDArray[Any], influences: NDArray[Any], prior: Prior) -> Figures:
    """The figures [...] of variants from their scores [..., seeds], influences [..., seeds, clusters] and prior.

    Three sources: what a seed does to all variants alike, of which nothing tells but these seeds; what it does to this
    variant, of which the others tell too; and the test examples.
    """
    seeds, clusters = influences.shape[-2:]
    seed, test = covariances(scores[..., None, :], influences[..., None, :, :])
    own, degrees = seed[..., 0, 0], seeds - 1 + prior.degrees
    if seeds > 1:
        own = ((seeds - 1) * own + prior.degrees * (prior.variance + prior.common)[..., None] / seeds) / degrees
    common = np.where(prior.degrees > 0, np.minimum(own, prior.common[..., None] / seeds), 0.0)
    return _figures(
        scores.mean(axis=-1), (common, own - common, test[..., 0, 0]), (seeds - 1, degrees, clusters - 1), seeds
    )


def differences(scores: NDArray[Any], influences: NDArray[Any], prior: Prior) -> Figures:
    """The figures [..., k, k] of all differences, the first minus the second.

    scores are [..., k, seeds], influences [..., k, seeds, clusters]. The seeds' covariance is the sample's, drawn
    towards one in which all variants are alike and share what a seed does to all of them, for each variant by the
    degrees of freedom that this is worth. So what a seed does to both cancels out. Two variants' degrees of freedom
    are put together by their variances (Satterthwaite 1946, Biometrics 2:110), and never add up.
    """
    seeds, clusters = influences.shape[-2:]
    mean = scores.mean(axis=-1)
    seed, test = covariances(scores, influences)
    degrees = np.broadcast_to(seeds - 1 + prior.degrees, mean.shape).astype(float)
    if seeds > 1:
        weights = np.sqrt(np.stack([degrees - (seeds - 1), np.full(mean.shape, seeds - 1)]) / degrees)
        shared, own = weights[..., :, None] * weights[..., None, :]
        alike = prior.common[..., None, None] + prior.variance[..., None, None] * np.eye(mean.shape[-1])
        seed = own * seed + shared * alike / seeds
    variance = np.diagonal(seed, axis1=-2, axis2=-1)
    return _figures(
        mean[..., :, None] - mean[..., None, :],
        (_of_differences(seed), _of_differences(test)),
        (_together(variance, degrees), clusters - 1),
        seeds,
    )


def _together(variance: NDArray[Any], degrees: NDArray[Any]) -> NDArray[Any]:
    """The degrees of freedom [..., k, k] of two variances' sum, at most those of the better known one."""
    squares = variance**2 / np.maximum(1, degrees)
    below = squares[..., :, None] + squares[..., None, :]
    most = np.maximum(degrees[..., :, None], degrees[..., None, :])
    whole = (variance[..., :, None] + variance[..., None, :]) ** 2
    return np.asarray(np.minimum(most, np.divide(whole, below, out=most.copy(), where=below > 0)))


def _figures(
    mean: NDArray[Any], variances: Sequence[NDArray[Any]], degrees: Sequence[NDArray[Any] | int], seeds: int
) -> Figures:
    """Put figures together; a variance that is estimated below 0 is 0."""
    known = np.stack([np.broadcast_to(each, mean.shape) for each in degrees]).astype(float)
    return Figures(mean, np.maximum(0.0, np.stack(variances)), known, np.full(mean.shape, seeds))


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


def of_each(samples: Sequence[Sample], prior: Prior) -> Figures:
    """The figures [k] of each sample over its own seeds."""
    every = _nothing((3, len(samples)))
    for place, sample in enumerate(samples):
        these = slice(place, place + 1)
        every.put((these,), singly(sample.scores[None], sample.influences[None], prior.of(these)))
    return every


def of_pairs(samples: Sequence[Sample], prior: Prior) -> Figures:
    """The figures [k, k] of every difference: [i, j] is sample i minus sample j over the seeds that both have."""
    every = _nothing((2, len(samples), len(samples)))
    shared = np.array([[len({*one.seeds} & {*other.seeds}) for other in samples] for one in samples])
    for common in _common_seeds(samples):
        able = np.array([i for i, sample in enumerate(samples) if {*common} <= {*sample.seeds}])
        scores, influences = zip(*(samples[i].at(common) for i in able), strict=True)
        found = differences(np.stack(scores), np.stack(influences), prior.of(able))
        exactly = np.nonzero(shared[np.ix_(able, able)] == len(common))
        every.put((able[exactly[0]], able[exactly[1]]), found.at(*exactly))
    return every


def _nothing(shape: tuple[int, ...]) -> Figures:
    """Figures [sources, ...] without a seed."""
    variances, degrees = np.full((2, *shape), np.nan)
    return Figures(np.full(shape[1:], np.nan), variances, degrees, np.zeros(shape[1:], int))


def _common_seeds(samples: Sequence[Sample]) -> set[tuple[int, ...]]:
    """Each set of seeds that is all that some two samples have in common."""
    kinds = {sample.seeds for sample in samples}
    return {tuple(sorted({*one} & {*other})) for one in kinds for other in kinds} - {()}
