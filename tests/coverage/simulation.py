"""Studies whose truth is known: methods on the same test examples, over seeds of their own.

A run classifies an example right when a latent normal value is above 0: what the example is to all methods, what it is
to this method, what this run makes of it, and the seed's own luck. So the errors of methods and seeds are correlated,
and the truth has a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from bench.stats.jackknife import accuracy_of_totals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ALIKE = 7
"""So many methods are equally accurate, the first of them the reference; the others are more accurate."""
LATENT = np.array([-0.1] * ALIKE + [0.2] * 2)
"""The methods' latent means: 46% and 58% right, about."""
SHARED, OWN = 0.4, 0.2
"""Shares of the latent variance, without the seed's: of the example for all methods, and for one method."""
DOCUMENT = 0.3
"""The share of either that all passages of a document have in common."""
STYLE_SHARES = np.array([0.35, 0.2, 0.15, 0.12, 0.1, 0.08])

_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Cell:
    """One kind of study. `seed_sd` is latent: 0.05 moves a run's accuracy by 2 points; `documents` 0: unclustered."""

    seeds: int
    seed_sd: float
    examples: int
    documents: int

    @property
    def truth(self) -> NDArray[Any]:
        """Each method's accuracy over many seeds and many test examples, [methods]."""
        return np.asarray(norm.cdf(LATENT / np.sqrt(1 + self.seed_sd**2)))

    def sizes(self) -> NDArray[Any]:
        """Test examples in each cluster, very unequal where it is a document: as in the demo's test split."""
        if not self.documents:
            return np.ones(self.examples, dtype=int)
        weights = np.random.default_rng(self.documents).lognormal(0.0, 0.7, self.documents)
        return np.asarray(np.maximum(1, np.round(self.examples * weights / weights.sum())), dtype=int)


@dataclass(frozen=True, eq=False)
class Studies:
    """Some simulated studies of one cell.

    `scores` [studies, methods, seeds] and `influences` [studies, methods, seeds, clusters] of accuracy; what the first
    method classifies `right` [studies, seeds, examples]; the `clusters` [examples].
    """

    scores: NDArray[Any]
    influences: NDArray[Any]
    right: NDArray[Any]
    clusters: NDArray[Any]


def simulate(cell: Cell, count: int) -> Iterator[Studies]:
    """Yield `count` studies, some at a time, always the same."""
    generator = np.random.default_rng([cell.seeds, int(1000 * cell.seed_sd), cell.examples, cell.documents])
    sizes = cell.sizes()
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    at_once = max(1, _VALUES_AT_ONCE // (len(LATENT) * cell.seeds * len(clusters)))
    for start in range(0, count, at_once):
        right = _right(cell, generator, min(at_once, count - start), sizes)
        totals = np.add.reduceat(right, np.cumsum(sizes) - sizes, axis=-1) if cell.documents else right
        scores, influences = accuracy_of_totals(totals, sizes)
        yield Studies(scores, influences, right[:, 0] > 0, clusters)


def _right(cell: Cell, generator: np.random.Generator, studies: int, sizes: NDArray[Any]) -> NDArray[Any]:
    """What each run classifies right, 0 or 1, [studies, methods, seeds, examples]."""

    def normal(*shape: int) -> NDArray[Any]:
        return generator.standard_normal((studies, *shape), dtype=np.float32)

    def of_examples(methods: int) -> NDArray[Any]:
        values = normal(methods, sizes.sum())
        if cell.documents:
            of_documents = np.repeat(normal(methods, len(sizes)), sizes, axis=-1)
            values = np.sqrt(DOCUMENT) * of_documents + np.sqrt(1 - DOCUMENT) * values
        return values

    methods = len(LATENT)
    examples = np.sqrt(SHARED) * of_examples(1) + np.sqrt(OWN) * of_examples(methods)
    latent = np.sqrt(1 - SHARED - OWN) * normal(methods, cell.seeds, sizes.sum())
    latent += examples[:, :, None] + cell.seed_sd * normal(methods, cell.seeds, 1) + LATENT[:, None, None]
    return np.asarray(latent > 0, dtype=np.float32)


def styled(right: NDArray[Any], clusters: NDArray[Any], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels [examples], the same in every study, and predictions [seeds, examples]: another style where not right."""
    styles = len(STYLE_SHARES)
    of_cluster = np.random.default_rng(0).choice(styles, clusters.max() + 1, p=STYLE_SHARES)
    of_cluster[:styles] = np.arange(styles)
    labels = of_cluster[clusters]
    others = (labels + np.random.default_rng(seed).integers(1, styles, right.shape)) % styles
    return labels, np.where(right, labels, others)


def true_macro_f1(cell: Cell, labels: NDArray[Any]) -> float:
    """The first method's macro-F1 over many seeds and many test examples with these shares of styles.

    A mistake names any other style equally often, so an accuracy gives each style's F1; the mean over seeds is by
    Gauss-Hermite quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    accuracy = norm.cdf(LATENT[0] + cell.seed_sd * nodes)[:, None]
    shares = np.bincount(labels) / len(labels)
    predicted = shares * accuracy + (1 - accuracy) * (1 - shares) / (len(shares) - 1)
    macro_f1 = (2 * shares * accuracy / (predicted + shares)).mean(axis=1)
    return float(macro_f1 @ weights / weights.sum())
