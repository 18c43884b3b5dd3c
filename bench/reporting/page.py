"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.reporting.model import Picture, Unit
from bench.reporting.text import clean, clean_lines, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.reporting.model import Block, Cell, Column, Section, Table

FEW_ROWS = 4
"""A table of no more rows is seen at a glance: it gets neither filter nor sorting."""


def render(report: Section) -> bytes:
    """Return the section and those below it as a page, UTF-8.

    Without JavaScript and on paper it shows all the same: tables as they come, pictures as drawings.
    """
    scripts = [_asset("page.js")]
    if any(isinstance(block, Picture) and block.interactive for block in _blocks(report)):
        plotly = files("plotly") / "package_data" / "plotly.min.js"
        scripts.insert(0, plotly.read_text(encoding="utf-8"))
    page = _environment().from_string(_asset("page.html.jinja"))
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    text = page.render(report=report, css=Markup(_asset("page.css")), scripts=map(Markup, scripts), hashes=hashes)
    return text.encode()


def _asset(name: str) -> str:
    return (files("bench.reporting") / "assets" / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """What the page's policy knows a script by: no other script runs."""
    return _base64(hashlib.sha256(script.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _blocks(section: Section) -> Iterator[Block]:
    yield from section.blocks
    for below in section.sections:
        yield from _blocks(below)


def _environment() -> Environment:
    """The template's words. What they return as plain text is escaped where it is put in."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters.update(
        base64=_base64, inline=_inline, lines=clean_lines, pairs=_pairs, parts=_parts, sentence=_sentence, text=clean
    )
    environment.tests.update(number=_is_number, numeric=_is_numeric, of_kind=_is_of_kind, searchable=_is_searchable)
    return environment


def _inline(document: str) -> Markup:
    """Return a JSON document so that nothing in it can end the script element that holds it."""
    return Markup(document.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def _sentence(text: str) -> str:
    """A plain span is part of a sentence: the spaces at its ends belong to it."""
    before, after = (" " * edge.isspace() for edge in (text[:1], text[-1:]))
    return before + clean(text, 1000) + after


def _pairs(cells: Iterable[Cell], columns: Iterable[Column]) -> list[tuple[Cell, Column]]:
    return list(zip(cells, columns, strict=True))


def _parts(cell: Cell, column: Column) -> tuple[str, str]:
    """A cell's figure, and what says how sure it is."""
    whole, figure = show(cell, column), show(replace(cell, spread=None, interval=None, mark=""), column)
    return (figure, whole.removeprefix(figure)) if _is_number(cell) else (whole, "")


def _is_number(cell: Cell) -> bool:
    return isinstance(cell.value, (int, float))


def _is_numeric(column: Column) -> bool:
    return column.unit is not Unit.TEXT


def _is_of_kind(block: Block, kind: str) -> bool:
    return type(block).__name__ == kind


def _is_searchable(table: Table) -> bool:
    return len(table.rows) > FEW_ROWS and all(column.title for column in table.columns)
