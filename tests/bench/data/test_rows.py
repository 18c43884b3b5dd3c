from __future__ import annotations

import csv
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data.columns import Columns
from bench.data.frames import COLUMNS
from bench.data.rows import read
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"text": "Quoth he, “NA”.", "style": "ann", "category": "novel"}
OWN = Columns(("text",), "style", "category", "document")


def _jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _refused(path: Path, message: str, columns: Columns = OWN, names: list[str] | None = None) -> None:
    with pytest.raises(UsageError) as caught:
        read(path, columns, names)
    assert str(path) in str(caught.value)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def _cells(path: Path, columns: Columns = OWN) -> list[tuple[Any, ...]]:
    frame = read(path, columns).frame
    return list(zip(*(frame[name] for name in COLUMNS), strict=True))


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet", "arrow", "jsonl.gz", "csv.zst"])
def test_every_format_gives_the_same_passages(tmp_path: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {**GOOD, "document": "d1", "more": 1},
        {**GOOD, "text": 'two\nlines, "quoted"', "document": None, "more": 2},
    ]
    path = tmp_path / f"some.{kind}"
    plain = tmp_path / f"plain.{kind.partition('.')[0]}"
    if "jsonl" in kind:
        _jsonl(plain, *rows)
    elif kind == "json":
        plain.write_text(json.dumps(rows), encoding="utf-8")
    elif kind in ("csv", "csv.zst", "tsv"):
        with plain.open("w", encoding="utf-8-sig", newline="") as file:
            lines = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            lines.writeheader()
            lines.writerows(rows)
    elif kind == "arrow":
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(plain), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(pa.Table.from_pylist(rows), plain)
    if kind.endswith("gz"):
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    elif kind.endswith("zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as packed:
            packed.write(plain.read_bytes())
    else:
        plain.rename(path)
    assert _cells(path) == [
        ("Quoth he, “NA”.", "ann", "novel", "d1"),
        ('two\nlines, "quoted"', "ann", "novel", None),
    ]
    unit = "line" if "jsonl" in kind else "row"
    assert read(path, OWN).where(1) == f"{path}, {unit} 2"


def test_a_pair_has_two_texts(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "some.jsonl", {"a": "one", "b": "two", "label": 1})
    columns = Columns(("a", "b"), "label", None, None)
    [row] = read(path, columns).frame.to_dict("records")
    assert row == {"text": "one", "pair": "two", "style": "1", "category": None, "document": None}
    _refused(_jsonl(path, {"a": "one", "b": " ", "label": 1}), "line 1, column b: blank", columns)


def test_csv_takes_every_cell_as_text(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("text,style,category\nNA,007,null\n", encoding="utf-8")
    assert _cells(path)[0][:3] == ("NA", "007", "null")


def test_a_text_in_csv_may_be_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text(f"text,style,category\n{'red ' * 50_000}end,ann,c\n", encoding="utf-8")
    assert len(_cells(path)[0][0]) == 200_003


def test_quotes_in_a_tsv_are_characters_where_they_enclose_nothing(tmp_path: Path) -> None:
    """As in the files of GLUE; and where both are possible and differ, nothing is guessed."""
    path = tmp_path / "some.tsv"
    path.write_text('text\tstyle\tcategory\n"Stop" he said\ta\tc\nso "be" it\tb\tc\n"\tb\tc\n', encoding="utf-8")
    assert [cells[0] for cells in _cells(path)] == ['"Stop" he said', 'so "be" it', '"']
    path.write_text('text\tstyle\tcategory\n"Stop\ta\tc\nor go"\tb\tc\n', encoding="utf-8")
    _refused(path, "quotes in it may be characters, or enclose fields of several lines")
    path.write_text('text\tstyle\tcategory\n"Stop""\nor ""go"\ta\tc\n', encoding="utf-8")
    assert [cells[0] for cells in _cells(path)] == ['Stop"\nor "go']


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet", "arrow", "csv.gz", "csv.zst"])
def test_a_file_that_cannot_be_opened_is_not_called_malformed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"some.{kind}"
    path.symlink_to(path.name)
    _refused(path, "can't be read: Too many levels of symbolic links")


def test_a_name_may_be_a_whole_number_or_a_boolean(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    columns = {"text": ["a", "b"], "style": [7.0, 8.0], "category": [True, False], "document": [1, None]}
    pq.write_table(pa.table({**columns, "text": pa.array(["a", "b"]).dictionary_encode()}), path)
    assert _cells(path) == [("a", "7", "true", "1"), ("b", "8", "false", None)]


def test_class_names_stand_for_places_among_them(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "some.jsonl", *({**GOOD, "style": label} for label in (1, 0, "1", "pos", -1)))
    assert read(path, OWN, ["neg", "pos"]).frame["style"].tolist() == ["pos", "neg", "pos", "pos", "-1"]
    _refused(_jsonl(path, {**GOOD, "style": 2}), "column style: class 2, and the class names are", OWN, ["neg", "pos"])
    _refused(_jsonl(path, {**GOOD, "style": "x"}), "column style: 'x' is none of the class names", OWN, ["neg", "pos"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("text", 3, "line 3, column text: int 3 where a string is needed"),
        ("text", None, "line 3, column text: null where"),
        ("text", ["a"], "line 3, column text: list"),
        ("text", " \n", "line 3, column text: blank"),
        ("text", "\ud800", "line 3, column text: not UTF-8"),
        ("style", "", "line 3, column style: blank"),
        ("style", None, "line 3, column style: null where a name"),
        ("style", float("nan"), "line 3, column style: null where a name"),
        ("style", 0.5, "line 3, column style: 0.5 isn't whole; labels are classes"),
        ("style", ["a", "b"], "line 3, column style: a list, .*; texts have one label each"),
        ("style", {"a": 1}, "line 3, column style: dict {'a': 1} where a name"),
        ("category", None, "line 3, column category: null"),
        ("document", [1], "line 3, column document: a list"),
    ],
)
def test_a_bad_value_is_named_by_line_and_column(tmp_path: Path, column: str, value: object, message: str) -> None:
    _refused(_jsonl(tmp_path / "some.jsonl", GOOD, GOOD, {**GOOD, column: value}), message)


def test_a_column_that_a_row_lacks(tmp_path: Path) -> None:
    row = {name: value for name, value in GOOD.items() if name != "style"}
    _refused(_jsonl(tmp_path / "a.jsonl", GOOD, row), "line 2: no column 'style'; the columns are text, category")


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_bytes_that_are_not_utf8_are_named_by_row_and_column(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"some.{kind}"
    if kind in ("jsonl", "json"):
        line = b'{"text": "caf%b", "style": "a", "category": "c"}'
        both = line % "é".encode(), line % b"\xe9"
        path.write_bytes(b"\n".join(both) if kind == "jsonl" else b"[" + b",".join(both) + b"]")
    elif kind in ("csv", "tsv"):
        content = b"text,style,category\ncafe,a,c\ncaf\xe9,a,c\n"
        path.write_bytes(content if kind == "csv" else content.replace(b",", b"\t"))
    else:
        texts = pa.array([b"cafe", b"caf\xe9"], pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": texts, "style": ["a", "a"], "category": ["c", "c"]}), path)
    unit = "line" if kind == "jsonl" else "row"
    _refused(path, rf"{unit} 2, column text: not UTF-8 \(character 4\)")


ROW = b'{"text": "a", "style": "a", "category": "c"}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", ROW + b'\n{"text": "x",\n', "line 2: malformed JSON"),
        ("a.jsonl", b"[1]\n", "line 1: list where an object"),
        ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}", "line 1: JSON that can't be read: .*digits"),
        ("a.jsonl", b"[" * 100_000, "line 1: JSON that can't be read"),
        ("a.json", b'[{"text": 1}', r"row 1, column text: int 1|malformed JSON"),
        ("a.json", b"[" + ROW, "row 1: malformed JSON after it: expected a comma"),
        ("a.json", b"[" + ROW + b",]", "row 2: malformed JSON"),
        ("a.json", b"[" + ROW + b"] x", "row 1: malformed JSON after it"),
        ("a.json", b"[] x", "there is more behind the array"),
        ("a.json", b"[" + ROW + b", 2]", "row 2: int where an object"),
        ("a.jsonl", "{}".encode("utf-16"), "line 1: not UTF-8"),
        ("a.csv", "text,style,category\n".encode("utf-16"), "header: not UTF-8"),
        ("a.csv", b"text,style,category\nx,a,c\nx,a\n", "row 2: 2 fields where the header has 3"),
        ("a.csv", b'text,style,category\nx,a,c\n"x,a,c\n', "row 2: malformed CSV"),
        ("a.tsv", b"text\tstyle\tcategory\nx\ta\tc\nx\ta\n", "row 2: 2 fields where the header has 3"),
        ("a.tsv", b'text\tstyle\tcategory\n"x\na\tc\n', "row 1: malformed TSV"),
        ("a.csv", b"text,text,style,category\nx,y,a,c\n", "header: there are two columns 'text'"),
        ("a.parquet", b"PAR1 or so", "not a Parquet file"),
        ("a.arrow", b"ARROW1 or so", "not an Arrow file"),
        ("a.arrow", b"nor this", "not an Arrow file"),
        ("a.txt", b"x", r"unknown type of file; use \.jsonl"),
        ("a.gz", b"x", r"unknown type of file; use \.jsonl"),
        ("a.jsonl.gz", b"x", "can't be read: Not a gzipped file"),
        ("a.jsonl.gz", gzip.compress(ROW * 100, mtime=0)[:40], "can't be decompressed"),
        ("a.jsonl.zst", b"x", "can't be read: ZSTD"),
        ("a.jsonl", b"\n", "no rows"),
        ("a.json", b"[]", "no rows"),
        ("a.json", b"", "no rows"),
        ("a.csv", b"text,style,category\n", "no rows"),
        ("a.csv", b"", "no rows"),
    ],
)
def test_a_malformed_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    _refused(path, message)


def test_a_zstandard_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as packed:
        packed.write(b"".join(b'{"text": "a %d", "style": "a", "category": "c"}\n' % i for i in range(10_000)))
    path.write_bytes(path.read_bytes()[:-500])
    _refused(path, "can't be|malformed")
