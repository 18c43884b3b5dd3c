"""Drawings: matplotlib figures -> SVG that is the same bytes every time, and plotly figures -> JSON."""

from __future__ import annotations

import io
import json
import math
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which colour-blind readers can tell apart, but for black and yellow: on a page that may be
dark or light, neither would do."""
MARKERS = ("o", "s", "^", "D", "v", "P")
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
"""The same markers as plotly calls them."""
BLUE, VERMILION, GREEN = COLOURS[:3]
GREY, QUIET = "#868c95", "#5c636c"
"""For marks, and for text, which needs more contrast."""
INK = "#22262b"
HOVER = "%{hovertext}<extra></extra>"
"""A point tells its own text and nothing else."""
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    "svg.fonttype": "path",  # the same letters wherever it is looked at
    "svg.hashsalt": "bench",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": INK,
    "ytick.color": INK,
}


def svg(draw: Callable[[], Figure]) -> bytes:
    """Draw a figure in our style, whatever the user's, and return it as SVG, on white: a dark page shows it too."""
    stream = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in any script; it shows a box
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        draw().savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches, that belongs to no window."""
    made = Figure(figsize=(width, height))
    FigureCanvasSVG(made)
    return made


def number(value: float) -> str:
    """Write a tick's number."""
    return f"{value:,.10g}"


def plain_numbers(axes: Axes, which: str) -> None:
    """Write an axis's ticks as 1,000, not as powers or with an offset."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


def log_ticks(values: Iterable[float]) -> list[float]:
    """Choose what to write under a logarithmic axis: all values, but for those without room beside the one before."""
    first, *others = sorted(values)
    room = math.log(others[-1] / first) / 12 if others else 0.0
    ticks = [first]
    for value in others:
        if math.log(value / ticks[-1]) >= room:
            ticks.append(value)
    return ticks


def plotly(data: list[dict[str, Any]], layout: dict[str, Any], height: int, entries: int = 0, columns: int = 2) -> str:
    """Return a plotly figure as JSON.

    The page arranges its panels, each `height` pixels high and so many side by side where there is room, colours it,
    and gives a legend of so many entries room. More than two side by side are on one scale, which stands at the edges.
    """
    whole = {
        "margin": {"l": 64, "r": 24, "t": 32, "b": 56},
        "hovermode": "closest",
        "showlegend": entries > 0,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom"},
        "meta": {"height": height, "entries": entries, "columns": columns},
        **layout,
    }
    return json.dumps({"data": data, "layout": whole}, ensure_ascii=False, allow_nan=False)


def panel(number: int) -> str:
    """What plotly appends to x and y for the panel: nothing for the first, then 2, 3, …"""
    return "" if number == 0 else str(number + 1)


def bars(reaches: Iterable[tuple[float, float]], colour: str, thickness: float = 1) -> dict[str, Any]:
    """Return plotly's error bars that reach so far below and above each point."""
    both = list(reaches)
    return {
        "type": "data",
        "symmetric": False,
        "array": [above for _, above in both],
        "arrayminus": [below for below, _ in both],
        "color": colour,
        "thickness": thickness,
        "width": 0,
    }


def heading(number: int, text: str) -> dict[str, Any]:
    """Return the title above a panel as one of plotly's annotations."""
    place = {"xref": f"x{panel(number)} domain", "yref": f"y{panel(number)} domain", "x": 0, "y": 1}
    return {**place, "xanchor": "left", "yanchor": "bottom", "text": f"<b>{text}</b>", "showarrow": False}
