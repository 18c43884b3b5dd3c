"""The report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import string
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.reporting.model import Picture, Unit
from bench.reporting.text import clean, clean_lines, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.reporting.model import Block, Cell, Column, Section, Table

PLAIN = string.punctuation.translate({ord(letter): None for letter in "%#&'"}) + " "
"""What stands in a data URL in single quotes as it is, beside letters and digits."""
SCRIPTS = ("address.js", "tables.js", "page.js")
FIGURE_SCRIPTS = ("address.js", "tables.js", "figures.js", "pareto.js", "page.js")
"""Where there is something to draw; each builds on those before."""
LIBRARY = "plotly-basic.min.js.gz"
"""plotly.js with its basic traces alone. It and the figures stand compressed in the page, whose script unpacks them."""
FEW_ROWS = 4
"""A table of no more rows is seen at a glance: it gets neither filter nor sorting."""


def render(report: Section) -> bytes:
    """Return the section and those below it as a page, UTF-8.

    Without JavaScript and on paper it shows all the same: tables as they come, pictures as drawings.
    """
    figures = [block.interactive for block in _blocks(report) if isinstance(block, Picture) and block.interactive]
    library = _asset(LIBRARY) if figures else b""
    scripts = [_asset(name).decode() for name in (FIGURE_SCRIPTS if figures else SCRIPTS)]
    text = (
        _environment()
        .from_string(_asset("page.html.jinja").decode())
        .render(
            report=report,
            css=Markup(_asset("page.css").decode()),
            scripts=map(Markup, scripts),
            hashes=" ".join(map(_digest, [*scripts, gzip.decompress(library).decode()] if figures else scripts)),
            library=_base64(library),
            figures=_base64(gzip.compress(f"[{','.join(figures)}]".encode(), mtime=0)) if figures else "",
        )
    )
    return text.encode()


def _asset(name: str) -> bytes:
    return (files("bench.reporting") / "assets" / name).read_bytes()


def _digest(script: str) -> str:
    """What the page's policy knows a script by: no other script runs."""
    return f"'sha256-{_base64(hashlib.sha256(script.encode()).digest())}'"


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
        image=_image, lines=clean_lines, pairs=_pairs, parts=_parts, sentence=_sentence, text=clean
    )
    environment.tests.update(number=_is_number, numeric=_is_numeric, of_kind=_is_of_kind, searchable=_is_searchable)
    return environment


def _image(svg: bytes) -> Markup:
    """Return a drawing as a data URL in single quotes, which takes three quarters of base64's room."""
    return Markup("'data:image/svg+xml;charset=utf-8,{}'").format(Markup(quote(b" ".join(svg.split()), safe=PLAIN)))


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
