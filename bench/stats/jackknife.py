"""Scores of each seed, and what each test example, or document, does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.stats.outcomes import Outcomes


@dataclass(frozen=True, eq=False)
class Sample:
    """A variant's score by seed, [seeds], and its influences, [seeds, clusters].

    A cluster's influence is the score minus the score without that cluster (the delete-one jackknife: Efron & Stein
    1981, Ann. Stat. 9:586).
    """

    seeds: tuple[int, ...]
    scores: NDArray[Any]
    influences: NDArray[Any]

    def at(self, seeds: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The scores and influences of some of the seeds."""
        places = [self.seeds.index(seed) for seed in seeds]
        return self.scores[places], self.influences[places]


def accuracy(outcomes: Outcomes, clusters: NDArray[Any]) -> Sample:
    """Accuracy by seed; `clusters` [examples] numbers each example's from 0."""
    sizes = np.bincount(clusters)
    totals = totals_by_cluster(outcomes.right, clusters)
    return Sample(outcomes.seeds, *accuracy_of_totals(totals, sizes))


def totals_by_cluster(values: NDArray[Any], clusters: NDArray[Any]) -> NDArray[Any]:
    """Sums of values [rows, examples] within each cluster, [rows, clusters]."""
    return np.stack([np.bincount(clusters, weights=row) for row in values])


def accuracy_of_totals(totals: NDArray[Any], sizes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scores [...] and influences [..., clusters], from how many of each cluster's examples are right."""
    scores = totals.sum(axis=-1) / sizes.sum()
    return scores, (totals - sizes * scores[..., None]) / (sizes.sum() - sizes)


def macro_f1(outcomes: Outcomes, clusters: NDArray[Any]) -> Sample:
    """F1 averaged over the styles that occur among the labels, by seed, each style counting the same."""
    counts = [confusions(outcomes.labels, row, clusters, len(outcomes.styles)) for row in outcomes.predictions]
    whole = np.array([_macro_f1(*(part.sum(axis=0) for part in run)) for run in counts])
    without = np.stack([_macro_f1(*(part.sum(axis=0) - part for part in run)) for run in counts])
    return Sample(outcomes.seeds, whole, whole[:, None] - without)


def confusions(
    labels: NDArray[Any], predictions: NDArray[Any], clusters: NDArray[Any], styles: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Examples of each style that are recognised, that are predicted and that there are, [clusters, styles] each."""
    shape = int(clusters.max()) + 1, styles

    def count(which: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(styles * clusters[rows] + which[rows], minlength=shape[0] * styles).reshape(shape)

    every = np.ones(len(labels), dtype=bool)
    return count(labels, labels == predictions), count(predictions, every), count(labels, every)


def _macro_f1(recognised: NDArray[Any], predicted: NDArray[Any], there: NDArray[Any]) -> NDArray[Any]:
    present = there > 0
    f1 = 2 * recognised / np.maximum(1, predicted + there)
    return np.asarray((f1 * present).sum(axis=-1) / present.sum(axis=-1))
