"""Whatever is in a cell comes back: nothing is dropped or changed silently, in any format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.data import load_local
from bench.data.columns import Columns
from bench.data.rows import read
from bench.data.tables import FORMATS
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = (
    *('"', '""', "'", ",", "\t", "\n", "\r\n", "\r", "\0", "NA", "null", "None", "nan", "007", "1e5", "-1", "1.0"),
    *("true", "🎉", "👩‍👩‍👧", "שלום", "\u202eabc", "\ufeff", "\u2028", "\x85", "\x1c", "\\", "\\N", "#", "{", "["),
    *("é", "e\u0301", " x "),
)
LETTERS = st.characters(exclude_categories=["Cs"])
CELLS = st.lists(st.sampled_from(AWKWARD) | st.text(LETTERS, max_size=4), min_size=1, max_size=4).map("".join)
TEXTS = CELLS.filter(lambda text: bool(text.strip()))
NAMES = st.sampled_from(AWKWARD).filter(lambda text: bool(text.strip())) | TEXTS
TABLES = st.lists(st.tuples(TEXTS, NAMES), min_size=1, max_size=12)
HEADER = ("text", "label")


def _bytes(kind: str, rows: list[tuple[Any, Any]]) -> bytes:
    """The table as a writer of that format makes it."""
    objects = [dict(zip(HEADER, row, strict=True)) for row in rows]
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=len(rows) % 2 == 0) + "\n" for row in objects).encode()
    if kind == "json":
        return json.dumps(objects, ensure_ascii=len(rows) % 2 == 0, indent=len(rows) % 3 or None).encode()
    if kind in ("csv", "tsv"):
        text = io.StringIO(newline="")
        lines = csv.writer(text, delimiter="," if kind == "csv" else "\t")
        lines.writerows([HEADER, *rows])
        return text.getvalue().encode("utf-8-sig" if len(rows) % 2 else "utf-8")
    table, sink = pa.Table.from_pylist(objects), pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(table, sink, row_group_size=5)
    else:
        writer = pa.ipc.new_file if len(rows) % 2 else pa.ipc.new_stream
        with writer(sink, table.schema) as arrow:
            arrow.write_table(table, max_chunksize=5)
    return bytes(sink.getvalue())


def _written(folder: Path, kind: str, packed: str, rows: list[tuple[Any, Any]]) -> Path:
    path, content = folder / f"some.{kind}{packed}", _bytes(kind, rows)
    if packed == ".gz":
        content = gzip.compress(content)
    elif packed == ".zst":
        content = pa.compress(content, codec="zstd", asbytes=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round-trip")


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None)
@given(rows=TABLES, packed=st.sampled_from(["", "", ".gz", ".zst"]))
@example(rows=[(text, name) for text in AWKWARD if text.strip() for name in AWKWARD if name.strip()], packed="")
@example(rows=[("a\tb\nc", "x"), ("d\te\nf", "y")], packed="")
def test_rows_and_labels_come_back_as_they_were_in_their_order(
    folder: Path, kind: str, rows: list[tuple[str, str]], packed: str
) -> None:
    path = _written(folder, kind, packed, rows)
    columns = Columns(("text",), "label", None, None)
    if kind == "tsv" and all(line.count("\t") == 1 for line in "\n".join(map("\t".join, rows)).splitlines()):
        with suppress(UsageError):  # refused where a quoted field of several lines looks like rows
            assert list(zip(*(read(path, columns).frame[name] for name in ("text", "style")), strict=True)) == rows
        return
    found = read(path, columns).frame
    assert list(zip(found["text"], found["style"], strict=True)) == rows


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.tuples(TEXTS, st.integers(-5, 30)), min_size=12, max_size=30, unique_by=lambda row: row[0]).filter(
        lambda rows: len({label for _, label in rows}) > 1
    )
)
def test_splitting_loses_no_row_and_labels_are_in_order(folder: Path, kind: str, rows: list[tuple[str, int]]) -> None:
    counted = {label: sum(other == label for _, other in rows) for _, label in rows}
    if max(counted.values()) < 3:  # too few for three splits
        rows = [(text, i % 2) for i, (text, _) in enumerate(rows)]
    corpus = load_local(_written(folder, kind, "", rows))
    found = [row for frame in corpus.frames.values() for row in zip(frame["text"], frame["style"], strict=True)]
    assert sorted(found) == sorted((text, str(label)) for text, label in rows)
    assert corpus.styles == tuple(str(label) for label in sorted({label for _, label in rows}))
    for frame in corpus.frames.values():
        order = [rows.index((text, int(style))) for text, style in zip(frame["text"], frame["style"], strict=True)]
        assert order == sorted(order)
