from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.data import SPLITS, load_local, tokenise
from bench.data.overview import suggested_length, tokens
from bench.model import backbone

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_suggested_length_cuts_one_text_in_a_hundred_at_most() -> None:
    assert suggested_length(np.array([16])) == 16
    assert suggested_length(np.array([17])) == 24
    lengths = np.concatenate([np.full(990, 50), np.full(10, 5000)])
    assert (lengths > suggested_length(lengths)).mean() <= 0.01
    assert suggested_length(lengths) < 120


def test_tokens_are_those_that_a_study_reads(texts: Path, bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, ref = load_local(texts), backbone.local(bert)
    for longest in (8, 64):
        splits = tokenise(corpus, backbone.tokenizer(ref), longest)
        assert tokens(corpus, bert, longest) == {split: len(getattr(splits, split).ids) for split in SPLITS}
    monkeypatch.setattr("bench.data.overview._SAMPLED", 10)
    found = tokens(corpus, bert, 64)
    assert found is not None
    assert 0.7 < found["train"] / len(splits.train.ids) < 1.3
    assert tokens(corpus, texts, 64) is None
