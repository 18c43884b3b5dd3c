from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.reporting.spreadsheet import render

COLUMNS = (Column("Method"), Column("Accuracy", Unit.SCORE), Column("Peak memory", Unit.BYTES))


def _read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def _table(name: str) -> Table:
    return Table(COLUMNS, (Row((Cell(name), Cell(0.375, 0.01, interval=(0.34, 0.41)), Cell(2048.0))),))


def test_numbers_are_plain_and_whole_with_their_units_in_the_headings() -> None:
    assert _read(render([("demo", _table("lora"))])) == [
        ["Comparison", "Method", "Accuracy", "Accuracy sd", "Accuracy low", "Accuracy high", "Peak memory (bytes)"],
        ["demo", "lora", "0.375", "0.01", "0.34", "0.41", "2048"],
    ]


def test_what_is_not_known_is_empty() -> None:
    row = Row((Cell("lora"), Cell(None), Cell(None)))
    assert _read(render([("demo", Table(COLUMNS, (row,)))]))[1] == ["demo", "lora", *[""] * 5]


def test_tables_alike_share_their_headings() -> None:
    assert [row[0] for row in _read(render([("a", _table("x")), ("b", _table("y"))]))] == ["Comparison", "a", "b"]


def test_folded_rows_are_there() -> None:
    row = Row((Cell("lora"), Cell(0.1), Cell(1)))
    assert len(_read(render([("demo", Table(COLUMNS, (row, row, row), shown=1))]))) == 4


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0", "＝1"],
)
def test_no_name_is_run_as_a_formula(name: str) -> None:
    for cell in (cell for row in _read(render([(name, _table(name))])) for cell in row):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝"))


@given(st.text())
@settings(deadline=None)
def test_any_name_stays_in_its_cell(name: str) -> None:
    assert [len(row) for row in _read(render([(name, _table(name))]))] == [7, 7]
