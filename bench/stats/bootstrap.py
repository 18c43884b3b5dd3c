"""Draws of seeds and test examples with replacement, the same for every variant."""

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

        Seeds and test examples are drawn independently of each other (Owen 2007, Ann. Appl. Stat. 1:386, "the
        pigeonhole bootstrap"), one fewer of each than there are, without which the variance over n seeds would be
        (n - 1) / n of what it should be (Rao & Wu 1988, J. Am. Stat. Assoc. 83:231).
        """
        generator = np.random.default_rng(0)
        picked = generator.integers(0, clusters, (DRAWS, max(1, clusters - 1)))
        places = picked + clusters * np.arange(DRAWS)[:, None]
        weights = np.bincount(places.ravel(), minlength=DRAWS * clusters).reshape(DRAWS, clusters)
        return cls(weights.astype(float), generator.random((DRAWS, max(1, seeds - 1))))

    def over_clusters(self, totals: NDArray[Any], sizes: NDArray[Any]) -> NDArray[Any]:
        """Accuracies [draws, runs], from how many of each cluster's examples are right [runs, clusters], and sizes."""
        return np.asarray(self.weights @ totals.T / (self.weights @ sizes)[:, None])

    def over_seeds(self, values: NDArray[Any]) -> NDArray[Any]:
        """Means [draws] of the seeds drawn, from each seed's value [draws or 1, seeds]."""
        seeds = values.shape[1]
        picked = (self.picks[:, : max(1, seeds - 1)] * seeds).astype(int)
        every = np.broadcast_to(values, (len(picked), seeds))
        return np.asarray(np.take_along_axis(every, picked, axis=1).mean(axis=1))
