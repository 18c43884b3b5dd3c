"""Values -> plain text for people, the same in every format; and text from outside made harmless to show."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from bench.labels import look
from bench.reporting.model import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.reporting.model import Cell, Column

ABSENT = "–"
JOINERS = "\u200c\u200d"
"""Invisible, but Persian, Indic scripts and emoji are written with them."""


def show(cell: Cell, column: Column) -> str:
    """Write a cell as plain text: None as a dash, else mean ± standard deviation (95% interval), as far as known."""
    if cell.value is None:
        return ABSENT
    if isinstance(cell.value, str):
        return clean(cell.value, column.limit - len(cell.mark)) + cell.mark
    number = _NUMBERS[column.unit](cell.value)
    spread = "" if cell.spread is None else f" ± {_spread(cell.spread, column.unit)}"
    interval = "" if cell.interval is None else f" ({span(cell.interval, column.unit)})"
    return number + spread + interval + cell.mark


def count(value: float) -> str:
    """Thousands apart: 305,664."""
    return f"{value:,.0f}"


def score(value: float) -> str:
    """A part of one as a percentage with one decimal."""
    return f"{_percent(value)}%"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}".replace("-", "−")


def share(value: float) -> str:
    """A part of one as a percentage with two decimals: adapters are a few thousandths of a model."""
    if value == 0:
        return "0%"
    return f"{100 * value:.2f}%" if value >= 0.0001 else "<0.01%"


def points(value: float) -> str:
    """A difference of scores in percentage points, with its sign."""
    written = f"{100 * value:+.1f}"
    return "0.0" if float(written) == 0 else written.replace("-", "−")


def p_value(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def per_second(value: float) -> str:
    """Whole above 100, else with one decimal."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def size(value: float) -> str:
    """Bytes in the largest binary unit that leaves at least 1."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= factor:
            return f"{value / factor:,.{2 if unit == 'GiB' else 1}f} {unit}"
    return f"{value:,.0f} B"


def duration(value: float) -> str:
    """Seconds up to a minute, then minutes and seconds, then hours and minutes."""
    seconds = round(value)
    if value < 59.95:
        return f"{value:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    minutes = round(value / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def nats(value: float) -> str:
    """A loss, or a difference of losses, with three decimals."""
    written = f"{value:.3f}"
    return "0.000" if float(written) == 0 else written.replace("-", "−")


def joules(value: float) -> str:
    """Joules in the largest unit that leaves at least 1."""
    for unit, factor in (("MJ", 1e6), ("kJ", 1e3)):
        if value >= factor:
            return f"{value / factor:,.2f} {unit}"
    return f"{value:,.1f} J"


def times(value: float) -> str:
    """How many times as much, with two decimals where it is less than ten times."""
    return f"{value:.2f}×" if value < 9.995 else f"{value:,.1f}×"


def number(value: float) -> str:
    """A plain number with two decimals."""
    return f"{value:.2f}".replace("-", "−")


_NUMBERS = {
    Unit.TEXT: count,
    Unit.COUNT: count,
    Unit.SCORE: score,
    Unit.SHARE: share,
    Unit.POINTS: points,
    Unit.P_VALUE: p_value,
    Unit.PER_SECOND: per_second,
    Unit.BYTES: size,
    Unit.SECONDS: duration,
    Unit.NATS: nats,
    Unit.JOULES: joules,
    Unit.TIMES: times,
    Unit.NUMBER: number,
}


def _spread(value: float, unit: Unit) -> str:
    return _percent(value) if unit is Unit.SCORE else _NUMBERS[unit](value)


def span(interval: tuple[float, float], unit: Unit = Unit.SCORE) -> str:
    """Write an interval: 34.0–41.1; with "to" where signs would make a dash hard to read."""
    signed = unit is Unit.POINTS or interval[0] < 0
    return (" to " if signed else "–").join(_spread(bound, unit) for bound in interval)


def clean(text: str, limit: int = 300) -> str:
    """Return text from outside as one line that moves neither the cursor nor the reading direction.

    White space becomes single spaces; control, format and bidirectional characters become visible escapes; more than
    `limit` characters are cut, which an ellipsis shows.
    """
    line = " ".join(text[: 4 * limit].split())
    visible = "".join(map(_visible, line))
    return visible if len(visible) <= limit and len(text) <= 4 * limit else visible[: limit - 1] + "…"


def told_apart(names: Iterable[str], limit: int = 44) -> dict[str, str]:
    """Return each name as `clean` would, but so that no two look the same: with quotes and escapes where they would.

    Where that doesn't help either, as of two long names whose ends are cut, they are numbered.
    """
    shown = {name: clean(name, limit) for name in sorted(set(names))}
    for name in _alike(shown):
        shown[name] = clean(ascii(name), limit)
    for number, name in enumerate(_alike(shown), start=1):
        mark = f" #{number}"
        shown[name] = clean(ascii(name), limit - len(mark)) + mark
    return shown


def _alike(shown: dict[str, str]) -> list[str]:
    looks = {name: look(text) for name, text in shown.items()}
    counted = Counter(looks.values())
    return [name for name in shown if counted[looks[name]] > 1]


def clean_lines(text: str, limit: int = 2000) -> str:
    """Like `clean`, line for line and with the spaces kept: for a command that may run over several lines."""
    lines = "\n".join("".join(map(_visible, line)) for line in re.split(r"\r\n|[\r\n]", text[: limit + 1]))
    return lines if len(lines) <= limit else lines[: limit - 1] + "…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category not in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in JOINERS:
        return character
    return character.encode("unicode_escape").decode()
