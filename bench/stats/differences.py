"""Variants against a reference, and against the best, on the same seeds and the same test examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.stats.intervals import LEVEL, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.stats.intervals import Figures

Verdict = Literal["better", "worse", "no difference found", "equivalent"]

MARGIN = 0.01
"""Accuracies that differ by less than a point count as equivalent."""


@dataclass(frozen=True)
class Difference:
    """A variant's accuracy minus the reference's, over the seeds that both have.

    `p` is the level at which the interval would just exclude 0; `p_holm` is p adjusted for all of the comparison's
    differences, and "better" and "worse" go by it. "equivalent": the interval lies wholly within ±1 point.
    """

    mean: float
    interval: Interval
    p: float
    p_holm: float
    verdict: Verdict


def against(figures: Figures) -> list[Difference | None]:
    """Judge differences from a reference, [k]; None where there is no seed in common.

    p is adjusted by Holm, which bounds the chance of any false "better" or "worse" by 5%.
    """
    known = np.flatnonzero(figures.seeds > 0)
    if not known.size:
        return [None] * figures.mean.size
    p = figures.at(known).p()
    p_of, holm_of = (dict(zip(known.tolist(), map(float, values), strict=True)) for values in (p, holm(p)))
    return [
        Difference(float(mean), interval, p_of[i], holm_of[i], verdict(interval, float(mean), holm_of[i]))
        if interval
        else None
        for i, (mean, interval) in enumerate(zip(figures.mean, figures.intervals(), strict=True))
    ]


def holm(p: NDArray[Any]) -> NDArray[Any]:
    """Adjust p values [n], as Holm does (1979, Scand. J. Stat. 6:65): the i-th smallest times n + 1 - i, never falling.

    statsmodels has it too, but takes longer to import than a hundred variants to compare.
    """
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1)
    return adjusted


def verdict(interval: Interval, mean: float, p_holm: float) -> Verdict:
    """Put a difference into words.

    Equivalent is what two one-sided tests would call so (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657), here at
    2.5% each, even where the difference is surely not 0: it is too small to choose by.
    """
    if interval.low > -MARGIN and interval.high < MARGIN:
        return "equivalent"
    if p_holm > LEVEL:
        return "no difference found"
    return "better" if mean > 0 else "worse"


def top_group(differences: Figures) -> NDArray[Any]:
    """Which of k variants can't be told from the best, booleans [..., k], from all their differences [..., k, k].

    Multiple comparisons with the best (Hsu 1984, Ann. Stat. 12:1136): a variant is out when the hypothesis that no
    other is better is rejected at 5%. So the truly best is in the group with 95% confidence. Hsu takes Dunnett's
    distribution, which asks for equal variances and one number of degrees of freedom; here the hypothesis is tested by
    Simes' inequality (1986, Biometrika 73:751) on the one-sided p, which holds for comparisons that share a variant
    (Sarkar 1998, Ann. Stat. 26:494): rejected where the i-th smallest of n is below i / n of the level for any i.
    """
    k = differences.mean.shape[-1]
    if k == 1:
        return np.ones(differences.mean.shape[:-1], dtype=bool)
    one_sided = np.ones(differences.mean.shape)
    lower = np.nonzero(differences.mean < 0)
    one_sided[lower] = differences.at(*lower).p() / 2
    others = one_sided[..., ~np.eye(k, dtype=bool)].reshape(*one_sided.shape[:-1], k - 1)
    simes = np.sort(others, axis=-1) * ((k - 1) / np.arange(1, k))
    return np.asarray(simes.min(axis=-1) > LEVEL)
