"""Passages out of one file, each checked, with errors that name file, row and column."""

from __future__ import annotations

import math
import re
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bench.data import tables
from bench.data.frames import COLUMNS, PAIR, packed, unpacked
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.data.columns import Columns

HIDDEN = "-1"
"""The label of texts whose label isn't told, as in the test splits of GLUE."""

_CHUNK = 8192
_INTEGER = re.compile(r"-?\d+", re.ASCII)


class Rows(NamedTuple):
    """A file's passages, in its order: `frame` has the columns of `frames.COLUMNS`, and the pair's second text if
    texts are pairs; `numbers` [n] tell where in the file each stands."""

    frame: pd.DataFrame
    numbers: NDArray[np.int64]
    path: Path

    def where(self, position: int) -> str:
        """Name the file and the row of a passage."""
        return f"{self.path}, {tables.unit(self.path)} {self.numbers[position]}"


class _Bad(Exception):
    """What is wrong with a cell."""


def read(path: Path, columns: Columns, class_names: Sequence[str] | None = None) -> Rows:
    """Read and check every row of the file.

    A text must be a string, and not blank. A label, group or document may also be a whole number or a boolean and is
    then called by its digits, or true and false; with `class_names`, a label is one of these or a place among them. In
    csv nothing stands for a missing value: "NA" is a text of two letters. Raises UsageError.
    """
    first, second = columns.text[0], columns.text[1] if len(columns.text) > 1 else None
    texts, pairs = _Strings(), _Strings()
    labels = _Names(lambda value: _name(value, class_names))
    groups, documents = _Names(lambda value: _name(value, None)), _Names(_document)
    numbers = array("q")
    column: str | None = first

    for number, row in tables.rows(path, columns.names()):
        try:
            texts.add(_text(row[column := first]))
            if second is not None:
                pairs.add(_text(row[column := second]))
            labels.add(row[column := columns.label])
            if columns.group is not None:
                groups.add(row[column := columns.group])
            if columns.document is not None:
                documents.add(row.get(column := columns.document))
        except KeyError as error:
            raise UsageError(
                f"{path}, {tables.unit(path)} {number}: no column {column!r}; the columns are "
                f"{', '.join(tables.utf8(other, str(path)) for other in row) or 'none'}"
            ) from error
        except _Bad as error:
            raise UsageError(f"{path}, {tables.unit(path)} {number}, column {column}: {error}") from error
        numbers.append(number)
    if not numbers:
        raise UsageError(f"{path}: no rows")
    cells = {"text": texts.column(), **({PAIR: pairs.column()} if second is not None else {})}
    for other, names in zip(COLUMNS[1:], (labels, groups, documents), strict=True):
        cells[other] = names.column(len(numbers))
    return Rows(pd.DataFrame(cells, copy=False), np.frombuffer(numbers, dtype=np.int64), path)


class _Strings:
    """Strings by the million, which take little more than their bytes."""

    def __init__(self) -> None:
        self._recent: list[str] = []
        self._chunks: list[Any] = []

    def add(self, text: str) -> None:
        self._recent.append(text)
        if len(self._recent) == _CHUNK:
            self._pack()

    def column(self) -> pd.Series:
        self._pack()
        return unpacked(self._chunks)

    def _pack(self) -> None:
        self._chunks.append(packed(self._recent))
        self._recent = []


class _Names:
    """Names by the million, few of them different."""

    def __init__(self, called: Callable[[Any], str | None]) -> None:
        """`called` returns what a cell's value is called, or raises `_Bad`."""
        self._called = called
        self._seen: dict[tuple[type, Any], int] = {}
        self._different: list[str | None] = []
        self._places = array("l")

    def add(self, value: Any) -> None:  # noqa: ANN401
        key = (type(value), value)
        try:
            self._places.append(self._seen[key])
        except (KeyError, TypeError):
            self._different.append(self._called(value))
            self._places.append(self._seen.setdefault(key, len(self._different) - 1))

    def column(self, rows: int) -> pd.Series:
        """The names that were added, or None for each row where none was."""
        if not self._places:
            return pd.Series(np.full(rows, None), dtype=object, copy=False)
        return pd.Series(np.array(self._different, dtype=object)[self._places], dtype=object, copy=False)


def _text(value: object) -> str:
    if not isinstance(value, str):
        shown = "null" if value is None else f"{type(value).__name__} {value!r}"
        raise _Bad(f"{shown:.60} where a string is needed")
    return _string(value)


def _string(value: str) -> str:
    if not value or value.isspace():
        raise _Bad("blank")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Bad(f"not UTF-8 (character {error.start + 1})") from error
    return value


def _name(value: object, class_names: Sequence[str] | None) -> str:
    """What a label, group or document is called."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise _Bad("null where a name or a whole number is needed")
    if class_names is not None and not isinstance(value, bool):
        return _class_name(value, class_names)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if isinstance(value, float):
        raise _Bad(f"{value} isn't whole; labels are classes, and there is no regression here")
    if isinstance(value, list):
        raise _Bad(f"a list, {value!r:.40}, where one name or whole number is needed; texts have one label each")
    raise _Bad(f"{type(value).__name__} {value!r:.40} where a name or a whole number is needed")


def _class_name(value: object, names: Sequence[str]) -> str:
    if isinstance(value, str) and value in names:
        return value
    place = _name(value, None)
    if not _INTEGER.fullmatch(place):
        raise _Bad(f"{place!r:.60} is none of the class names: {', '.join(names[:12])}")
    if place == HIDDEN:
        return HIDDEN
    if not 0 <= int(place) < len(names):
        raise _Bad(f"class {place}, and the class names are those of 0 to {len(names) - 1}: {', '.join(names[:12])}")
    return _string(names[int(place)])


def _document(value: object) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return _name(value, None)
