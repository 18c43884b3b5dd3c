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


@dataclass(frozen=True)
class Order:
    """Runs of n tokens, their contexts (all but the last token), and how many different tokens follow a context."""

    runs: Counts
    contexts: Counts
    kinds: Counts

    @classmethod
    def of(cls, numbers: NDArray[np.int64], vocabulary: int) -> Order:
        runs = Counts.of(numbers)
        return cls(runs, Counts.of(numbers // vocabulary), Counts.of(runs.keys // vocabulary))

    def interpolate(self, asked: NDArray[np.int64], vocabulary: int, lower: NDArray[np.float64]) -> NDArray[np.float64]:
        contexts = asked // vocabulary
        total = self.contexts[contexts]
        discounted = np.maximum(self.runs[asked] - DISCOUNT, 0) + DISCOUNT * self.kinds[contexts] * lower
        return np.where(total > 0, discounted / np.maximum(total, 1), lower)


@dataclass(frozen=True)
class Trigrams:
    """A unigram model (one added to every count) and on it an interpolated trigram model (absolute discounting)."""

    vocabulary: int
    unigram: NDArray[np.float64]
    bigrams: Order
    trigrams: Order

    @classmethod
    def of(cls, training: NDArray[np.int32], vocabulary: int) -> Trigrams:
        unigram = (np.bincount(training, minlength=vocabulary) + 1) / (len(training) + vocabulary)
        bigrams, trigrams = (Order.of(_numbers(training, n, vocabulary), vocabulary) for n in (2, 3))
        return cls(vocabulary, unigram, bigrams, trigrams)

    def perplexities(self, held_out: NDArray[np.int32]) -> tuple[float, float]:
        """Of the unigram and the trigram model; the first two held-out tokens are context only."""
        unigram = self.unigram[held_out[2:]]
        bigrams, trigrams = (_numbers(held_out, n, self.vocabulary)[3 - n :] for n in (2, 3))
        probability = self.bigrams.interpolate(bigrams, self.vocabulary, unigram)
        probability = self.trigrams.interpolate(trigrams, self.vocabulary, probability)
        return _perplexity(unigram), _perplexity(probability)


def _numbers(tokens: NDArray[np.int32], order: int, vocabulary: int) -> NDArray[np.int64]:
    """Every run of `order` tokens as one number, its last token the lowest digit."""
    runs = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.int64), order)
    powers: NDArray[np.int64] = vocabulary ** np.arange(order - 1, -1, -1, dtype=np.int64)
    numbers: NDArray[np.int64] = runs @ powers
    return numbers


def _perplexity(probability: NDArray[np.float64]) -> float:
    return math.exp(-np.log(probability).mean())
