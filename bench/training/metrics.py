"""Accuracy and macro-F1 through `evaluate`, as metrics of our own: its built-in ones are fetched from the Hub.

The others are scikit-learn's, but for the calibration error, which it hasn't.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
import evaluate
import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from bench.store.record import CategoryScores, Scores, StyleScores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


BINS = 15
"""Bins of the expected calibration error, all of the same width."""


class Classification(evaluate.Metric):  # type: ignore[misc]
    """Accuracy, and F1 averaged over the styles that occur among the references, each counting the same."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__ or "",
            citation="",
            inputs_description="predictions and references: indices of styles",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        styles = np.unique(references)
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "macro_f1": float(f1_score(references, predictions, labels=styles, average="macro", zero_division=0)),
        }


def scores(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    styles: Sequence[str],
    categories: Sequence[str | None],
    scratch: Path,
    train_labels: NDArray[np.int64],
) -> Scores:
    """Score logits [n, styles] against labels [n]; `categories` [n] tells each example's, if not None.

    `train_labels` are the train split's, by which the rarer of two styles is known.
    `evaluate` makes a folder for each metric, in `scratch`: the user's home may be no place to write to.
    """
    predictions = logits.argmax(axis=1)
    metric = Classification(keep_in_memory=True, cache_dir=str(scratch))
    which = np.asarray(categories, dtype=object)

    def group(rows: NDArray[np.bool_]) -> CategoryScores:
        found = metric.compute(predictions=predictions[rows], references=labels[rows])
        return CategoryScores(**found, examples=int(rows.sum()))

    whole = group(np.ones(len(labels), dtype=bool))
    f1_by_style = f1_score(labels, predictions, labels=range(len(styles)), average=None, zero_division=0)
    present = set(labels.tolist())
    return Scores(
        accuracy=whole.accuracy,
        macro_f1=whole.macro_f1,
        loss=cross_entropy(logits, labels),
        per_category={name: group(which == name) for name in sorted({name for name in categories if name is not None})},
        per_style={
            style: StyleScores(
                accuracy=float((predictions[labels == index] == index).mean()),
                f1=float(f1_by_style[index]),
                examples=int((labels == index).sum()),
            )
            for index, style in enumerate(styles)
            if index in present
        },
        **further(logits, labels, train_labels),
        rarer_style=None if (rarer := rarer_of_two(train_labels, len(styles))) is None else styles[rarer],
    )


def rarer_of_two(train_labels: NDArray[np.int64], styles: int) -> int | None:
    """Return which of two styles has fewer train passages, the second where both have as many; None of more styles."""
    if styles != 2:
        return None
    first, second = np.bincount(train_labels, minlength=2)
    return 0 if first < second else 1


def selecting(
    metric: str, logits: NDArray[np.float32], labels: NDArray[np.int64], train_labels: NDArray[np.int64]
) -> float | None:
    """Return what logits [n, styles] score by the metric, as `scores` would; None where it isn't defined."""
    predictions = logits.argmax(axis=1)
    if metric == "accuracy":
        return float(accuracy_score(labels, predictions))
    if metric == "macro_f1":
        return float(f1_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0))
    return cross_entropy(logits, labels) if metric == "loss" else further(logits, labels, train_labels)[metric]


def further(
    logits: NDArray[np.float32], labels: NDArray[np.int64], train_labels: NDArray[np.int64]
) -> dict[str, float | None]:
    """Return what logits [n, styles] score beside accuracy, macro-F1 and loss, by the name in the record.

    What isn't defined is None.
    """
    probabilities = np.exp(log_probabilities(logits))
    found: dict[str, float | None] = {
        "calibration_error": calibration_error(probabilities, labels),
        **dict.fromkeys(("rarer_f1", "roc_auc", "average_precision")),
    }
    rarer = rarer_of_two(train_labels, logits.shape[1])
    if rarer is not None and len(np.unique(labels)) == 2:
        there, score = labels == rarer, probabilities[:, rarer]
        found["rarer_f1"] = float(f1_score(there, logits.argmax(axis=1) == rarer, zero_division=0))
        found["roc_auc"] = float(roc_auc_score(there, score))
        found["average_precision"] = float(average_precision_score(there, score))
    return found


def calibration_error(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Return the expected calibration error of probabilities [n, styles] (Guo et al. 2017, arXiv 1706.04599).

    Examples are put into BINS bins by their highest probability; each bin's accuracy and mean highest probability
    differ by so much, averaged over examples.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy in nats of logits [n, styles]."""
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[Any]:
    """Return the natural-log probability of each style, [n, styles], in double precision."""
    return np.asarray(log_softmax(logits.astype(np.float64), axis=1))
