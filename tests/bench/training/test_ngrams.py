"""The classical baseline: what it is fitted to, how C is chosen, and what it leaves."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from bench.data import load_local, text_hash
from bench.study.scratch import EXAMPLE_COLUMNS
from bench.training import ngrams

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Corpus
    from bench.data.frames import Split


@pytest.fixture
def corpus(texts: Path) -> Corpus:
    return load_local(texts)


def _with(corpus: Corpus, split: Split, **columns: list[str]) -> Corpus:
    """The corpus with other columns of one split."""
    return replace(corpus, frames={**corpus.frames, split: corpus.frames[split].assign(**columns)})


def test_n_grams_are_those_of_the_train_split_alone(corpus: Corpus) -> None:
    before = ngrams.fit(corpus)
    for split in ("validation", "test"):
        texts = [f"{text} zyxwvut zyxwvut" for text in corpus.frames[split]["text"]]
        after = ngrams.fit(_with(corpus, split, text=texts))
        assert after.vectorizer.vocabulary_ == before.vectorizer.vocabulary_
        assert np.array_equal(after.vectorizer.idf_, before.vectorizer.idf_)
    assert not any("zyx" in found for found in before.vectorizer.vocabulary_)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_c_is_the_best_on_validation(corpus: Corpus, chosen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [(1.0, 10.0, 1e3), (0.1, 1.0, 10.0), (0.01, 0.1, 1.0)][chosen]
    monkeypatch.setattr(ngrams, "GRID", grid)
    hard = _with(corpus, "train", style=corpus.frames["train"]["style"].sample(frac=1, random_state=9).tolist())
    fitted = ngrams.fit(hard)
    train, validation = hard.frames["train"], hard.frames["validation"]
    features, held_out = (fitted.vectorizer.transform(rows["text"]) for rows in (train, validation))
    right = [
        LogisticRegression(C=c, solver="newton-cg").fit(features, train["style"]).score(held_out, validation["style"])
        for c in grid
    ]
    assert right.index(max(right)) == chosen
    assert max(right) > min(right)
    c = fitted.classifier.C
    assert c == grid[chosen]


def test_of_equals_the_smallest_c_is_taken(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "GRID", (20.0, 21.0, 22.0))
    c = ngrams.fit(corpus).classifier.C
    assert c == 20


def test_it_leaves_figures_and_a_row_for_each_test_passage(corpus: Corpus, tmp_path: Path) -> None:
    test = corpus.frames["test"]
    examples = test.assign(text_hash=test["text"].map(text_hash))[EXAMPLE_COLUMNS]
    kept = ngrams.compute(corpus, examples, tmp_path)
    table = pd.read_parquet(io.BytesIO(kept.predictions))
    assert list(table) == [*EXAMPLE_COLUMNS, "prediction", "logp:ann", "logp:bob", "logp:cat"]
    assert table["text_hash"].tolist() == examples["text_hash"].tolist()
    assert kept.figures.accuracy == accuracy_score(table["style"], table["prediction"]) > 0.5
    assert kept.figures.macro_f1 == pytest.approx(f1_score(table["style"], table["prediction"], average="macro"))
    assert kept.figures.passages == 37
    assert np.exp(table[["logp:ann", "logp:bob", "logp:cat"]]).sum(axis=1).to_numpy() == pytest.approx(1)
    assert ngrams.compute(corpus, examples, tmp_path).predictions == kept.predictions


def test_of_two_styles_too_each_has_its_probability(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    two = corpus.select(categories=["letters"])
    test = two.frames["test"]
    fitted = ngrams.fit(two)
    logits = fitted.logits(test["text"].tolist())
    odds = fitted.classifier.predict_log_proba(fitted.vectorizer.transform(test["text"]))
    assert logits[:, 1] - logits[:, 0] == pytest.approx(odds[:, 1] - odds[:, 0], rel=1e-4)
    assert (logits.argmax(axis=1) == (test["style"] == "bob")).mean() > 0.5
    monkeypatch.setattr(ngrams, "_PORTION", 2)  # texts are read in portions, in their order
    assert fitted.logits(test["text"].tolist()) == pytest.approx(logits)
    assert ngrams.fit(two).classifier.C == fitted.classifier.C


def test_many_styles_have_fewer_n_grams(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "_WEIGHTS", 3 * 50)
    assert len(ngrams.fit(corpus).vectorizer.vocabulary_) == 50
