from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data.rows import Passage, read
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"text": "Quoth he, “NA”.", "style": "ann", "category": "novel"}


def _jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _refused(path: Path, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_every_format_gives_the_same_passages(tmp_path: Path, kind: str) -> None:
    rows = [
        {**GOOD, "document": "d1", "more": 1},
        {**GOOD, "text": 'two\nlines, "quoted"', "document": None, "more": 2},
    ]
    path = tmp_path / f"some.{kind}"
    if kind == "jsonl":
        _jsonl(path, *rows)
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif kind == "csv":
        path.write_text(
            'text,style,category,document,more\r\n"Quoth he, “NA”.",ann,novel,d1,1\r\n'
            '"two\nlines, ""quoted""",ann,novel,,2\r\n',
            encoding="utf-8-sig",
            newline="",
        )
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    unit = "line" if kind == "jsonl" else "row"
    assert read(path) == [
        Passage("Quoth he, “NA”.", "ann", "novel", "d1", f"{path}, {unit} 1"),
        Passage('two\nlines, "quoted"', "ann", "novel", None, f"{path}, {unit} 2"),
    ]


def test_csv_takes_every_cell_as_text(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("text,style,category\nNA,007,null\n", encoding="utf-8")
    assert read(path)[0][:3] == ("NA", "007", "null")


def test_a_text_in_csv_may_be_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text(f"text,style,category\n{'red ' * 50_000}end,ann,c\n", encoding="utf-8")
    assert len(read(path)[0].text) == 200_003


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_a_file_that_cannot_be_opened_is_not_called_malformed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"some.{kind}"
    path.symlink_to(path.name)
    _refused(path, "can't be read: Too many levels of symbolic links")


def test_a_style_may_be_an_integer(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table({"text": ["a"], "style": [7], "category": pa.array(["c"]).dictionary_encode()}), path)
    assert read(path)[0][:3] == ("a", "7", "c")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("text", 3, "line 3, column text: int 3 where a string is needed"),
        ("text", None, "line 3, column text: null where"),
        ("text", ["a"], "line 3, column text: list"),
        ("text", " \n", "line 3, column text: blank"),
        ("text", "\ud800", "line 3, column text: not UTF-8"),
        ("style", "", "line 3, column style: blank"),
        ("style", 0.5, "line 3, column style: float 0.5"),
        ("category", True, "line 3, column category: bool True"),
    ],
)
def test_a_bad_value_is_named_by_line_and_column(tmp_path: Path, column: str, value: object, message: str) -> None:
    _refused(_jsonl(tmp_path / "some.jsonl", GOOD, GOOD, {**GOOD, column: value}), message)


@pytest.mark.parametrize("missing", ["text", "style", "category"])
def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path, missing: str) -> None:
    row = {name: value for name, value in GOOD.items() if name != missing} | {f"{missing}s": "x"}
    message = f"no column '{missing}'; did you mean '{missing}s'"
    _refused(_jsonl(tmp_path / "some.jsonl", GOOD, row), f"line 2: {message}")
    header = tmp_path / "some.csv"
    header.write_text(",".join(row) + "\na,b,c\n", encoding="utf-8")
    _refused(header, f"header: {message}")
    table = tmp_path / "some.parquet"
    pq.write_table(pa.Table.from_pylist([row]), table)
    _refused(table, f"schema: {message}")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_bytes_that_are_not_utf8_are_named_by_row_and_column(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"some.{kind}"
    if kind == "jsonl":
        line = b'{"text": "caf%b", "style": "a", "category": "c"}\n'
        path.write_bytes(line % "é".encode() + line % b"\xe9")
    elif kind == "csv":
        path.write_bytes(b"text,style,category\ncafe,a,c\ncaf\xe9,a,c\n")
    else:
        texts = pa.array([b"cafe", b"caf\xe9"], pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": texts, "style": ["a", "a"], "category": ["c", "c"]}), path)
    unit = "line" if kind == "jsonl" else "row"
    _refused(path, rf"{unit} 2, column text: not UTF-8 \(character 4\)")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x", "style": "a", "category": "c"}\n{"text": "x",\n', "line 2: malformed JSON"),
        ("a.jsonl", b"[1]\n", "line 1: list where an object"),
        ("a.json", b'[{"text": 1}', "malformed JSON"),
        ("a.json", b'[{"text": "a", "style": "a", "category": "c"}, 2]', "row 2: int where an object"),
        ("a.jsonl", "{}".encode("utf-16"), "line 1: not UTF-8"),
        ("a.csv", "text,style,category\n".encode("utf-16"), "header: not UTF-8"),
        ("a.csv", b"text,style,category\nx,a,c\nx,a\n", "row 2: 2 fields where the header has 3"),
        ("a.csv", b'text,style,category\nx,a,c\n"x,a,c\n', "row 2: malformed CSV"),
        ("a.parquet", b"PAR1 or so", "not a Parquet file"),
        ("a.txt", b"x", r"unknown type of file; use \.jsonl"),
        ("a.jsonl", b"\n", "no rows"),
        ("a.json", b"[]", "no rows"),
        ("a.csv", b"text,style,category\n", "no rows"),
        ("a.csv", b"", "no column 'text'; the columns are none"),
    ],
)
def test_a_malformed_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    _refused(path, message)
