"""The comparison as CSV: one row a variant, plain numbers in full precision, units in the headings."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from bench.reporting.model import Unit
from bench.reporting.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.reporting.model import Cell, Column, Row, Table

SPREAD = {Unit.SCORE: ("sd", "low", "high"), Unit.NUMBER: ("low", "high")}
"""What more than its mean a figure in such a unit tells: its standard deviation and the ends of its interval."""
UNITS = {Unit.BYTES: " (bytes)", Unit.SECONDS: " (s)", Unit.NATS: " (nats)", Unit.JOULES: " (J)"}


def render(tables: Iterable[tuple[str, Table]]) -> str:
    """Return the tables, each with its heading, as one CSV; shares and scores are parts of one.

    A score has four columns: its mean, the standard deviation over the seeds, and the ends of its 95% interval; a plain
    number lacks the deviation.
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    written: list[str] = []
    for heading, table in tables:
        titles = ["Comparison", *(title for column in table.columns for title in _titles(column))]
        if titles != written:
            writer.writerow(map(harmless, titles))
            written = titles
        for row in table.rows:
            writer.writerow([harmless(heading), *_values(row, table.columns)])
    return stream.getvalue()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe before it."""
    cleaned = clean(text)
    return f"'{cleaned}" if cleaned.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else cleaned


def _titles(column: Column) -> list[str]:
    title = column.title + UNITS.get(column.unit, "")
    return [title, *(f"{title} {part}" for part in SPREAD.get(column.unit, ()))]


def _values(row: Row, columns: tuple[Column, ...]) -> list[str]:
    return [text for cell, column in zip(row.cells, columns, strict=True) for text in _texts(cell, column)]


def _texts(cell: Cell, column: Column) -> list[str]:
    value = harmless(cell.value) if isinstance(cell.value, str) else _number(cell.value)
    low, high = cell.interval or (None, None)
    spread = {"sd": cell.spread, "low": low, "high": high}
    return [value, *(_number(spread[part]) for part in SPREAD.get(column.unit, ()))]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return repr(int(value)) if value == int(value) else repr(float(value))
