"""Scores, against figures worked out by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.training.metrics import cross_entropy, log_probabilities, scores

if TYPE_CHECKING:
    from pathlib import Path

STYLES = ("ann", "bob", "cat", "dan")
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 3, 0])
CATEGORIES = ["letters", "letters", "letters", "letters", "songs", "songs"]
LOGITS = np.eye(4, dtype=np.float32)[PREDICTED] * 5
"""Styles are right for 3 of 6; dan is predicted once and never right."""


def test_the_whole(tmp_path: Path) -> None:
    found = scores(LOGITS, LABELS, STYLES, CATEGORIES, tmp_path)
    assert found.accuracy == pytest.approx(3 / 6)
    # F1 is 2·right / (predicted + there): ann 4/6, bob 2/4, cat 0; dan, whom no reference names, isn't averaged
    assert found.macro_f1 == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)
    right, wrong = math.log(1 + 3 * math.exp(-5)), math.log(math.exp(5) + 3)
    assert found.loss == pytest.approx((3 * right + 3 * wrong) / 6, rel=1e-6)


def test_by_category_and_by_style(tmp_path: Path) -> None:
    found = scores(LOGITS, LABELS, STYLES, CATEGORIES, tmp_path)
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
