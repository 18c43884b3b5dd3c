"""Drawings: matplotlib figures -> SVG that is the same bytes every time, and plotly figures -> JSON."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes

    from bench.reporting.model import Letters

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
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # whose letters are as wide
    "font.size": 9,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    "svg.hashsalt": "bench",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": INK,
    "ytick.color": INK,
}


def svg(draw: Callable[[], Figure], letters: Letters) -> bytes:
    """Draw a figure in our style, whatever the user's, and return it as SVG, on white: a dark page shows it too."""
    stream = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in any script; it shows a box
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        mpl.rcParams["svg.fonttype"] = "path" if letters == "outlines" else "none"
        draw().savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return stream.getvalue() if letters == "outlines" else _slim(stream.getvalue())


_LOOK = re.compile(rb'style="([^"]*)"')


def _slim(drawn: bytes) -> bytes:
    """Leave out comments, names of groups, turns by nothing, and of coordinates what is less than a hundredth of a
    point: letters aren't drawn here. How something looks is written once, for all that look so."""
    slim = re.sub(rb"<!--.*?-->", b"", drawn, flags=re.DOTALL)
    slim = re.sub(rb'<g id="[^"]*"', b"<g", slim)
    slim = re.sub(rb' transform="rotate\(-0 [^"]*"', b"", slim)
    slim = re.sub(rb'="[^"]*"', lambda value: re.sub(rb"(\.\d\d)\d+", rb"\1", value[0]), slim)
    looks = {look: b"l%d" % place for place, look in enumerate(dict.fromkeys(_LOOK.findall(slim)))}
    slim = _LOOK.sub(lambda found: b'class="%s"' % looks[found[1]], slim)
    rules = b"".join(b".%s{%s}" % (name, look) for look, name in looks.items())
    return slim.replace(b"</style>", rules + b"</style>", 1)


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


def plotly(
    data: list[dict[str, Any]],
    layout: dict[str, Any],
    height: int,
    columns: int = 2,
    rows: Sequence[str] = (),
) -> str:
    """Return a plotly figure as JSON.

    The page arranges its panels, each `height` pixels high and so many side by side where there is room, colours it,
    and gives its legend room. More than two side by side are on one scale, which stands at the edges, and each of their
    traces names its axes: a panel goes where none of its traces is shown.

    What a trace shows of a variant goes and stands out with it: `customdata` names the variant of each point, `meta`
    that of a whole trace, and `rows` that of each row, where the vertical axis counts these.
    """
    whole = {
        "margin": {"l": 64, "r": 24, "t": 32, "b": 56},
        "hovermode": "closest",
        "showlegend": any("name" in trace and trace.get("showlegend", True) for trace in data),
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom"},
        "meta": {"height": height, "columns": columns, "rows": list(rows)},
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
