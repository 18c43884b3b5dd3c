from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.corpus import SPLITS, Corpus, finish, frame, split_by_hash
from bench.errors import UsageError


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


def test_a_style_without_validation_gives_a_tenth_of_its_train_passages() -> None:
    train = frame([*_rows("ann", "novel", 50), *_rows("bob", "novel", 50), *_rows("bob", "novel", 50)])
    validation = frame(_rows("ann", "novel", 4, "v"))
    frames = finish({"train": train, "validation": validation, "test": validation})
    assert Counter(frames["validation"]["style"]) == {"ann": 4, "bob": 10}
    assert Counter(frames["train"]["style"]) == {"ann": 50, "bob": 90}
    assert not set(frames["train"]["text"]) & set(frames["validation"]["text"])
    backwards = finish({"train": train.iloc[::-1].reset_index(drop=True), "validation": validation, "test": validation})
    assert set(backwards["validation"]["text"]) == set(frames["validation"]["text"])


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(st.integers(0, 60), min_size=1, max_size=80),
    styles=st.lists(st.sampled_from("ab"), min_size=80, max_size=80),
)
def test_split_by_hash(texts: list[int], styles: list[str]) -> None:
    rows = frame((f"text {text}", style, "c", None) for text, style in zip(texts, styles, strict=False))
    splits = split_by_hash(rows)
    again = split_by_hash(rows.iloc[::-1].reset_index(drop=True))
    assert sum(map(len, splits.values())) == len(rows)
    for style in set(rows["style"]):
        own = {split: set(part["text"][part["style"] == style]) for split, part in splits.items()}
        assert not own["train"] & own["test"]
        assert not own["train"] & own["validation"]
        assert not own["validation"] & own["test"]
        everything = sum(map(len, own.values()))
        assert abs(len(own["test"]) - everything / 10) <= 1
        assert abs(len(own["validation"]) - everything / 10) <= 1
        assert own["train"]
        assert own["test"] == set(again["test"]["text"][again["test"]["style"] == style])
