"""Accuracy against train passages with 95% intervals, a line for each method and for the baselines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import NullLocator

from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import SHORT, safe
from bench.reporting.text import clean, count, score, span
from bench.reporting.words import BASELINE, MAJORITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from bench.stats import Curves, Interval

    Baselines = Mapping[str, Sequence[tuple[float | None, Interval | None]]]

X, Y = "Train passages (log scale)", "Test accuracy, %"
ASIDE = 0.006
"""So much of the axis do two curves stand apart, or their intervals would hide each other."""
DASHES = {BASELINE: (":", "dot"), MAJORITY: ("--", "dash")}
"""The baselines' lines, as matplotlib and as plotly call them."""


def picture(found: Curves, names: Sequence[str], outstanding: Sequence[int], baselines: Baselines) -> Picture:
    """Draw the curves, the `outstanding` in colour with intervals; `names` are the members'."""
    shown = [clean(name, SHORT) for name in names]
    return Picture(
        name="train-size",
        title="Test accuracy against train passages, with 95% intervals",
        alt=_told(found, shown, outstanding),
        draw=partial(drawing.svg, lambda: _draw(found, shown, outstanding, baselines)),
        interactive=_interactive(found, shown, outstanding, baselines),
    )


Point = tuple[int, float, "Interval | None"]


def _points(found: Curves, member: int) -> list[Point]:
    """The places of the sizes at which a member has a result, with its mean accuracy and the interval."""
    known = ((size, found.accuracy(member, size)) for size in range(len(found.sizes)))
    return [(size, accuracy[0].mean, accuracy[1]) for size, accuracy in known if accuracy]


def _reach(mean: float, interval: Interval | None) -> tuple[float, float]:
    return (100 * (mean - interval.low), 100 * (interval.high - mean)) if interval else (0.0, 0.0)


def _known(figures: Sequence[tuple[float | None, Interval | None]]) -> list[Point]:
    """A baseline's points."""
    return [(size, mean, interval) for size, (mean, interval) in enumerate(figures) if mean is not None]


def _drawn(found: Curves, points: Sequence[Point]) -> tuple[list[int], list[float]]:
    """The points' sizes, and their accuracies in percent."""
    return [found.sizes[size] for size, *_ in points], [100 * mean for _, mean, _ in points]


def _aside(found: Curves, rank: int, of: int, size: int) -> float:
    """Where on the axis a curve's point stands: beside its size, by its rank."""
    whole = found.sizes[-1] / found.sizes[0]
    return float(found.sizes[size] * whole ** (ASIDE * (rank - (of - 1) / 2)))


def _draw(found: Curves, names: Sequence[str], outstanding: Sequence[int], baselines: Baselines) -> Figure:
    others = [member for member in range(len(found.members)) if member not in outstanding]
    rows = -(-(len(outstanding) + bool(others) + len(baselines)) // 3)
    height = 3.8 + 0.2 * rows
    figure = drawing.figure(9.0, height)
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.2 / height, bottom=(0.6 + 0.2 * rows) / height)
    ax = figure.subplots()
    handles: list[Any] = []
    for rank, member in enumerate(outstanding):
        points = _points(found, member)
        below, above = zip(*(_reach(mean, interval) for _, mean, interval in points), strict=True)
        handles.append(
            ax.errorbar(
                [_aside(found, rank, len(outstanding), size) for size, *_ in points],
                [100 * mean for _, mean, _ in points],
                yerr=[below, above],
                color=drawing.COLOURS[rank],
                marker=drawing.MARKERS[rank],
                markersize=5,
                elinewidth=1,
                capsize=2,
                label=names[member],
                zorder=3,
            )
        )
    for number, member in enumerate(others):
        sizes, means = _drawn(found, _points(found, member))
        drawn = ax.plot(sizes, means, color=drawing.GREY, linewidth=0.6, alpha=0.6, label=f"{len(others)} more")
        handles += drawn if number == 0 else []
    for name, figures in baselines.items():
        handles += ax.plot(*_drawn(found, _known(figures)), DASHES[name][0], color=drawing.QUIET, label=name)
    ax.set_xscale("log")
    ax.set_xticks(drawing.log_ticks(found.sizes))
    ax.xaxis.set_minor_locator(NullLocator())
    drawing.plain_numbers(ax, "x")
    ax.set_xmargin(0.04)
    ax.set_xlabel(X)
    ax.set_ylabel(Y)
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.06, 0.0), ncols=3, fontsize=8)
    return figure


def _interactive(found: Curves, names: Sequence[str], outstanding: Sequence[int], baselines: Baselines) -> str:
    others = [member for member in range(len(found.members)) if member not in outstanding]
    data = [_line(found, names[member], member, None, 1) for member in others]
    data += [_line(found, names[member], member, rank, len(outstanding)) for rank, member in enumerate(outstanding)]
    data += [_baseline(found, name, figures) for name, figures in baselines.items()]
    ticks = drawing.log_ticks(found.sizes)
    layout = {
        "xaxis": {"type": "log", "tickvals": ticks, "ticktext": list(map(count, ticks)), "title": {"text": X}},
        "yaxis": {"title": {"text": Y}},
    }
    return drawing.plotly(data, layout, height=380)


def _line(found: Curves, name: str, member: int, rank: int | None, of: int) -> dict[str, Any]:
    """A member's curve, in the colour of its rank; grey and without intervals where it has none."""
    points = _points(found, member)
    colour = drawing.GREY if rank is None else drawing.COLOURS[rank]
    line: dict[str, Any] = {
        "type": "scatter",
        "meta": name,
        "mode": "lines" if rank is None else "lines+markers",
        "name": safe(name),
        "x": [found.sizes[size] if rank is None else _aside(found, rank, of, size) for size, *_ in points],
        "y": [100 * mean for _, mean, _ in points],
        "line": {"color": colour, "width": 1 if rank is None else 2},
        "showlegend": rank is not None,
        "hovertext": [_hover(found, name, *point) for point in points],
        "hovertemplate": drawing.HOVER,
    }
    if rank is None:
        return line
    return {
        **line,
        "marker": {"symbol": drawing.SYMBOLS[rank], "size": 9, "color": colour},
        "error_y": drawing.bars((_reach(mean, interval) for _, mean, interval in points), colour),
    }


def _baseline(found: Curves, name: str, figures: Sequence[tuple[float | None, Interval | None]]) -> dict[str, Any]:
    points = _known(figures)
    sizes, means = _drawn(found, points)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": safe(name),
        "x": sizes,
        "y": means,
        "line": {"color": drawing.GREY, "dash": DASHES[name][1]},
        "hovertext": [_hover(found, name, *point) for point in points],
        "hovertemplate": drawing.HOVER,
    }


def _figure(mean: float, interval: Interval | None) -> str:
    return score(mean) + (f" ({span((interval.low, interval.high))})" if interval else "")


def _hover(found: Curves, name: str, size: int, mean: float, interval: Interval | None) -> str:
    said = f"{count(found.sizes[size])} train passages: accuracy {_figure(mean, interval)}"
    return f"<b>{safe(name)}</b><br>{safe(said)}"


def _told(found: Curves, names: Sequence[str], outstanding: Sequence[int]) -> str:
    said = []
    for member in outstanding:
        first, *_, last = _points(found, member)
        ends = (f"{_figure(mean, interval)} with {count(found.sizes[size])}" for size, mean, interval in (first, last))
        said.append(f"{names[member]} {', '.join(ends)}")
    return f"Test accuracy against the number of train passages, with 95% intervals. {'; '.join(said)}."
