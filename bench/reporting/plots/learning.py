"""Learning curves: what validation says after each epoch."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.reporting.plots.view import View
    from bench.stats import Summary
    from bench.store.record import Epoch


@dataclass(frozen=True)
class Curve:
    """By epoch, the mean over the seeds and the lowest and highest of them."""

    epochs: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Kind:
    """One panel: its title and the figure that it shows of an epoch."""

    title: str
    figure: Callable[[Epoch], float]
    shown: str


KINDS = (
    Kind("Validation loss, nats", lambda epoch: epoch.validation_loss, "{:.3f} nats"),
    Kind("Validation accuracy, %", lambda epoch: 100 * epoch.validation_accuracy, "{:.1f}%"),
)


def picture(view: View) -> Picture | None:
    """Draw the variants that were trained for two epochs or more; None where there is none."""
    curves = {p: [_curve(view.summaries[p], kind) for kind in KINDS] for p in view.scored}
    curves = {place: found for place, found in curves.items() if len(found[0].epochs) > 1}
    if not curves:
        return None
    outstanding = view.outstanding(list(curves))
    return Picture(
        name="learning-curves",
        title="Validation loss and accuracy after each epoch",
        alt=_told(view, curves, outstanding),
        draw=partial(drawing.svg, lambda: _draw(view, curves, outstanding)),
        interactive=_interactive(view, curves, outstanding),
    )


def _curve(summary: Summary, kind: Kind) -> Curve:
    """The curve over the epochs that every seed has."""
    runs = [{epoch.epoch: kind.figure(epoch) for epoch in run.quality.epochs} for run in summary.runs if run.quality]
    epochs = sorted(set.intersection(*map(set, runs))) if runs else []
    values = [[run[epoch] for run in runs] for epoch in epochs]
    return Curve(epochs, list(map(statistics.fmean, values)), list(map(min, values)), list(map(max, values)))


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """What stands out sets the scale, so that one that diverged doesn't flatten all others."""
    low, high = min(min(curve.low) for curve in curves), max(max(curve.high) for curve in curves)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _draw(view: View, curves: dict[int, list[Curve]], outstanding: Sequence[int]) -> Figure:
    rows = -(-(len(outstanding) + (len(outstanding) < len(curves))) // 3)
    height = 3.3 + 0.2 * rows
    figure = drawing.figure(9.0, height)
    bottom = (0.6 + 0.2 * rows) / height
    figure.subplots_adjust(left=0.06, right=0.98, wspace=0.16, top=1 - 0.35 / height, bottom=bottom)
    for number, (ax, kind) in enumerate(zip(figure.subplots(1, 2), KINDS, strict=True)):
        _draw_panel(ax, view, {place: found[number] for place, found in curves.items()}, outstanding)
        ax.set_title(kind.title)
        ax.set_xlabel("Epoch")
    handles = figure.axes[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.05, 0.0), ncols=3, fontsize=8)
    return figure


def _draw_panel(ax: Axes, view: View, curves: dict[int, Curve], outstanding: Sequence[int]) -> None:
    for number, place in enumerate(outstanding):
        curve, colour = curves[place], drawing.COLOURS[number]
        ax.fill_between(curve.epochs, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        marker = drawing.MARKERS[number]
        ax.plot(curve.epochs, curve.mean, color=colour, marker=marker, markersize=4, label=view.name(place))
    others = [curve for place, curve in curves.items() if place not in outstanding]
    for number, curve in enumerate(others):
        label = f"{len(others)} more" if number == 0 else None
        ax.plot(curve.epochs, curve.mean, color=drawing.GREY, linewidth=0.6, alpha=0.6, zorder=1, label=label)
    ax.set_ylim(_limits([curves[place] for place in outstanding]))
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    drawing.plain_numbers(ax, "x")


def _interactive(view: View, curves: dict[int, list[Curve]], outstanding: Sequence[int]) -> str:
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    for number, kind in enumerate(KINDS):
        suffix = drawing.panel(number)
        axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        others = [place for place in curves if place not in outstanding]
        data += [{**axes, **_other(view, place, curves[place][number], kind)} for place in others]
        for rank, place in enumerate(outstanding):
            traces = _traces(view, place, curves[place][number], kind, rank)
            data += [{**axes, **trace, "legendgroup": str(place), "meta": view.key(place)} for trace in traces]
            data[-1]["showlegend"] = number == 0
        limits = _limits([curves[place][number] for place in outstanding])
        layout[f"xaxis{suffix}"] = {"title": {"text": "Epoch"}, "tick0": 0, "dtick": _every(curves)}
        layout[f"yaxis{suffix}"] = {"range": limits}
        layout["annotations"].append(drawing.heading(number, kind.title))
    return drawing.plotly(data, layout, height=300)


def _every(curves: dict[int, list[Curve]]) -> int:
    """Of long trainings not every epoch has its tick."""
    return -(-max(found[0].epochs[-1] for found in curves.values()) // 10)


def _line(view: View, place: int, curve: Curve, kind: Kind) -> dict[str, Any]:
    name = f"<b>{safe(view.name(place))}</b>"
    at = zip(curve.epochs, curve.mean, curve.low, curve.high, strict=True)
    return {
        "type": "scatter",
        "x": curve.epochs,
        "y": curve.mean,
        "hovertext": [
            f"{name}<br>epoch {epoch}: {kind.shown.format(mean)}<br>seeds from {low:.4g} to {high:.4g}"
            for epoch, mean, low, high in at
        ],
        "hovertemplate": drawing.HOVER,
    }


def _other(view: View, place: int, curve: Curve, kind: Kind) -> dict[str, Any]:
    line = {"color": drawing.GREY, "width": 1}
    shared = {"mode": "lines", "line": line, "opacity": 0.5, "showlegend": False, "meta": view.key(place)}
    return {**_line(view, place, curve, kind), **shared}


def _traces(view: View, place: int, curve: Curve, kind: Kind, rank: int) -> list[dict[str, Any]]:
    colour = drawing.COLOURS[rank]
    band = {
        "type": "scatter",
        "x": curve.epochs + curve.epochs[::-1],
        "y": curve.high + curve.low[::-1],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.15,
        "mode": "none",
        "hoverinfo": "skip",
        "showlegend": False,
    }
    line = {
        **_line(view, place, curve, kind),
        "mode": "lines+markers",
        "name": safe(view.name(place)),
        "line": {"color": colour},
        "marker": {"symbol": drawing.SYMBOLS[rank], "size": 8, "color": colour},
    }
    return [band, line]


def _told(view: View, curves: dict[int, list[Curve]], outstanding: Sequence[int]) -> str:
    ends = "; ".join(
        f"{view.name(place)} {curves[place][0].mean[-1]:.3f} nats, {curves[place][1].mean[-1]:.1f}%"
        for place in outstanding
    )
    return f"Validation loss and accuracy by epoch, mean over seeds within a band of all seeds. After the last: {ends}."
