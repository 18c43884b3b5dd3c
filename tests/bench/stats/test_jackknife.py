from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import f1_score

from bench.stats import jackknife
from bench.stats.intervals import of_each
from bench.stats.moderation import Prior
from bench.stats.outcomes import Outcomes

generator = np.random.default_rng(3)
LABELS = np.sort(generator.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05]))
PREDICTIONS = np.where(generator.random((2, 300)) < 0.6, LABELS, generator.integers(0, 5, (2, 300)))
FOUND = Outcomes((0, 1), ("ann", "bob", "cat", "dan", "eve"), LABELS, PREDICTIONS, None)
"""No example is eve's, though she is predicted."""
DOCUMENTS = np.r_[np.arange(285) // 7, np.full(15, 41)]
"""Documents of seven passages; the last ones, all that are dan's among them, make one of fifteen."""


def sklearns(rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[float]:
    labels = LABELS[rows]
    return [
        f1_score(labels, run[rows], labels=np.unique(labels), average="macro", zero_division=0) for run in PREDICTIONS
    ]


def test_macro_f1_without_each_document_is_sklearns() -> None:
    assert set(LABELS[DOCUMENTS != 41]) == {0, 1, 2}
    found = jackknife.macro_f1(FOUND, DOCUMENTS)
    assert found.scores == pytest.approx(sklearns(DOCUMENTS >= 0))
    for document in (0, 3, 20, 40, 41):
        without = found.scores - found.influences[:, document]
        assert without == pytest.approx(sklearns(document != DOCUMENTS))


def test_accuracy_without_each_document_is_that_of_the_others() -> None:
    found = jackknife.accuracy(FOUND, DOCUMENTS)
    assert found.scores == pytest.approx(FOUND.right.mean(axis=1))
    for document in (0, 20, 41):
        others = FOUND.right[:, document != DOCUMENTS].mean(axis=1)
        assert found.scores - found.influences[:, document] == pytest.approx(others)


def test_the_jackknifes_variance_of_macro_f1_is_about_the_bootstraps() -> None:
    [run] = PREDICTIONS[:1]
    alone = Outcomes((0,), FOUND.styles, LABELS, run[None], None)

    def macro_f1(
        labels: np.ndarray[tuple[int], np.dtype[np.int64]], predicted: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> float:
        return float(f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0))

    drawn = scipy.stats.bootstrap(
        (LABELS, run), macro_f1, paired=True, vectorized=False, n_resamples=100, method="percentile", rng=0
    )
    found = of_each([jackknife.macro_f1(alone, np.arange(300))], Prior.none(1))
    assert float(found.variance[0]) ** 0.5 == pytest.approx(drawn.standard_error, rel=0.25)
