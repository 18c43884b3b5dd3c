"""Variants against a reference, and against the best, on the same seeds and the same test examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.stats.intervals import LEVEL, Interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.stats.families import Family
    from bench.stats.intervals import Figures

Verdict = Literal["better", "worse", "no difference found", "equivalent"]

MARGIN = 0.01
"""Accuracies that differ by less than a point count as equivalent."""


@dataclass(frozen=True)
class Difference:
    """A variant's accuracy minus the reference's, over the seeds that both have, or minus the baseline's.

    `interval` covers by itself, `simultaneous` together with those of all other variants. `p` is the level at which the
    interval would just exclude 0; `p_adjusted` is p adjusted for all of the comparison's differences, and "better" and
    "worse" go by it. "equivalent": the interval lies wholly within ±1 point.
    """

    mean: float
    interval: Interval
    simultaneous: Interval
    p: float
    p_adjusted: float
    verdict: Verdict

    @property
    def reversed(self) -> Difference:
        """The same, seen from the other side."""
        turned: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        return replace(
            self,
            mean=-self.mean,
            interval=Interval(-self.interval.high, -self.interval.low),
            simultaneous=Interval(-self.simultaneous.high, -self.simultaneous.low),
            verdict=turned.get(self.verdict, self.verdict),
        )


def against(family: Family) -> dict[int, Difference]:
    """Judge a family's differences, by the variant's place; the chance of any false "better" or "worse" is 5%."""
    if not family.others.size:
        return {}
    found = zip(family.others.tolist(), judged(family.figures, family.level, family.adjusted), strict=True)
    return {place: difference for place, difference in found if difference}


def judged(
    figures: Figures, level: float, adjusted: Callable[[NDArray[Any]], NDArray[Any]]
) -> tuple[Difference | None, ...]:
    """Judge differences [k] that are tested together, each at `level`, or by its p adjusted; None without a seed."""
    p = figures.p()
    rows = zip(
        *(figures.mean.tolist(), figures.intervals(), figures.intervals(level=level)),
        *(p.tolist(), adjusted(p).tolist()),
        strict=True,
    )
    return tuple(
        Difference(mean, interval, together, p, adjusted, verdict(interval, mean, adjusted))
        if interval and together
        else None
        for mean, interval, together, p, adjusted in rows
    )


def verdict(interval: Interval, mean: float, p_adjusted: float) -> Verdict:
    """Put a difference into words.

    Equivalent is what two one-sided tests would call so (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657), here at
    2.5% each, even where the difference is surely not 0: it is too small to choose by.
    """
    if interval.low > -MARGIN and interval.high < MARGIN:
        return "equivalent"
    if p_adjusted > LEVEL:
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
    return ~surely_beaten(differences.at(..., ~np.eye(k, dtype=bool)).reshaped((*differences.mean.shape[:-1], k - 1)))


def surely_beaten(differences: Figures) -> NDArray[Any]:
    """Whether any other is surely better, booleans [...], from a variant's differences from all others [..., k - 1]."""
    others = differences.mean.shape[-1]
    one_sided = np.ones(differences.mean.shape)
    lower = np.nonzero(differences.mean < 0)
    one_sided[lower] = differences.at(*lower).p() / 2
    simes = np.sort(one_sided, axis=-1) * (others / np.arange(1, others + 1))
    return np.asarray(simes.min(axis=-1) <= LEVEL)
