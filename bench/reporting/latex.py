r"""The comparison as LaTeX: one booktabs table each, for \input; \usepackage{booktabs} is all that it needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.reporting import words
from bench.reporting.model import Unit
from bench.reporting.text import clean, show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.reporting.model import Row, Table

LITERAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "`": "{`}",
    "'": "{'}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    words.TOP: r"$\bullet$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def render(tables: Iterable[tuple[str, Table]]) -> str:
    """Return the tables, each with its heading as the caption."""
    return "\n".join(_table(heading, table) for heading, table in tables)


def escape(text: str, limit: int = 300) -> str:
    """Return any text so that LaTeX prints it as it is."""
    literal = "".join(LITERAL.get(character, character) for character in clean(text, limit))
    return re.sub("-(?=-)", "-{}", literal)  # two hyphens would become a dash


def _table(heading: str, table: Table) -> str:
    columns = "".join("l" if column.unit is Unit.TEXT else "r" for column in table.columns)
    heads = [escape(column.title, column.limit) for column in table.columns]
    marked = any(words.TOP in cell.mark for row in table.rows for cell in row.cells)
    over_seeds = any(cell.spread is not None for row in table.rows for cell in row.cells)
    note = "Mean ± standard deviation over n seeds (95% interval)." if over_seeds else "Mean (95% interval)."
    note += f" {words.TOP} can't be told from the best." if marked else ""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(heading)}. {escape(note)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(heads),
        r"\midrule",
        *(_line(_cells(row, table)) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Row, table: Table) -> list[str]:
    texts = [escape(show(cell, column), column.limit) for cell, column in zip(row.cells, table.columns, strict=True)]
    return [rf"\emph{{{text}}}" for text in texts] if row.baseline else texts


def _line(cells: list[str]) -> str:
    # A row may not begin with a bracket or a star: LaTeX would read it as an argument of the line break before.
    return f"{{}}{' & '.join(cells)} \\\\"
