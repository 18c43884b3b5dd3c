from __future__ import annotations

from typing import Any

import pytest

from bench.data import DataOptions, parse_splits
from bench.data.columns import Columns, find
from bench.data.tables import Peek
from bench.errors import UsageError


def _table(**cells: Any) -> Peek:
    return Peek(list(cells), [cells], {})


def _columns(*names: str) -> Peek:
    return _table(**dict.fromkeys(names, "x"))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("text", "style", "category", "document"), (("text",), "style", "category", "document")),
        (("text", "style", "category", "label", "content"), (("text",), "style", "category", None)),
        (("text", "label"), (("text",), "label", None, None)),
        (("id", "Sentence", "CLASS"), (("Sentence",), "CLASS", None, None)),
        (("content", "target", "Category"), (("content",), "target", "Category", None)),
        (("category", "text"), (("text",), "category", None, None)),
        (("idx", "premise", "hypothesis", "label"), (("premise", "hypothesis"), "label", None, None)),
        (("question", "sentence", "label"), (("question", "sentence"), "label", None, None)),
    ],
)
def test_columns_are_found_by_their_names(names: tuple[str, ...], found: tuple[Any, ...]) -> None:
    assert find(_columns(*names), DataOptions(), "some.csv") == Columns(*found)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (DataOptions(text=("body",)), (("body",), "label", "category", None)),
        (DataOptions(text=("body", "title"), label="kind"), (("body", "title"), "kind", "category", None)),
        (DataOptions(text=("body",), group="none"), (("body",), "label", None, None)),
        (DataOptions(text=("body",), group="kind", document="title"), (("body",), "label", "kind", "title")),
        (DataOptions(text=("body",), label="category"), (("body",), "category", None, None)),
    ],
)
def test_columns_are_what_a_person_says(options: DataOptions, found: tuple[Any, ...]) -> None:
    table = _columns("body", "title", "label", "kind", "category", "text")
    assert find(table, options, "some.csv") == Columns(*found)


def test_of_several_columns_by_their_names_the_one_is_taken_that_fits() -> None:
    table = _table(text=["to", "kens"], sentence="tokens", label=1, target=[0.1, 0.9])
    assert find(table, DataOptions(), "some.jsonl") == Columns(("sentence",), "label", None, None)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("text", "review", "label"), {}, "several columns may be the text; choose with --text text or review"),
        (("text", "Text", "label"), {}, "choose with --text text or Text"),
        (("text", "premise", "hypothesis", "label"), {}, "--text text or premise,hypothesis"),
        (("text", "label", "class"), {}, "several columns may be the label; choose with --label label or class"),
        (("texts", "label"), {}, "which column is the text? Name it with --text; the columns are texts, label"),
        (("text", "score"), {}, "which column is the label? Name it with --label; the columns are text, score"),
        (("text", "label"), {"label": "labels"}, "--label labels: some.csv: no column 'labels'; did you mean 'label'"),
        (("text", "label"), {"group": "x"}, "--group x: some.csv: no column 'x'"),
        (("text", "label"), {"document": "x"}, "--document x: some.csv: no column 'x'"),
        (("text", "label"), {"text": ("text", "x")}, "--text x: some.csv: no column 'x'"),
        (
            ("text", "label"),
            {"group": "label", "label": "label"},
            "'label' can't be two things: text text, label label, group",
        ),
    ],
)
def test_nothing_is_guessed(names: tuple[str, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(_columns(*names), DataOptions(**options), "some.csv")
    assert message in str(caught.value)
    assert "some.csv" in str(caught.value)


@pytest.mark.parametrize("text", [(), ("a", "b", "c"), ("a", "a")])
def test_texts_are_one_column_or_two(text: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"--text .*: expected a column, or two different ones for a pair"):
        DataOptions(text=text)


def test_splits_are_named_one_by_one() -> None:
    assert parse_splits("train=a.csv, test = dev") == {"train": "a.csv", "test": "dev"}
    assert parse_splits(None) == {}
    for wrong in ("train", "train=", "dev=a", "train=a,train=b", "a.csv"):
        with pytest.raises(UsageError, match=f"--splits {wrong}: expected train=…,validation=…,test=…"):
            parse_splits(wrong)
    with pytest.raises(UsageError, match="--splits names no train split"):
        DataOptions(splits={"test": "a"})
