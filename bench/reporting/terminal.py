"""The report's tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from bench.reporting.model import Table, Unit
from bench.reporting.text import clean, show

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = 3
"""Columns of the terminal between two columns of the table."""
NAME_WIDTH = 30
"""The first column may fold its texts at this width."""


def to_rich(table: Table, width: int) -> RichTable:
    """Return the table for rich to print; no text in it is read as rich's markup or as an escape sequence.

    A number is never broken over two lines: where `width` columns of the terminal don't hold the whole table, its last
    columns are left out, and a caption names them.
    """
    titles = [clean(column.title, column.limit) for column in table.columns]
    texts = [[show(cell, column) for cell, column in zip(row.cells, table.columns, strict=True)] for row in table.rows]
    shown = _fitting(titles, texts, width)
    rich = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, caption_justify="left")
    for index, column in enumerate(table.columns[:shown]):
        title = Text("\n".join(titles[index].split()))
        left = column.unit is Unit.TEXT
        rich.add_column(title, justify="left" if left else "right", overflow="fold")
    for row, cells in zip(table.rows, texts, strict=True):
        rich.add_row(*map(Text, cells[:shown]), style="italic dim" if row.baseline else None)
    if titles[shown:]:
        rich.caption = Text(f"No room here for: {', '.join(titles[shown:])}.")
    return rich


def _fitting(titles: Sequence[str], texts: Sequence[Sequence[str]], width: int) -> int:
    """How many columns, from the left, fit beside one another; the first is always shown."""
    used = -GAP
    for index, (title, *column) in enumerate(zip(titles, *texts, strict=True)):
        needed = max(map(cell_len, [*title.split(), *column]))
        used += GAP + (min(needed, NAME_WIDTH) if index == 0 else needed)
        if used > width:
            return max(1, index)
    return len(titles)
