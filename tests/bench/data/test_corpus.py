from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.corpus import Corpus
from bench.data.frames import SPLITS, frame
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.data.frames import Split


def _rows(style: str, category: str, count: int, mark: str = "") -> list[tuple[str, str, str, str | None]]:
    return [(f"{style} {mark} {i}", style, category, None) for i in range(count)]


@pytest.fixture
def corpus() -> Corpus:
    def split(mark: str, a: int, b: int, c: int) -> pd.DataFrame:
        return frame([*_rows("ann", "novel", a, mark), *_rows("bob", "novel", b, mark), *_rows("cy", "blog", c, mark)])

    frames = {"train": split("train", 60, 30, 10), "validation": split("v", 5, 5, 5), "test": split("t", 6, 3, 1)}
    return Corpus("some", "local", None, frames)  # type: ignore[arg-type]


def test_labels_and_majority(corpus: Corpus) -> None:
    assert corpus.styles == ("ann", "bob", "cy")
    assert corpus.categories == ("blog", "novel")
    style, accuracy = corpus.majority()
    assert (style, round(accuracy, 9)) == ("ann", 0.6)


def test_a_text_in_two_splits_is_counted_once(corpus: Corpus) -> None:
    assert corpus.duplicates == 0
    shared = corpus.frames["train"].iloc[[0, 0, 1]]
    test = pd.concat([corpus.frames["test"], shared], ignore_index=True)
    assert replace(corpus, frames={**corpus.frames, "test": test}).duplicates == 2


def test_a_text_that_stands_again_in_its_split_is_counted_there(corpus: Corpus) -> None:
    assert corpus.repeated == {"train": 0, "validation": 0, "test": 0}
    train = pd.concat([corpus.frames["train"], corpus.frames["train"].iloc[[3, 3, 5]]], ignore_index=True)
    found = replace(corpus, frames={**corpus.frames, "train": train})
    assert found.repeated == {"train": 3, "validation": 0, "test": 0}
    assert found.duplicates == 0


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_style_that_a_split_lacks_is_noted_and_the_splits_stay(corpus: Corpus, split: Split) -> None:
    assert corpus.notes == ()
    rows = corpus.frames[split]
    poorer = replace(corpus, frames={**corpus.frames, split: rows[rows["style"] != "bob"].reset_index(drop=True)})
    [note] = poorer.notes
    assert note.startswith(f"The {split} split has no passages of 1 of 3 styles ('bob')")
    assert poorer.select().frames["train"].equals(corpus.frames["train"])


def test_of_many_styles_that_are_missing_a_note_names_some() -> None:
    train = frame([row for i in range(500) for row in _rows(f"style {i:03}", "c", 1)])
    few = frame(_rows("style 000", "c", 1))
    notes = Corpus("some", "local", None, {"train": train, "validation": few, "test": train}).notes
    assert len(notes) == 1
    assert "499 of 500 styles" in notes[0]
    assert "and 487 more" in notes[0]
    assert len(notes[0]) < 400


ALIKE = [
    ("ann", "ann "),
    ("ann", "a\u200bnn"),
    ("e f", "e\u00a0f"),
    ("Bront\u00eb", "Bronte\u0308"),
    ("\ufb01n", "fin"),
    ("한\u3164", "한"),
]


@pytest.mark.parametrize("names", ALIKE)
@pytest.mark.parametrize("what", ["style", "category"])
def test_names_that_look_alike_are_noted_so_that_they_can_be_told_apart(names: tuple[str, str], what: str) -> None:
    others = {"style": [*names, "zoe"], "category": ["c", "c", "c"]}
    columns = others if what == "style" else {"style": ["x", "y", "z"], "category": [*names, "zoe"]}
    rows = frame((f"text {i}", *pair, None) for i, pair in enumerate(zip(*columns.values(), strict=True)))
    [note] = Corpus("some", "local", None, dict.fromkeys(SPLITS, rows)).notes
    assert all(ascii(name) in note for name in names)
    assert "zoe" not in note


def test_names_that_differ_to_the_eye_are_not_noted() -> None:
    rows = frame((name, name, "c", None) for name in ("Ann", "ann", "anna", "Brontë", "Bronte", "a b", "ab"))
    assert Corpus("some", "local", None, dict.fromkeys(SPLITS, rows)).notes == ()


def test_a_category_without_validation_passages_gets_some_of_its_train_passages(corpus: Corpus) -> None:
    validation = corpus.frames["validation"]
    poorer = replace(corpus, frames={**corpus.frames, "validation": validation[validation["category"] == "blog"]})
    found = poorer.select(["novel"])
    assert Counter(found.frames["validation"]["style"]) == {"ann": 6, "bob": 3}
    assert Counter(found.frames["train"]["style"]) == {"ann": 54, "bob": 27}
    assert found.frames["test"].equals(corpus.select(["novel"]).frames["test"])
    [note] = found.notes
    assert "a tenth of the train passages stand in" in note


@pytest.mark.parametrize("column", ["text", "style", "category"])
def test_fingerprint_sees_every_change(corpus: Corpus, column: str) -> None:
    for split in SPLITS:
        changed = corpus.frames[split].copy()
        changed.loc[0, column] = "something else"
        assert replace(corpus, frames={**corpus.frames, split: changed}).fingerprint != corpus.fingerprint


def test_fingerprint_knows_the_split_and_the_order_but_not_the_name(corpus: Corpus) -> None:
    swapped = {**corpus.frames, "test": corpus.frames["validation"], "validation": corpus.frames["test"]}
    reversed_train = {**corpus.frames, "train": corpus.frames["train"].iloc[::-1].reset_index(drop=True)}
    assert len({corpus.fingerprint, *(replace(corpus, frames=f).fingerprint for f in (swapped, reversed_train))}) == 3
    assert replace(corpus, name="other").fingerprint == corpus.fingerprint


def test_train_size_keeps_the_shares_and_leaves_the_rest_alone(corpus: Corpus) -> None:
    smaller = corpus.select(train_size=20)
    assert Counter(smaller.frames["train"]["style"]) == {"ann": 12, "bob": 6, "cy": 2}
    assert smaller.frames["test"].equals(corpus.frames["test"])
    assert smaller.fingerprint == corpus.select(train_size=20).fingerprint
    positions = [list(corpus.frames["train"]["text"]).index(text) for text in smaller.frames["train"]["text"]]
    assert positions == sorted(positions)


def test_a_smaller_train_split_names_the_splits_that_it_is_drawn_from(corpus: Corpus) -> None:
    assert corpus.drawn_from is None
    assert corpus.select(train_size=50).drawn_from == corpus.fingerprint
    assert corpus.select(train_size=50).select(train_size=20).drawn_from == corpus.fingerprint
    whole = corpus.select(train_size=100)
    assert (whole.drawn_from, whole.fingerprint) == (None, corpus.fingerprint)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=5), data=st.data())
def test_train_size_is_met_exactly_with_every_style(counts: list[int], data: st.DataObject) -> None:
    rows = frame([row for i, count in enumerate(counts) for row in _rows(f"s{i}", "c", count)])
    corpus = Corpus("some", "local", None, dict.fromkeys(SPLITS, rows))
    size = data.draw(st.integers(len(counts), sum(counts)))
    smaller = corpus.select(train_size=size).frames["train"]
    chosen = Counter(smaller["style"])
    assert chosen.total() == size
    assert all(1 <= chosen[f"s{i}"] <= count for i, count in enumerate(counts))
    if size < sum(counts):
        assert set(smaller["text"]) < set(corpus.select(train_size=size + 1).frames["train"]["text"])


@pytest.mark.parametrize("size", [0, 2, 101])
def test_impossible_train_size(corpus: Corpus, size: int) -> None:
    with pytest.raises(UsageError, match=rf"--train-size {size}: there are 100 train passages of 3 styles.* 3 to 100"):
        corpus.select(train_size=size)


def test_a_pair_is_two_texts_for_all_that_asks_whether_texts_are_the_same(corpus: Corpus) -> None:
    paired = {
        split: rows.assign(pair=[f"second {i}" for i in range(len(rows))]) for split, rows in corpus.frames.items()
    }
    found = replace(corpus, frames=paired)
    assert found.fingerprint != corpus.fingerprint
    again = pd.concat([paired["test"], paired["train"].iloc[[0, 0]], paired["train"].iloc[[1]].assign(pair="other")])
    found = replace(corpus, frames={**paired, "test": again.reset_index(drop=True)})
    assert (found.duplicates, found.repeated["test"]) == (1, 1)


def test_a_sample_keeps_the_shares_of_splits_and_styles(corpus: Corpus) -> None:
    smaller = corpus.select(sample=63)
    assert {split: len(rows) for split, rows in smaller.frames.items()} == {"train": 50, "validation": 8, "test": 5}
    assert Counter(smaller.frames["train"]["style"]) == {"ann": 30, "bob": 15, "cy": 5}
    assert smaller.fingerprint == corpus.select(sample=63).fingerprint
    assert smaller.notes[0] == "A sample: 63 of 125 passages, each split and style in its share."
    larger = corpus.select(sample=64)
    for split in SPLITS:
        assert set(smaller.frames[split]["text"]) <= set(larger.frames[split]["text"])
    assert corpus.select(sample=125) is corpus
    for size in (2, 4):
        with pytest.raises(UsageError, match=rf"--sample {size}: train would lack some of 3 styles; take a larger one"):
            corpus.select(sample=size)


def test_category_is_chosen_in_every_split(corpus: Corpus) -> None:
    novels = corpus.select(["novel"])
    assert novels.styles == ("ann", "bob")
    assert {split: len(rows) for split, rows in novels.frames.items()} == {"train": 90, "validation": 10, "test": 9}
    assert corpus.select(["novel", "blog"]).fingerprint == corpus.fingerprint


def test_unknown_category_names_the_nearest(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"no category 'novels' in some; did you mean 'novel'\?; it has blog, novel"):
        corpus.select(["novels"])


def test_category_with_one_style(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match=r"category blog has one style only \(cy\)"):
        corpus.select(["blog"])


def test_category_that_test_lacks(corpus: Corpus) -> None:
    test = corpus.frames["test"]
    poorer = replace(corpus, frames={**corpus.frames, "test": test[test["category"] == "blog"]})
    with pytest.raises(UsageError, match="some has no test passages in the category novel"):
        poorer.select(["novel"])
