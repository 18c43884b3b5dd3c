"""Passages out of one jsonl, json, csv or parquet file, each checked, with errors that name file, row and column."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import UsageError
from methods import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow

csv.field_size_limit(2**31 - 1)  # the module's own limit of 131,072 characters is meant for other things than texts

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
REQUIRED = ("text", "style", "category")


class Passage(NamedTuple):
    """One text and where it stands."""

    text: str
    style: str
    category: str
    document: str | None
    where: str


def read(path: Path) -> list[Passage]:
    """Read and check every row of the file.

    A row counts from 1: a line in jsonl, an element in json, a row of data (without the header) in csv and parquet.
    A style, category or document may be an integer and is then taken as its digits; a text must be a string. In csv
    nothing stands for a missing value: "NA" is a text of two letters. Raises UsageError.
    """
    reader = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: unknown type of file; use {', '.join(SUFFIXES)}")
    unit = "line" if reader is _jsonl else "row"
    try:
        passages = [_passage(row, f"{path}, {unit} {number}") for number, row in reader(path)]
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror or error}") from error
    if not passages:
        raise UsageError(f"{path}: no rows")
    return passages


def _passage(row: dict[str, Any], where: str) -> Passage:
    _check_header(row, where)
    text, style, category = (_string(row[column], where, column) for column in REQUIRED)
    document = row.get("document")
    if document in (None, ""):
        return Passage(text, style, category, None, where)
    return Passage(text, style, category, _string(document, where, "document"), where)


def _check_header(names: Iterable[str], where: str) -> None:
    found = [_utf8(name, where) for name in names]
    for column in REQUIRED:
        if column not in found:
            raise UsageError(
                f"{where}: no column {column!r}{did_you_mean(column, found)}; "
                f"the columns are {', '.join(found) or 'none'}"
            )


def _string(value: object, where: str, column: str) -> str:
    if column != "text" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        shown = "null" if value is None else f"{type(value).__name__} {value!r}"
        raise UsageError(f"{where}, column {column}: {shown:.60} where a string is needed")
    if not value.strip():
        raise UsageError(f"{where}, column {column}: blank")
    return _utf8(value, f"{where}, column {column}")


def _utf8(value: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: not UTF-8 (character {error.start + 1})") from error
    return value


def _open_text(path: Path) -> Iterator[str]:
    """The file's lines; bytes that aren't UTF-8 become surrogates, so that their row and column can be named."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from file


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_open_text(path), start=1):
        if line.strip():
            yield number, _object(_parsed(line, f"{path}, line {number}"), f"{path}, line {number}")


def _json(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """One array of objects, or one object a line."""
    content = "".join(_open_text(path))
    if not content.lstrip().startswith("["):
        yield from _jsonl(path)
        return
    values = _parsed(content, str(path))
    assert isinstance(values, list)
    for number, value in enumerate(values, start=1):
        yield number, _object(value, f"{path}, row {number}")


def _parsed(content: str, where: str) -> object:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        _utf8(content, where)
        raise UsageError(f"{where}: malformed JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {type(value).__name__} where an object with text, style and category is needed")
    return value


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = csv.reader(_open_text(path), strict=True)
    number = 0
    try:
        header = next(lines, [])
        _check_header(header, f"{path}, header")
        for number, fields in enumerate(filter(None, lines), start=1):
            if len(fields) != len(header):
                raise UsageError(f"{path}, row {number}: {len(fields)} fields where the header has {len(header)}")
            yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise UsageError(f"{path}, row {number + 1}: malformed CSV: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        try:
            table = pq.ParquetFile(file).read()
        except (pa.ArrowInvalid, OSError) as error:  # by OSError, too, pyarrow says that the content is wrong
            raise UsageError(f"{path}: not a Parquet file that can be read: {str(error).splitlines()[0]}") from error
    _check_header(table.column_names, f"{path}, schema")
    kept = [name for name in (*REQUIRED, "document") if name in table.column_names]
    columns = [_values(table[name]) for name in kept]
    for number, values in enumerate(zip(*columns, strict=True), start=1):
        yield number, dict(zip(kept, values, strict=True))


def _values(column: pyarrow.ChunkedArray) -> list[Any]:
    """The column's values; strings by way of their bytes, since those needn't be UTF-8."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return list(column.to_pylist())
    content = column.cast(pa.large_binary()).to_pylist()
    return [None if value is None else value.decode(errors="surrogateescape") for value in content]
