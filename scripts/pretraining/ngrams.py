"""What counting alone can do: the perplexity of a unigram and a trigram model on the tokens the backbone is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DISCOUNT = 0.75
"""What is taken from every count that isn't zero (absolute discounting: Ney, Essen and Kneser, 1994)."""


@dataclass(frozen=True)
class Counts:
    """How often each sequence of n tokens stands in the training tokens, by the sequence's number."""

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: NDArray[np.int64]) -> Counts:
        return cls(*np.unique(numbers, return_counts=True))

    def __getitem__(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        places = np.searchsorted(self.keys, numbers).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == numbers, self.counts[places], 0)


def perplexities(training: NDArray[np.int32], held_out: NDArray[np.int32], vocabulary: int) -> tuple[float, float]:
    """Perplexity of a unigram and an interpolated trigram model (absolute discounting), fitted on `training`.

    Both arrays are tokens in a row; the first two held-out tokens are context only.
    """
    unigram = (np.bincount(training, minlength=vocabulary) + 1) / (len(training) + vocabulary)
    probability = unigram[held_out[2:]]
    results = [_perplexity(probability)]
    for order in (2, 3):
        seen = _numbers(training, order, vocabulary)
        asked = _numbers(held_out, order, vocabulary)[3 - order :]
        probability = _interpolate(seen, asked, vocabulary, probability)
    return results[0], _perplexity(probability)


def _numbers(tokens: NDArray[np.int32], order: int, vocabulary: int) -> NDArray[np.int64]:
    """Every run of `order` tokens as one number, its last token the lowest digit."""
    runs = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.int64), order)
    powers: NDArray[np.int64] = vocabulary ** np.arange(order - 1, -1, -1, dtype=np.int64)
    numbers: NDArray[np.int64] = runs @ powers
    return numbers


def _interpolate(
    seen: NDArray[np.int64], asked: NDArray[np.int64], vocabulary: int, lower: NDArray[np.float64]
) -> NDArray[np.float64]:
    runs = Counts.of(seen)
    contexts, continuations = Counts.of(seen // vocabulary), Counts.of(runs.keys // vocabulary)
    total, kinds = contexts[asked // vocabulary], continuations[asked // vocabulary]
    discounted = np.maximum(runs[asked] - DISCOUNT, 0) + DISCOUNT * kinds * lower
    return np.where(total > 0, discounted / np.maximum(total, 1), lower)


def _perplexity(probability: NDArray[np.float64]) -> float:
    return math.exp(-np.log(probability).mean())
