"""Studies whose truth is known: variants on the same test examples, over the same seeds.

A run classifies an example right when a latent normal value is above 0: what the example is to all variants, what it is
to this variant, what this run makes of it, and the seed's own luck. So the errors of variants and seeds are correlated,
and the truth has a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.stats import norm

from bench.stats.jackknife import accuracy_of_totals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Spread = Literal["equal", "factor 2", "factor 4", "a tenth times 5", "a tenth none", "half in common", "failures"]

LOWER, HIGHER = float(norm.cdf(-0.1)), float(norm.cdf(0.2))
"""Accuracies: most variants are equally accurate, the first of them the reference; two of nine are more accurate."""
SHARED, OWN = 0.4, 0.2
"""Shares of the latent variance, without the seed's: of the example for all variants, and for one variant."""
DOCUMENT = 0.3
"""The share of either that all passages of a document have in common."""
FAILING, LOST = 0.05, 0.15
"""So many runs fail to learn, and are so much less accurate."""
STYLE_SHARES = np.array([0.35, 0.2, 0.15, 0.12, 0.1, 0.08])

_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Cell:
    """One kind of study; `documents` 0: unclustered.

    `seed_sd` is latent: 0.05 moves a run's accuracy by 2 points. `spread` says how variants differ in it: by a factor
    log-normally, in a tenth of them, in that half of its variance is the same for all, or in that runs fail to learn.
    `baseline`: no seed moves the first variant, whose first run stands for a classical baseline.
    """

    seeds: int
    seed_sd: float
    examples: int
    documents: int
    variants: int = 9
    spread: Spread = "equal"
    baseline: bool = False

    @property
    def alike(self) -> int:
        """How many variants are equally accurate."""
        return self.variants - 2 * self.variants // 9

    @property
    def aimed(self) -> NDArray[Any]:
        """Each variant's accuracy over many test examples and many seeds that don't fail, [variants]."""
        return np.where(np.arange(self.variants) < self.alike, LOWER, HIGHER)

    @property
    def truth(self) -> NDArray[Any]:
        """The same over all seeds."""
        return self.aimed - (FAILING * LOST if self.spread == "failures" else 0.0)

    def sizes(self) -> NDArray[Any]:
        """Test examples in each cluster, very unequal where it is a document: as in the demo's test split."""
        if not self.documents:
            return np.ones(self.examples, dtype=int)
        weights = np.random.default_rng(self.documents).lognormal(0.0, 0.7, self.documents)
        return np.asarray(np.maximum(1, np.round(self.examples * weights / weights.sum())), dtype=int)


@dataclass(frozen=True, eq=False)
class Studies:
    """Some simulated studies of one cell.

    `scores` [studies, variants, seeds] and `influences` [studies, variants, seeds, clusters] of accuracy; what each run
    classifies `right` [studies, variants, seeds, examples]; the `clusters` [examples]; the latent standard deviations
    over seeds, `seed_sds` [studies, variants].
    """

    scores: NDArray[Any]
    influences: NDArray[Any]
    right: NDArray[Any]
    clusters: NDArray[Any]
    seed_sds: NDArray[Any]


def simulate(cell: Cell, count: int) -> Iterator[Studies]:
    """Yield `count` studies, some at a time, always the same."""
    entropy = [
        cell.seeds,
        int(1000 * cell.seed_sd),
        cell.examples,
        cell.documents,
        cell.variants,
        *cell.spread.encode(),
        *[1] * cell.baseline,
    ]
    generator = np.random.default_rng(entropy)
    sizes = cell.sizes()
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    at_once = max(1, _VALUES_AT_ONCE // (cell.variants * cell.seeds * len(clusters)))
    for start in range(0, count, at_once):
        seed_sds = cell.seed_sd * _factors(cell, generator, min(at_once, count - start))
        seed_sds[:, : int(cell.baseline)] = 0.0
        right = _right(cell, generator, seed_sds, sizes)
        totals = np.add.reduceat(right, np.cumsum(sizes) - sizes, axis=-1) if cell.documents else right
        scores, influences = accuracy_of_totals(totals, sizes)
        yield Studies(scores, influences, right > 0, clusters, seed_sds)


def _factors(cell: Cell, generator: np.random.Generator, studies: int) -> NDArray[Any]:
    """What each variant's deviation over seeds is times that of the cell, [studies, variants]."""
    shape, tenth = (studies, cell.variants), -(-cell.variants // 10)
    if cell.spread in ("factor 2", "factor 4"):
        return np.asarray(float(cell.spread[-1]) ** generator.standard_normal(shape))
    odd = {"a tenth times 5": 5.0, "a tenth none": 0.0}.get(cell.spread, 1.0)
    return np.asarray(generator.permuted(np.where(np.arange(cell.variants) < tenth, odd, np.ones(shape)), axis=1))


def _right(cell: Cell, generator: np.random.Generator, seed_sds: NDArray[Any], sizes: NDArray[Any]) -> NDArray[Any]:
    """What each run classifies right, 0 or 1, [studies, variants, seeds, examples]."""
    studies, variants = seed_sds.shape

    def normal(*shape: int) -> NDArray[Any]:
        return generator.standard_normal((studies, *shape), dtype=np.float32)

    def of_examples(variants: int) -> NDArray[Any]:
        values = normal(variants, sizes.sum())
        if cell.documents:
            of_documents = np.repeat(normal(variants, len(sizes)), sizes, axis=-1)
            values = np.sqrt(DOCUMENT) * of_documents + np.sqrt(1 - DOCUMENT) * values
        return values

    examples = np.sqrt(SHARED) * of_examples(1) + np.sqrt(OWN) * of_examples(variants)
    latent = np.sqrt(1 - SHARED - OWN) * normal(variants, cell.seeds, sizes.sum())
    latent += examples[:, :, None]
    luck = normal(variants, cell.seeds)
    if cell.spread == "half in common":
        luck = np.sqrt(0.5) * (luck + normal(1, cell.seeds))
    aimed = np.broadcast_to(cell.aimed[:, None], luck.shape)
    if cell.spread == "failures":
        aimed = aimed - LOST * (generator.random(luck.shape) < FAILING)
    moved = norm.ppf(aimed) * np.sqrt(1 + seed_sds[..., None] ** 2) + seed_sds[..., None] * luck
    latent += moved[..., None].astype(np.float32)
    return np.asarray(latent > 0, dtype=np.float32)


def styled(right: NDArray[Any], clusters: NDArray[Any], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels [examples], the same in every study, and predictions [..., examples]: another style where not right."""
    styles = len(STYLE_SHARES)
    of_cluster = np.random.default_rng(0).choice(styles, clusters.max() + 1, p=STYLE_SHARES)
    of_cluster[:styles] = np.arange(styles)
    labels = of_cluster[clusters]
    others = (labels + np.random.default_rng(seed).integers(1, styles, right.shape)) % styles
    return labels, np.where(right, labels, others)


def true_macro_f1(cell: Cell, seed_sds: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    """Each variant's macro-F1 over many seeds and many test examples with these shares of styles, [variants].

    A mistake names any other style equally often, so an accuracy gives each style's F1; the mean over seeds is by
    Gauss-Hermite quadrature.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()

    def mean(aimed: NDArray[Any]) -> NDArray[Any]:
        latent = norm.ppf(aimed) * np.sqrt(1 + seed_sds**2)
        accuracy = norm.cdf(latent[:, None] + seed_sds[:, None] * nodes)[..., None]
        shares = np.bincount(labels) / len(labels)
        predicted = shares * accuracy + (1 - accuracy) * (1 - shares) / (len(shares) - 1)
        return np.asarray((2 * shares * accuracy / (predicted + shares)).mean(axis=-1) @ weights)

    if cell.spread == "failures":
        return (1 - FAILING) * mean(cell.aimed) + FAILING * mean(cell.aimed - LOST)
    return mean(cell.aimed)
