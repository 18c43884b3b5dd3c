"""What a report is made of, whatever the format: sections of paragraphs, tables of typed cells, pictures, and code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Letters: TypeAlias = Literal["outlines", "text"]
"""How a drawing has its letters: as outlines they look the same everywhere, as text they take a fifth of the room."""


class Unit(Enum):
    """What a column's numbers are; how they are written is for bench.reporting.text."""

    TEXT = auto()
    COUNT = auto()
    SCORE = auto()
    SHARE = auto()
    POINTS = auto()
    P_VALUE = auto()
    PER_SECOND = auto()
    BYTES = auto()
    SECONDS = auto()
    NATS = auto()
    JOULES = auto()
    TIMES = auto()
    NUMBER = auto()


@dataclass(frozen=True)
class Column:
    """A column's heading and what stands in it: parts of one (SCORE, SHARE, POINTS), or the unit it names.

    `limit` is how many characters of a text are shown, `variant` the name of what the column is of, as a row's.
    """

    title: str
    unit: Unit = Unit.TEXT
    limit: int = 60
    variant: str | None = None


@dataclass(frozen=True)
class Cell:
    """A value in its column's unit, None where it doesn't apply, with its uncertainty and a mark beside it.

    `spread` is the standard deviation over the seeds, `interval` the 95% interval, both in the column's unit.
    """

    value: str | float | None = None
    spread: float | None = None
    mark: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """A cell for every column; a baseline stands apart from the methods.

    `variant` is the name of what the row is of, the same wherever the report shows it; None where it is of none.
    """

    cells: tuple[Cell, ...]
    baseline: bool = False
    variant: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows under columns, in the order in which they are to be read.

    Where there are many, those after the first `shown` may be folded away under the words in `rest`.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shown: int | None = None
    rest: str = ""


@dataclass(frozen=True)
class Span:
    """A stretch of text within a paragraph."""

    text: str
    style: Literal["plain", "strong", "code"] = "plain"


@dataclass(frozen=True)
class Paragraph:
    """Running text; a warning must not be overlooked."""

    spans: tuple[Span, ...]
    tone: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class Code:
    """A command as it was typed."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A drawing: `name` is its file's stem, `alt` says in words what it shows.

    `draw` makes it an SVG on an opaque light card of its own; `interactive` is the same in JSON, as a plotly figure or
    as what the page makes one of. One that need not be seen at once is folded away under the words in `rest`.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[Letters], bytes]
    interactive: str | None = None
    rest: str = ""


Block: TypeAlias = Paragraph | Table | Picture | Code


@dataclass(frozen=True)
class Section:
    """A heading, what stands under it, and the sections below it. The report itself is the outermost section."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


def paragraph(*parts: str | Span, tone: Literal["plain", "warning"] = "plain") -> Paragraph:
    """Join plain strings and spans into a paragraph."""
    return Paragraph(tuple(Span(part) if isinstance(part, str) else part for part in parts), tone)


def code(text: str) -> Span:
    """A name or a value as it is typed."""
    return Span(text, "code")


def strong(text: str) -> Span:
    """What the reader must see."""
    return Span(text, "strong")
