"""Is one revision slower than another? Decided on timings of a noisy machine, without false alarms.

Each round times both revisions, one right after the other, so that what disturbs the machine disturbs both and cancels
in the round's ratio. The median of these gets a percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).
Several benchmarks are looked at, several times each, so the level of an interval is Bonferroni's for all of them
together. With so few rounds the bootstrap covers less than its level: where every benchmark of 15 is slower by exactly
the margin, about one comparison in ten alarms; where nothing changed, the margin keeps it far from that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESAMPLES = 10_000


class Verdict(Enum):
    """Where the whole interval of the ratio lies; `UNCLEAR` where it doesn't lie on one side."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "not slower"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Rule:
    """How much slower counts, how sure one must be, and how many rounds and looks at them that may take."""

    margin: float = 0.05
    confidence: float = 0.95
    most: int = 20
    looks: int = 3

    def level(self, benchmarks: int) -> float:
        """Return the confidence of the interval of one of so many benchmarks at one of the looks."""
        return 1 - (1 - self.confidence) / (benchmarks * self.looks)

    def rounds(self, benchmarks: int) -> list[int]:
        """Return after how many rounds to look.

        Chance alone puts all n rounds on one side in 1 of 2ⁿ cases: before that is rarer than an interval may miss on
        one side, there is nothing to see.
        """
        first = math.ceil(math.log2(2 / (1 - self.level(benchmarks))))
        return sorted({round(n) for n in np.linspace(first, max(first, self.most), self.looks)})

    def judge(self, low: float, high: float) -> Verdict:
        """Return where the interval of the ratio lies."""
        limit = 1 + self.margin
        if low > limit:
            return Verdict.SLOWER
        if high < 1 / limit:
            return Verdict.FASTER
        return Verdict.SAME if high <= limit else Verdict.UNCLEAR


@dataclass(frozen=True)
class Ratio:
    """How many times as long head takes as base, with its interval."""

    value: float
    low: float
    high: float


def ratio(base: Sequence[float], head: Sequence[float], level: float) -> Ratio:
    """Return the median over the rounds of head's time over base's, with its bootstrap interval.

    The two sequences are of the same rounds.
    """
    ratios = np.asarray(head) / np.asarray(base)
    medians = np.sort(ratios)[_middles(len(ratios))].mean(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Ratio(float(np.median(ratios)), float(low), float(high))


@cache
def _middles(rounds: int) -> NDArray[np.int64]:
    """Return the ranks of the two rounds whose mean is each resample's median, [resamples, 2]; the same for all."""
    drawn = np.random.default_rng(0).integers(0, rounds, (RESAMPLES, rounds))
    return np.sort(drawn, axis=1)[:, [(rounds - 1) // 2, rounds // 2]]
