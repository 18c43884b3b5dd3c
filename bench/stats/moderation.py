"""How much a seed moves a score, learnt from all variants together: with three seeds, one variant alone hardly knows.

Empirical Bayes as in limma (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3): each variant's variance over seeds is drawn
towards a common one, the more so the more alike the variants' variances are. What lies far off keeps its own (Phipson
et al. 2016, Ann. Appl. Stat. 10:946).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.stats.jackknife import Sample

LEAST = 4
"""Fewer variants than this share nothing: so few variances don't tell how alike they are."""
OUTLYING = 0.05
"""A variant keeps its own variance where the largest of as many as there are would be like it this rarely."""
TRIMMED = 0.1
"""So many of the variants, those with the largest variances, have no say in what counts as far off."""

_DEGREES = np.geomspace(0.5, 128, 25)
"""The prior degrees of freedom that are weighed against each other."""
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Prior:
    """What the variants know together about the chance in seeds; [...] are studies, of which a report has one.

    One run's score has the variance `variance` [...] over seeds, and besides it `common` [...], which is what a seed
    does to all variants alike. `degrees` [..., variants] says how many degrees of freedom this is worth for each
    variant: 0 for one that keeps its own variance.
    """

    variance: NDArray[Any]
    common: NDArray[Any]
    degrees: NDArray[Any]

    @classmethod
    def none(cls, variants: int) -> Prior:
        """Every variant keeps its own variance."""
        return cls(np.zeros(()), np.zeros(()), np.zeros(variants))

    def of(self, variants: NDArray[Any] | slice) -> Prior:
        """The same for some of the variants."""
        return Prior(self.variance, self.common, self.degrees[..., variants])


def learn(samples: Sequence[Sample], able: NDArray[Any]) -> Prior:
    """Learn from one study's variants; `able` [variants] says which of them count."""
    seeds = sorted({seed for sample in samples for seed in sample.seeds})
    scores = np.full((len(samples), len(seeds)), np.nan)
    for row, sample in zip(scores, samples, strict=True):
        row[[seeds.index(seed) for seed in sample.seeds]] = sample.scores
    return fit(scores, able)


def fit(scores: NDArray[Any], able: NDArray[Any]) -> Prior:
    """Learn from scores [..., variants, seeds], nan where a variant lacks a seed.

    Only variants that are `able` [..., variants] count, and of these only such whose score varies: untrained heads and
    fits to fixed features are another population. What a seed does to all of them alike is taken off first.
    """
    from scipy.special import fdtrc

    seeds = (~np.isnan(scores)).sum(axis=-1)
    varies = np.nansum((scores - _mean(scores, -1)) ** 2, axis=-1) > _NEGLIGIBLE
    able = able & varies & (seeds > 1)
    variants = able.sum(axis=-1)[..., None]
    residuals, effects = _two_way(np.where(able[..., None], scores, np.nan))
    degrees = np.where(able, (seeds - 1) * (1 - 1 / np.maximum(2, variants)), 1.0)
    variances = np.maximum(np.nansum(residuals**2, axis=-1) / degrees, _NEGLIGIBLE)
    size = np.argsort(np.argsort(np.where(able, variances, np.inf), axis=-1), axis=-1)
    usual = able & (size < np.floor((1 - TRIMMED) * variants))
    rough = _prior_degrees(variances, degrees, usual)
    tail = fdtrc(degrees, rough[..., None], variances / _scale(variances, degrees, usual, rough)[..., None])
    alike = able & (variants * tail > OUTLYING)
    shared = alike.sum(axis=-1) >= LEAST
    worth = _prior_degrees(variances, degrees, able)
    return Prior(
        variance=np.where(shared, _scale(variances, degrees, alike, worth), 0.0),
        common=np.where(shared, _common(effects, variances, able), 0.0),
        degrees=np.where(alike & shared[..., None], worth[..., None], 0.0),
    )


def _mean(values: NDArray[Any], axis: int) -> NDArray[Any]:
    there = (~np.isnan(values)).sum(axis=axis, keepdims=True)
    return np.asarray(np.nansum(values, axis=axis, keepdims=True) / np.maximum(1, there))


def _two_way(scores: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Residuals of an additive fit of variants and seeds, and the seeds' effects [..., seeds], by turns."""
    residuals, effects = scores - _mean(scores, -1), np.zeros((*scores.shape[:-2], 1, scores.shape[-1]))
    step = _mean(residuals, -2)
    while np.abs(step).max() > 1e-9:  # once, where every variant has every seed
        residuals, effects = residuals - step, effects + step
        residuals = residuals - _mean(residuals, -1)
        step = _mean(residuals, -2)
    return residuals, effects[..., 0, :]


def _common(effects: NDArray[Any], variances: NDArray[Any], able: NDArray[Any]) -> NDArray[Any]:
    """The variance of what a seed does to all alike: that of the seeds' effects, less what comes of single variants."""
    count = np.maximum(1, able.sum(axis=-1))
    single = np.where(able, variances, 0.0).sum(axis=-1) / count**2
    return np.asarray(np.maximum(0.0, effects.var(axis=-1, ddof=min(1, effects.shape[-1] - 1)) - single))


def _scale(variances: NDArray[Any], degrees: NDArray[Any], counted: NDArray[Any], prior: NDArray[Any]) -> NDArray[Any]:
    """The common variance [...] that fits best, given its prior degrees of freedom [...]: by the mean of logarithms."""
    logs = np.where(counted, np.log(variances) - _bias(degrees), 0.0).sum(axis=-1) / np.maximum(1, counted.sum(axis=-1))
    return np.asarray(np.exp(logs + _bias(prior)))


def _bias(degrees: NDArray[Any]) -> NDArray[Any]:
    """The mean logarithm of a variance with so many degrees of freedom, where the true one is 1."""
    from scipy.special import psi

    return np.asarray(psi(degrees / 2) - np.log(degrees / 2))


def _prior_degrees(variances: NDArray[Any], degrees: NDArray[Any], counted: NDArray[Any]) -> NDArray[Any]:
    """How many degrees of freedom the common variance is worth [...], from how much the variances differ.

    Over the common variance they have an F distribution with `degrees` and the prior's degrees of freedom. Few of them
    tell little about these, and one likeliest value would often be infinite by luck alone. So 1 / degrees, which says
    how much the true variances differ, is given equal chances beforehand and averaged over what the data leave open.
    """
    from scipy.special import betaln

    tried = []
    for prior in _DEGREES:
        scale = _scale(variances, degrees, counted, np.asarray(prior))[..., None]
        ratio = degrees * variances / (prior * scale)
        log = degrees / 2 * np.log(ratio) - (degrees + prior) / 2 * np.log1p(ratio) - betaln(degrees / 2, prior / 2)
        tried.append(np.where(counted, log, 0.0).sum(axis=-1))
    likelihood = np.stack(tried, axis=-1)
    weights = np.exp(likelihood - likelihood.max(axis=-1, keepdims=True)) / _DEGREES
    return np.asarray(weights.sum(axis=-1) / (weights / _DEGREES).sum(axis=-1))
