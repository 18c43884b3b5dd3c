from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.reporting.terminal import to_rich

TABLE = Table(
    (Column("Method"), Column("Accuracy", Unit.SCORE), Column("Peak memory", Unit.BYTES)),
    (
        Row((Cell("lora alpha=128"), Cell(0.468, 0.012), Cell(790 * 2**20))),
        Row((Cell("majority class"), Cell(0.1), Cell())),
    ),
)


def _printed(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(to_rich(table, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 45, 80])
def test_numbers_are_never_broken_and_no_line_is_too_long(width: int) -> None:
    lines = _printed(TABLE, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("lora alpha=128" in line and "46.8% ± 1.2" in line for line in lines)


def test_a_long_name_folds_rather_than_a_number() -> None:
    long = Table(TABLE.columns, (Row((Cell("m" * 50), Cell(0.468, 0.012), Cell(790 * 2**20))),))
    lines = _printed(long, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert any("46.8% ± 1.2" in line and "790.0 MiB" in line for line in lines)


def test_columns_without_room_are_left_out_and_named() -> None:
    narrow = _printed(TABLE, 30)
    assert "790.0 MiB" not in narrow
    assert "Peak memory" in " ".join(narrow.split())
    wide = _printed(TABLE, 80)
    assert "790.0 MiB" in wide
    assert "No room" not in wide


def test_text_from_outside_is_neither_markup_nor_an_escape_sequence() -> None:
    hostile = Table((Column("[bold]Method\x1b[2J"),), (Row((Cell("[red]x[/red]\x1b]0;title\x07"),)),))
    printed = _printed(hostile, 100)
    assert "[red]x[/red]" in printed
    assert "[bold]Method" in printed
    assert "\x1b" not in printed
    assert "\x07" not in printed
