"""Draws, always the same: of test examples with replacement, alike for every variant, and of what seeds do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn: `weights` [draws, clusters] says how often each cluster, `picks` [draws, seeds] in 0 to 1 which
    seeds, as shares of the way through a variant's own."""

    weights: NDArray[Any]
    picks: NDArray[Any]

    @classmethod
    def make(cls, seeds: int, clusters: int) -> Draws:
        """Draw, always the same for the same numbers.

        Test examples, and a cost's seeds, are drawn with replacement, one fewer than there are, without which the
        variance over n would be (n - 1) / n of what it should be (Rao & Wu 1988, J. Am. Stat. Assoc. 83:231).
        """
        generator = np.random.default_rng(0)
        picked = generator.integers(0, clusters, (DRAWS, max(1, clusters - 1)))
        places = picked + clusters * np.arange(DRAWS)[:, None]
        weights = np.bincount(places.ravel(), minlength=DRAWS * clusters).reshape(DRAWS, clusters)
        return cls(weights.astype(float), generator.random((DRAWS, max(1, seeds - 1))))

    def over_clusters(self, totals: NDArray[Any], sizes: NDArray[Any]) -> NDArray[Any]:
        """Accuracies [draws, variants], from how many of each cluster's examples are right [variants, clusters]."""
        return np.asarray(self.weights @ totals.T / (self.weights @ sizes)[:, None])

    def over_seeds(self, values: NDArray[Any]) -> NDArray[Any]:
        """Means [draws] of the seeds drawn, from each seed's value [seeds]."""
        seeds = len(values)
        picked = (self.picks[:, : max(1, seeds - 1)] * seeds).astype(int)
        return np.asarray(values[picked].mean(axis=1))


def correlated(covariance: NDArray[Any], draws: int) -> NDArray[Any]:
    """Normal values [draws, k] with mean 0, these variances, and the covariances [k, k] or the nearest that can be."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    length, asked = np.linalg.norm(root, axis=1), np.sqrt(np.diagonal(covariance))
    root *= np.divide(asked, length, out=np.zeros_like(asked), where=length > 0)[:, None]
    return np.asarray(np.random.default_rng(0).standard_normal((draws, len(covariance))) @ root.T)


def heavier(values: NDArray[Any], degrees: NDArray[Any]) -> NDArray[Any]:
    """Make of normal values [draws, k] such of Student's distribution, k degrees of freedom, all by the same luck."""
    from scipy.special import chdtri

    luck = np.random.default_rng(1).random((len(values), 1))
    known = np.maximum(1, degrees)
    return np.asarray(values * np.sqrt(known / chdtri(known, luck)))


def covariance(own: NDArray[Any], differences: NDArray[Any]) -> NDArray[Any]:
    """Covariances [k, k] from variances `own` [k] and those of all differences [k, k]; 0 where one isn't known."""
    found = np.nan_to_num((own[:, None] + own[None, :] - differences) / 2)
    np.fill_diagonal(found, own)
    return np.asarray(found)
