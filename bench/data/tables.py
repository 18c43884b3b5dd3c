"""Tables in files, row by row as they stand: JSON, CSV, TSV, Parquet and Arrow, each also compressed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, TextIO, cast

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import pyarrow

csv.field_size_limit(2**31 - 1)  # the module's own limit of 131,072 characters is meant for other things than texts

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow")
_COMPRESSED = (".gz", ".zst")
_BLOCK = 1 << 20
_BATCH = 4096
_PEEKED = 100
_SPACE = re.compile(r"[ \t\r\n]*")

Numbered = tuple[int, dict[str, Any]]
"""A row and its number, which counts from 1: a line in jsonl, an element in json, a row of data in other formats."""


class Peek(NamedTuple):
    """A table's columns, its first rows, and the class names that its schema has for some columns."""

    columns: list[str]
    rows: list[dict[str, Any]]
    class_names: dict[str, list[str]]


def bare_name(name: str) -> str | None:
    """A file's name without the suffixes of its format and compression; None where it isn't of a format read here."""
    stem = Path(name)
    if stem.suffix.lower() in _COMPRESSED:
        stem = stem.with_suffix("")
    return stem.stem if stem.suffix.lower()[1:] in FORMATS else None


def is_table(name: str) -> bool:
    """Tell whether a file of that name is of a format read here."""
    return bare_name(name) is not None


def unit(path: Path) -> str:
    """What a row of the file is called where one is named."""
    return "line" if _format(path) == "jsonl" else "row"


def rows(path: Path, columns: Collection[str] | None = None) -> Iterator[Numbered]:
    """Yield every row of the file; Parquet and Arrow may leave out what isn't among `columns`.

    Raises UsageError for what can't be read, by row where the row is known.
    """
    reader = {"jsonl": _jsonl, "json": _json, "csv": _csv, "tsv": _tsv}.get(_format(path))
    try:
        yield from reader(path) if reader else _arrow_rows(path, columns)
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:  # as gzip says that its file is cut off, or damaged
        raise UsageError(f"{path}: can't be decompressed: {error}") from error


def peek(path: Path) -> Peek:
    """Look at a table's columns and its first rows. Raises UsageError as `rows` does, and where there is no row."""
    first = [row for _, row in islice(rows(path), _PEEKED)]
    if not first:
        raise UsageError(f"{path}: no rows")
    columns = list(dict.fromkeys(name for row in first for name in row))
    names = _schema_class_names(path) if _format(path) in ("parquet", "arrow") else {}
    return Peek(columns, first, names)


def class_names(features: object) -> dict[str, list[str]]:
    """The names of each ClassLabel among `features`, as the library datasets writes these into a file."""
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names"):
            found[str(column)] = [str(name) for name in feature["names"]]
    return found


def utf8(value: str, where: str) -> str:
    """Return `value`. Raises UsageError where bytes in it weren't UTF-8, or it holds half a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{where}: not UTF-8 (character {error.start + 1})") from error
    return value


def _format(path: Path) -> str:
    name = path.name.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    found = name.rpartition(".")[2]
    if found not in FORMATS:
        raise UsageError(
            f"{path}: unknown type of file; use {', '.join(f'.{name}' for name in FORMATS)}, also as .gz or .zst"
        )
    return found


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            yield cast("IO[bytes]", file)
    elif path.suffix.lower() == ".zst":
        import pyarrow as pa

        with path.open("rb") as packed, pa.CompressedInputStream(packed, "zstd") as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """The file's characters, its line ends as they are.

    Bytes that aren't UTF-8 become surrogates, so that their row and column can be named.
    """
    with (
        _opened(path) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        yield text


def _distinct(names: Iterable[str], where: str) -> list[str]:
    found: list[str] = []
    for name in names:
        if name in found:
            raise UsageError(f"{where}: there are two columns {utf8(name, where)!r}; rename one")
        found.append(utf8(name, where))
    return found


def _jsonl(path: Path) -> Iterator[Numbered]:
    with _text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.isspace():
                where = f"{path}, line {number}"
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise _malformed(line, error, where) from error
                yield number, _object(value, where)


def _json(path: Path) -> Iterator[Numbered]:
    """One array of objects, or one object a line."""
    with _text(path) as file:
        array = _Ahead(file)
        if array.next_character() != "[":
            yield from _jsonl(path)
            return
        array.at += 1
        number = 0
        while array.next_character() != ("]" if number == 0 else ""):
            where = f"{path}, row {number + 1}"
            try:
                value = array.value()
            except (ValueError, RecursionError) as error:
                raise _malformed(array.rest, error, where) from error
            number += 1
            yield number, _object(value, where)
            mark = array.next_character()
            array.at += 1
            if mark == "]" and not array.next_character():
                return
            if mark != ",":
                raise UsageError(f"{where}: malformed JSON after it: expected a comma, or ] at the end of the file")
        array.at += 1
        if array.next_character():
            raise UsageError(f"{path}: malformed JSON: there is more behind the array")


class _Ahead:
    """A JSON array that is read as it is needed: no more of it is held than the longest of its elements."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._buffer, self.at = file, "", 0
        self._decode = json.JSONDecoder().raw_decode

    @property
    def rest(self) -> str:
        return self._buffer[self.at :]

    def next_character(self) -> str:
        """Pass over white space and return what comes then, "" at the end of the file."""
        while True:
            self.at = cast("re.Match[str]", _SPACE.match(self._buffer, self.at)).end()
            if self.at < len(self._buffer):
                return self._buffer[self.at]
            if not self._read_on():
                return ""

    def value(self) -> object:
        """Return the next value. Raises ValueError where there is none."""
        while True:
            try:
                value, self.at = self._decode(self._buffer, self.at)
            except ValueError:
                if not self._read_on():
                    raise
            else:
                return value

    def _read_on(self) -> bool:
        rest = self.rest
        more = self._file.read(max(_BLOCK, len(rest)))
        self._buffer, self.at = rest + more, 0
        return bool(more)


def _malformed(content: str, error: Exception, where: str) -> UsageError:
    utf8(content, where)
    if isinstance(error, json.JSONDecodeError):
        return UsageError(f"{where}: malformed JSON: {error.msg} (line {error.lineno}, column {error.colno})")
    return UsageError(f"{where}: JSON that can't be read: {error}")


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {type(value).__name__} where an object with a text and a label is needed")
    return value


def _csv(path: Path) -> Iterator[Numbered]:
    yield from _separated(path, ",", csv.QUOTE_MINIMAL)


def _tsv(path: Path) -> Iterator[Numbered]:
    yield from _separated(path, "\t", csv.QUOTE_MINIMAL if _quoted(path) else csv.QUOTE_NONE)


def _separated(path: Path, delimiter: str, quoting: Literal[0, 3]) -> Iterator[Numbered]:
    number = 0
    with _text(path) as file:
        lines = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        try:
            header = _distinct(next(lines, []), f"{path}, header")
            for number, fields in enumerate(filter(None, lines), start=1):
                if len(fields) != len(header):
                    raise UsageError(f"{path}, row {number}: {len(fields)} fields where the header has {len(header)}")
                yield number, dict(zip(header, fields, strict=True))
        except csv.Error as error:
            kind = "CSV" if delimiter == "," else "TSV"
            raise UsageError(f"{path}, row {number + 1}: malformed {kind}: {error}") from error


def _quoted(path: Path) -> bool:
    """Tell whether quotes in a TSV enclose fields, as Excel and pandas write them, or are characters, as in GLUE's.

    Characters where only so each line has the header's fields. Raises UsageError where both ways fit and differ.
    """
    with _text(path) as file:
        tabs = file.readline().count("\t")
        lines = 1
        for line in file:
            if line.strip("\r\n"):
                lines += 1
                if line.count("\t") != tabs:
                    return True
    records = 0
    with _text(path) as file:
        try:
            for fields in filter(None, csv.reader(file, delimiter="\t", strict=True)):
                records += 1
                if len(fields) != tabs + 1:
                    return False
        except csv.Error:
            return False
    if records != lines:
        raise UsageError(
            f"{path}: quotes in it may be characters, or enclose fields of several lines; save it as jsonl or parquet"
        )
    return True


def _arrow_rows(path: Path, columns: Collection[str] | None) -> Iterator[Numbered]:
    number = 0
    with _opened(path) as file:
        schema, batches = _arrow(path, file, columns)
        kept = [name for name in schema.names if columns is None or name in columns]
        for batch in _readable(path, batches):
            cells = [_values(batch.column(name)) for name in kept]
            for values in zip(*cells, strict=True) if kept else ():
                number += 1
                yield number, dict(zip(kept, values, strict=True))


def _schema_class_names(path: Path) -> dict[str, list[str]]:
    with _opened(path) as file:
        schema, _ = _arrow(path, file, None)
    try:
        known = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return class_names(known["info"]["features"])
    except (ValueError, KeyError, TypeError):
        return {}


def _arrow(
    path: Path, file: IO[bytes], columns: Collection[str] | None
) -> tuple[pyarrow.Schema, Iterable[pyarrow.RecordBatch]]:
    """Return the schema and the batches of a Parquet file, or of Arrow's own format for files or for streams."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.BufferReader(file.read()) if path.suffix.lower() in _COMPRESSED else file
    try:
        if _format(path) == "parquet":
            table = pq.ParquetFile(source, pre_buffer=False, buffer_size=_BLOCK)  # else a row group is held whole
            schema = table.schema_arrow
            kept = None if columns is None else [name for name in schema.names if name in columns]
            batches = table.iter_batches(_BATCH, columns=kept)
        elif source.read(6) == b"ARROW1":
            source.seek(0)
            whole = pa.ipc.open_file(source)
            schema, batches = whole.schema, map(whole.get_batch, range(whole.num_record_batches))
        else:
            source.seek(0)
            batches = pa.ipc.open_stream(source)
            schema = batches.schema
    except (pa.ArrowInvalid, OSError) as error:  # by OSError, too, pyarrow says that the content is wrong
        raise _unreadable(path, error) from error
    _distinct(schema.names, f"{path}, schema")
    return schema, batches


def _readable(path: Path, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow as pa

    try:
        for batch in batches:
            yield from (batch.slice(start, _BATCH) for start in range(0, len(batch), _BATCH))
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    kind = "a Parquet" if _format(path) == "parquet" else "an Arrow"
    return UsageError(f"{path}: not {kind} file that can be read: {str(error).splitlines()[0]}")


def _values(column: pyarrow.Array) -> list[Any]:
    """The column's values; strings by way of their bytes, since those needn't be UTF-8."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return list(column.to_pylist())
    content = column.cast(pa.large_binary()).to_pylist()
    return [None if value is None else value.decode(errors="surrogateescape") for value in content]
