"""Other estimators than the report's, to see what they would give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import polygamma, psi, stdtrit
from scipy.stats import f as f_distribution

from bench.stats.intervals import singly
from bench.stats.moderation import Prior, fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.stats.intervals import Figures

MARGINS = "margins in squares, disagreement in the seeds' alone (ours)"
PRIORS = "moderated, 1 / degrees averaged (ours)"

_DEGREES = np.geomspace(0.5, 128, 25)
_MANY = 1e6


def margins(scores: NDArray[Any], influences: NDArray[Any]) -> dict[str, Callable[[float], NDArray[Any]]]:
    """Half widths at a level of the differences from the first variant, each with its own variance over seeds.

    *Disagreement* is the variance that comes from runs disagreeing about single examples.
    """
    scores, influences = (part[:, 1:] - part[:, :1] for part in (scores, influences))
    seeds, clusters = influences.shape[-2:]
    figures = singly(scores, influences, Prior.none(scores.shape[1]))
    of_seeds, of_test = figures.variances[1:]
    disagreement = influences.var(axis=-2, ddof=1).sum(axis=-1) * (clusters - 1) / clusters / seeds

    def squares(seed: NDArray[Any], test: NDArray[Any], level: float) -> NDArray[Any]:
        return np.asarray(np.sqrt(_t(level, seeds - 1) ** 2 * seed + _t(level, clusters - 1) ** 2 * test))

    return {
        "seeds alone, t(seeds - 1)": lambda level: _t(level, seeds - 1) * np.sqrt(of_seeds),
        "t(seeds - 1) on the sum of variances": lambda level: _t(level, seeds - 1) * np.sqrt(of_seeds + of_test),
        "Satterthwaite on the sum of variances": lambda level: _satterthwaite(level, figures),
        "margins in squares, disagreement in both": partial(squares, of_seeds, of_test + disagreement),
        "margins in squares, disagreement in the test's alone": partial(
            squares, np.maximum(0, of_seeds - disagreement), of_test + disagreement
        ),
        "margins in squares, each variant's own variance (ours before)": partial(squares, of_seeds, of_test),
    }


def _t(level: float, degrees: NDArray[Any] | int) -> NDArray[Any]:
    return np.asarray(-stdtrit(degrees, level / 2))


def _satterthwaite(level: float, figures: Figures) -> NDArray[Any]:
    of_each = (figures.variances[1:] ** 2 / figures.degrees[1:]).sum(axis=0)
    return np.asarray(_t(level, figures.variance**2 / of_each) * np.sqrt(figures.variance))


def priors(scores: NDArray[Any]) -> dict[str, Prior]:
    """Other priors from scores [studies, variants, seeds]; where nothing is shared, they share nothing either."""
    ours = fit(scores, np.ones(scores.shape[:-1], dtype=bool))
    alike = ours.degrees > 0
    variants, seeds = scores.shape[-2:]
    residuals = scores - scores.mean(axis=-1, keepdims=True)
    residuals = residuals - residuals.mean(axis=-2, keepdims=True)
    degrees = (seeds - 1) * (1 - 1 / variants)
    variances = np.maximum((residuals**2).sum(axis=-1) / degrees, 1e-12)
    weights = _likelihood(variances, degrees, alike)
    mean_log = np.exp((weights * np.log(_DEGREES)).sum(axis=-1))
    return {
        "each variant's own variance (before)": Prior.none(variants),
        "one variance for all": _worth(ours, np.full(len(scores), _MANY)),
        "moderated, limma's degrees by moments": _worth(ours, _moments(variances, degrees, alike)),
        "moderated, the likeliest degrees": _worth(ours, _DEGREES[weights.argmax(axis=-1)]),
        "moderated, degrees averaged as logarithms": _worth(ours, mean_log),
        "moderated, 1 / degrees averaged without what lies far off": _worth(
            ours, 1 / (weights / _DEGREES**2).sum(-1) * (weights / _DEGREES).sum(-1)
        ),
        "moderated, what a seed does to all left in": Prior(ours.variance + ours.common, 0 * ours.common, ours.degrees),
    }


def _worth(prior: Prior, degrees: NDArray[Any]) -> Prior:
    """The prior with other degrees of freedom [studies], its variance fitted to them."""
    shared = prior.degrees.max(axis=-1)
    known = np.where(shared > 0, shared, 1.0)
    variance = prior.variance * np.exp(_bias(degrees) - _bias(known))
    return Prior(variance, prior.common, np.where(prior.degrees > 0, degrees[:, None], 0.0))


def _bias(degrees: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(psi(degrees / 2) - np.log(degrees / 2))


def _moments(variances: NDArray[Any], degrees: float, alike: NDArray[Any]) -> NDArray[Any]:
    """The prior's degrees of freedom as Smyth has them: by the variance of the logarithms."""
    logs = np.where(alike, np.log(variances), np.nan)
    count = np.maximum(2, alike.sum(axis=-1))
    mean = np.where(alike, logs, 0.0).sum(axis=-1) / count
    spread = np.where(alike, (logs - mean[:, None]) ** 2, 0.0).sum(axis=-1) / (count - 1) - polygamma(1, degrees / 2)
    tried = np.geomspace(0.05, _MANY, 2000)
    found = np.interp(-spread, -polygamma(1, tried / 2), tried)
    return np.asarray(np.where(spread > 0, found, _MANY))


def _likelihood(variances: NDArray[Any], degrees: float, alike: NDArray[Any]) -> NDArray[Any]:
    """How likely each of the prior's degrees of freedom are [studies, tried], adding up to 1."""
    logs = np.where(alike, np.log(variances), 0.0).sum(axis=-1) / np.maximum(1, alike.sum(axis=-1))
    tried = []
    for prior in _DEGREES:
        ratio = variances / np.exp(logs - _bias(np.asarray(degrees)) + _bias(np.asarray(prior)))[:, None]
        log = f_distribution.logpdf(ratio, degrees, prior) + np.log(ratio)
        tried.append(np.where(alike, log, 0.0).sum(axis=-1))
    likelihood = np.stack(tried, axis=-1)
    weights = np.exp(likelihood - likelihood.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
