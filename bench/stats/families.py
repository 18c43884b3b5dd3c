"""Many comparisons at once, on the same test examples and with a variant in common.

Dunnett's problem in its general form (Hothorn, Bretz & Westfall 2008, Biom. J. 50:346): differences from one reference
are correlated, so that fewer of them err together than Bonferroni and Holm allow for.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.bootstrap import correlated, covariance
from bench.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.stats.intervals import Figures

LEAST_DEGREES = 8
"""Where seeds are known with fewer degrees of freedom the correlations are too uncertain, and Holm's method is used."""

_DRAWS = 10_000
_CAUTION = 1.25
"""Tests on few documents have heavier tails than normal draws: so much is added to what these say of errors."""


class Family:
    """The differences of all other variants from one, tested together.

    `pairs` [variants, variants] are the differences of all variants; `others` [k] are those with a seed in common with
    the `reference`. How two differences are correlated is read off the variances of all pairs. Where nothing differs,
    normal values so correlated stand for the tests, whatever the degrees of freedom: with few of these the tests have
    the more in common, and their errors come together in fewer studies.
    """

    def __init__(self, pairs: Figures, reference: int) -> None:
        known = pairs.seeds[:, reference] > 0
        known[reference] = False
        self.others = np.flatnonzero(known)
        self.figures = pairs.at(self.others, reference)
        self._pairs, self._reference = pairs, reference

    @cached_property
    def _drawn(self) -> NDArray[Any]:
        """What |z| the tests have where nothing differs, [draws, k]."""
        variance = self._pairs.variance
        found = covariance(variance[self.others, self._reference], variance[np.ix_(self.others, self.others)])
        deviation = np.sqrt(np.diagonal(found))
        whole = np.outer(deviation, deviation)
        correlation = np.divide(found, whole, out=np.eye(len(found)), where=whole > 0)
        return np.asarray(np.abs(correlated(np.clip(correlation, -1, 1), _DRAWS)))

    @cached_property
    def max_t(self) -> bool:
        """Whether correlations are made use of; else Bonferroni and Holm bound the errors."""
        return bool(self.others.size and np.median(self.figures.degrees[0]) >= LEAST_DEGREES)

    @cached_property
    def level(self) -> float:
        """The level for each test at which any errs with LEVEL at most; never below Bonferroni's."""
        bonferroni = LEVEL / len(self.others)
        if not self.max_t or len(self.others) == 1:
            return bonferroni
        return max(bonferroni, _p(float(np.quantile(self._drawn.max(axis=1), 1 - LEVEL / _CAUTION))))

    def adjusted(self, p: NDArray[Any]) -> NDArray[Any]:
        """Adjust p [k] for the family, step by step (Westfall & Young 1993, *Resampling-Based Multiple Testing*).

        The i-th smallest becomes the chance that any of those from it on is as small where nothing differs; at most
        what Holm gives, which needs no draws and tells very small p apart.
        """
        if not self.max_t:
            return holm(p)
        order = np.argsort(p)
        largest = np.maximum.accumulate(self._drawn[:, order[::-1]], axis=1)[:, ::-1]
        found = _CAUTION * (1 + (largest >= _z(p[order])).sum(axis=0)) / (1 + _DRAWS)
        adjusted = np.empty_like(p)
        adjusted[order] = np.maximum.accumulate(found)
        return np.asarray(np.maximum(p, np.minimum(adjusted, holm(p))))


def holm(p: NDArray[Any]) -> NDArray[Any]:
    """Adjust p values [n], as Holm does (1979, Scand. J. Stat. 6:65): the i-th smallest times n + 1 - i, never falling.

    statsmodels has it too, but takes longer to import than a hundred variants to compare.
    """
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1)
    return adjusted


def _z(p: NDArray[Any]) -> NDArray[Any]:
    from scipy.special import ndtri

    return np.asarray(-ndtri(p / 2))


def _p(z: float) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-z))
