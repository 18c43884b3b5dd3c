"""Accuracy against what it costs: a panel for each cost, the Pareto front marked."""

from __future__ import annotations

import math
import textwrap
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from bench.reporting.figures import FIGURES
from bench.reporting.model import Picture
from bench.reporting.plots import drawing, explore
from bench.reporting.plots.labels import OFFSETS, Label, put_labels
from bench.reporting.text import score
from bench.reporting.words import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.reporting.plots.view import View
    from bench.stats import Front

FEW = 8
"""Of more variants than this, only those on the front are named."""
LOG = 8
"""A cost is on a log axis where the highest is so many times the lowest."""
LINE = 28
"""So many characters of a name stand on one line."""
WIDTH = 9.0
WIDE, HIGH, GAP = 3.7, 2.5, 0.65
"""A panel's size and the gap between two, in inches."""
MEMBER, OTHER = "on the Pareto front (in so many of 100 bootstrap draws)", "not on it"


class Panel:
    """A front's variants that are known to beat the majority class, and whose cost is known, in the axes' units."""

    def __init__(self, view: View, front: Front) -> None:
        self.view, self.front, self.axis = view, front, FIGURES[front.cost]
        known = {place: cost for place in view.useful if (cost := front.costs[place]) is not None}
        self.places = list(known)
        self.unit, factor = self.axis.unit(known.values())
        self.x = {place: cost / factor for place, cost in known.items()}
        self.y = {place: 100 * view.mean(place) for place in known}
        self.log = bool(known) and min(known.values()) > 0 and max(known.values()) > LOG * min(known.values())
        self.more_is_better = self.axis.more_is_better

    @property
    def title(self) -> str:
        """The cost with its unit; where more is better, the axis runs backwards so that better is left everywhere."""
        unit = ", ".join(filter(None, (self.unit, "axis reversed" if self.more_is_better else "")))
        return self.axis.title + (f" ({unit})" if unit else "")

    @property
    def members(self) -> list[int]:
        """The front from its cheapest member on."""
        sign = -1 if self.more_is_better else 1
        return sorted(self.front.members & self.x.keys(), key=lambda place: (sign * self.x[place], self.y[place]))

    @property
    def range(self) -> tuple[float, float]:
        """The cost axis's limits, with room for names beside the points."""
        low, high = min(self.x.values()), max(self.x.values())
        if self.log:
            room = (high / low) ** 0.18
            limits = low / room, high * room
        else:
            room = 0.18 * (high - low) or 0.1 * abs(high) or 1.0
            limits = low - room if self.axis.signed else max(0.0, low - room), high + room
        return (limits[1], limits[0]) if self.more_is_better else limits

    @property
    def ticks(self) -> list[float]:
        """Where a log axis has its ticks: 1, 2, 5, or over several powers of ten 1, 3, or these alone."""
        low, high = sorted(self.range)
        digits = (1, 2, 5) if high < 30 * low else (1, 3) if high < 3000 * low else (1,)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        return [tick for power in powers for digit in digits if low <= (tick := digit * 10.0**power) <= high]

    def label(self, place: int) -> str:
        """A variant's name, and for one on the front the share of draws in which it is."""
        share = self.front.shares[place]
        told = f" ({100 * share:.0f})" if place in self.front.members and share is not None else ""
        return "\n".join(textwrap.wrap(self.view.name(place) + told, LINE))


def picture(view: View) -> Picture | None:
    """Draw every cost that the records tell; None where fewer than two variants can be drawn."""
    panels = [panel for front in view.analysis.fronts if len((panel := Panel(view, front)).places) > 1]
    if not panels:
        return None
    ngrams = [] if view.ngrams is None else [100 * view.ngrams]
    low = min(*ngrams, *(100 * view.mean(p) - view.reach(p)[0] for panel in panels for p in panel.places))
    high = max(*ngrams, *(100 * view.mean(p) + view.reach(p)[1] for panel in panels for p in panel.places))
    room = 0.08 * (high - low) or 1.0
    limits = (max(0.0, low - room), min(100.0, high + room))
    labels = [_labels(panel, limits) for panel in panels]
    return Picture(
        name="pareto",
        title="Accuracy against cost: up and to the left is better",
        alt=_told(view, panels),
        draw=partial(drawing.svg, lambda: _draw(view, panels, labels, limits)),
        interactive=explore.data(view, [panel.front.cost for panel in panels]),
    )


def _labels(panel: Panel, limits: tuple[float, float]) -> list[Label]:
    """Find a place for each name: as in the drawing, in points from the panel's lower left corner."""
    scale = math.log if panel.log else float
    left, right = map(scale, panel.range)
    wide, high = 72 * WIDE, 72 * HIGH

    def across(place: int) -> float:
        return wide * (scale(panel.x[place]) - left) / (right - left)

    def up(accuracy: float) -> float:
        return high * (accuracy - limits[0]) / (limits[1] - limits[0])

    points = {place: (across(place), up(panel.y[place])) for place in panel.places}
    lines = []
    for place, (x, _) in points.items():
        below, above = panel.view.reach(place)
        lines.append((x, up(panel.y[place] - below), x, up(panel.y[place] + above)))
    for one, other in pairwise(points[place] for place in panel.members):
        lines += [(one[0], one[1], other[0], one[1]), (other[0], one[1], other[0], other[1])]
    if panel.view.ngrams is not None:
        lines.append((0.0, up(100 * panel.view.ngrams), wide, up(100 * panel.view.ngrams)))
    texts = {place: panel.label(place) for place in panel.members}
    if len(panel.places) <= FEW:
        texts |= {place: panel.label(place) for place in panel.places if place not in texts}
    return put_labels(texts, panel.members, points, lines, (wide, high))


def _draw(view: View, panels: Sequence[Panel], labels: Sequence[list[Label]], limits: tuple[float, float]) -> Figure:
    rows = -(-len(panels) // 2)
    height = rows * HIGH + (rows - 1) * GAP + 1.2
    figure = drawing.figure(WIDTH, height)
    for number, (panel, names) in enumerate(zip(panels, labels, strict=True)):
        row, column = divmod(number, 2)
        left, bottom = 0.62 + column * (WIDE + 0.55), height - 0.7 - HIGH - row * (HIGH + GAP)
        ax = figure.add_axes((left / WIDTH, bottom / height, WIDE / WIDTH, HIGH / height))
        _draw_panel(ax, panel, names)
        if view.ngrams is not None:
            ax.axhline(100 * view.ngrams, color=drawing.GREEN, linestyle=":")
        ax.set_ylim(limits)
        if column == 0:
            ax.set_ylabel("Test accuracy, %")
    _legend(figure, view)
    left_out = [place for place in view.scored if place not in view.useful]
    if left_out:
        said = f"Not shown, not known to be better than the majority class: {view.names(left_out, 4)}"
        figure.text(0.62 / WIDTH, 0.1 / height, said, fontsize=8, color=drawing.QUIET)
    return figure


def _draw_panel(ax: Axes, panel: Panel, labels: Sequence[Label]) -> None:
    ax.set_title(panel.title)
    if panel.log:
        ax.set_xscale("log")
        ax.set_xticks(panel.ticks)
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6))
    drawing.plain_numbers(ax, "x")
    ax.set_xlim(panel.range)
    members = panel.members
    ax.step([panel.x[p] for p in members], [panel.y[p] for p in members], where="post", color=drawing.BLUE)
    for on in (False, True):
        places = [place for place in panel.places if (place in panel.front.members) == on]
        if places:
            _draw_points(ax, panel, places, on)
    for label in labels:
        _write(ax, (panel.x[label.place], panel.y[label.place]), label, label.place in panel.front.members)


def _draw_points(ax: Axes, panel: Panel, places: Sequence[int], on: bool) -> None:
    colour = drawing.BLUE if on else drawing.GREY
    x, y = [panel.x[place] for place in places], [panel.y[place] for place in places]
    reach = list(zip(*map(panel.view.reach, places), strict=True))
    ax.errorbar(x, y, yerr=reach, color=colour, linewidth=0, elinewidth=0.8, alpha=0.7 if on else 0.45)
    face = colour if on else "white"
    ax.plot(x, y, color=colour, marker="o", markersize=7 if on else 5, markerfacecolor=face, linewidth=0, zorder=5)


def _write(ax: Axes, point: tuple[float, float], label: Label, on: bool) -> None:
    dx, dy, across, up = OFFSETS[label.side]
    ax.annotate(
        label.text,
        point,
        xytext=(dx * label.distance, dy * label.distance),
        textcoords="offset points",
        fontsize=8,
        fontweight="bold" if on else "normal",
        color=drawing.INK if on else drawing.QUIET,
        ha=across,
        va=up,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
        arrowprops={"arrowstyle": "-", "color": drawing.GREY, "linewidth": 0.5} if label.far else None,
    )


def _legend(figure: Figure, view: View) -> None:
    on = Line2D([], [], marker="o", markersize=7, color=drawing.BLUE, label=MEMBER)
    off = Line2D([], [], marker="o", markerfacecolor="white", color=drawing.GREY, linewidth=0, label=OTHER)
    bar = Line2D([], [], marker="|", markersize=11, color=drawing.GREY, linewidth=0, label="95% interval")
    ngrams = Line2D([], [], linestyle=":", color=drawing.GREEN, label=BASELINE)
    handles = [on, off, bar, *([] if view.ngrams is None else [ngrams])]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.06, 1.0), ncols=4, fontsize=8)


def _told(view: View, panels: Sequence[Panel]) -> str:
    fronts = [f"{panel.axis.title.lower()}: {view.names(panel.members)}" for panel in panels]
    dotted = "" if view.ngrams is None else f" The dotted line: {BASELINE}, {score(view.ngrams)}."
    return f"Test accuracy against cost, {len(panels)} panels. On the Pareto front by {'; by '.join(fronts)}.{dotted}"
