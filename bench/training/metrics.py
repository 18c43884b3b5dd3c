"""Accuracy and macro-F1 through `evaluate`, as metrics of our own: its built-in ones are fetched from the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
import evaluate
import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, f1_score

from bench.store.record import CategoryScores, Scores, StyleScores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


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
) -> Scores:
    """Score logits [n, styles] against labels [n]; `categories` [n] tells each example's, if not None.

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
    )


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy in nats of logits [n, styles]."""
    return float(-log_probabilities(logits)[np.arange(len(labels)), labels].mean())


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[Any]:
    """Return the natural-log probability of each style, [n, styles], in double precision."""
    return np.asarray(log_softmax(logits.astype(np.float64), axis=1))
