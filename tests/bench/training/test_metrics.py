"""Scores, against figures worked out by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.store.metrics import METRICS
from bench.training.metrics import calibration_error, cross_entropy, log_probabilities, scores, selecting

if TYPE_CHECKING:
    from pathlib import Path

STYLES = ("ann", "bob", "cat", "dan")
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 3, 0])
CATEGORIES = ["letters", "letters", "letters", "letters", "songs", "songs"]
LOGITS = np.eye(4, dtype=np.float32)[PREDICTED] * 5
"""Styles are right for 3 of 6; dan is predicted once and never right."""


def test_the_whole(tmp_path: Path) -> None:
    found = scores(LOGITS, LABELS, STYLES, CATEGORIES, tmp_path, LABELS)
    assert found.accuracy == pytest.approx(3 / 6)
    # F1 is 2·right / (predicted + there): ann 4/6, bob 2/4, cat 0; dan, whom no reference names, isn't averaged
    assert found.macro_f1 == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)
    named = ("accuracy", "macro_f1", "loss", "calibration_error")
    for name in named:  # by which trials are chosen
        assert selecting(name, LOGITS, LABELS, LABELS) == pytest.approx(getattr(found, name))
    right, wrong = math.log(1 + 3 * math.exp(-5)), math.log(math.exp(5) + 3)
    assert found.loss == pytest.approx((3 * right + 3 * wrong) / 6, rel=1e-6)


def test_by_category_and_by_style(tmp_path: Path) -> None:
    found = scores(LOGITS, LABELS, STYLES, CATEGORIES, tmp_path, LABELS)
    letters, songs = found.per_category["letters"], found.per_category["songs"]
    assert [letters.accuracy, letters.examples] == pytest.approx([3 / 4, 4])
    assert letters.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert (songs.accuracy, songs.macro_f1, songs.examples) == (0, 0, 2)
    by_style = {style: (s.accuracy, s.f1, s.examples) for style, s in found.per_style.items()}
    assert by_style == {
        "ann": (pytest.approx(2 / 3), pytest.approx(4 / 6), 3),
        "bob": (pytest.approx(1 / 2), pytest.approx(2 / 4), 2),
        "cat": (0, 0, 1),
    }


def test_large_logits_neither_overflow_nor_lose_the_others() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], dtype=np.float32)
    logp = log_probabilities(logits)
    assert logp[0].tolist() == [0.0, -1e4, -2e4]
    assert logp[1] == pytest.approx([-math.log(3)] * 3)
    assert cross_entropy(logits, np.array([1, 0])) == pytest.approx((1e4 + math.log(3)) / 2)


SPAM = ("ham", "spam")
TRAIN = np.array([0, 0, 0, 1])


def _two(probability_of_spam: list[float]) -> np.ndarray:
    spam = np.array(probability_of_spam)
    logits: np.ndarray = np.log(np.stack([1 - spam, spam], axis=1)).astype(np.float32)
    return logits


def test_of_two_styles_the_rarer_has_its_own_metrics(tmp_path: Path) -> None:
    logits = _two([0.9, 0.6, 0.8, 0.3, 0.2, 0.1])
    labels = np.array([1, 0, 1, 1, 0, 0])
    found = scores(logits, labels, SPAM, ["x"] * 6, tmp_path, TRAIN)
    assert found.rarer_style == "spam"
    assert found.rarer_f1 == pytest.approx(2 * 2 / (3 + 3))
    assert found.roc_auc == pytest.approx(8 / 9)  # of nine pairs, only 0.6 for ham stands above 0.3 for spam
    assert found.average_precision == pytest.approx((1 / 1 + 2 / 2 + 3 / 4) / 3)


def test_the_rarer_style_is_the_train_splits(tmp_path: Path) -> None:
    logits, labels = _two([0.9, 0.6, 0.8, 0.3]), np.array([1, 0, 1, 1])
    found = scores(logits, labels, SPAM, ["x"] * 4, tmp_path, 1 - TRAIN)
    assert found.rarer_style == "ham"
    assert found.rarer_f1 == 0  # the one ham is taken for spam, and one spam for ham
    assert found.roc_auc == pytest.approx(2 / 3)


def test_what_is_not_defined_is_absent(tmp_path: Path) -> None:
    many = scores(LOGITS, LABELS, STYLES, CATEGORIES, tmp_path, LABELS)
    lone = scores(_two([0.9, 0.2]), np.array([0, 0]), SPAM, ["x"] * 2, tmp_path, TRAIN)
    for found in (many, lone):
        assert (found.rarer_f1, found.roc_auc, found.average_precision) == (None, None, None)
        assert found.calibration_error is not None


def test_the_calibration_error_is_by_fifteen_bins_of_equal_width() -> None:
    """0.96 and 0.98 share a bin, one right of two; 0.55 and 0.65 don't, and both are right."""
    spam = np.array([0.96, 0.98, 0.55, 0.65])
    probabilities = np.stack([1 - spam, spam], axis=1)
    labels = np.array([1, 0, 1, 1])
    gap = abs(1 - 0.96 - 0.98) + (1 - 0.55) + (1 - 0.65)
    assert calibration_error(probabilities, labels) == pytest.approx(gap / 4)
    assert calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 0


def test_every_metric_by_name_is_a_figure_of_the_record(tmp_path: Path) -> None:
    found = scores(_two([0.9, 0.2]), np.array([1, 0]), SPAM, ["x"] * 2, tmp_path, TRAIN)
    assert all(isinstance(getattr(found, name), float) for name in METRICS)
    assert [name for name, metric in METRICS.items() if not metric.larger_is_better] == ["calibration_error", "loss"]
