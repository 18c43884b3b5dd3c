"""LoRA's alpha: what accuracy and validation loss make of it, a line for each learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import NullLocator

from bench import stats
from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe
from bench.reporting.text import nats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.reporting.plots.view import View

TITLES = ("Test accuracy, %, with 95% interval", "Validation loss, nats")


@dataclass(frozen=True)
class Sweep:
    """Variants that differ in alpha alone, by ascending alpha."""

    name: str
    places: tuple[int, ...]
    alphas: tuple[float, ...]


def picture(view: View) -> Picture | None:
    """Draw LoRA's sweeps over alpha; None where there is none."""
    sweeps = _sweeps(view)
    if not sweeps:
        return None
    return Picture(
        name="alpha-sweep",
        title="LoRA's alpha",
        alt=_told(view, sweeps),
        draw=partial(drawing.svg, lambda: _draw(view, sweeps)),
        interactive=_interactive(view, sweeps),
    )


def _sweeps(view: View) -> list[Sweep]:
    """As many sweeps as there are colours, those with the highest accuracy; in the order of their names."""
    place = {id(summary): place for place, summary in enumerate(view.summaries)}
    found = []
    for sweep in stats.alpha_sweeps(view.summaries):
        known = [place[id(s)] for s in sweep if s.accuracy and s.hyperparameters["alpha"] > 0]
        if len(known) > 1:
            alphas = tuple(float(view.summaries[p].hyperparameters["alpha"]) for p in known)
            found.append(Sweep(view.name(known[0], without="alpha"), tuple(known), alphas))
    best = sorted(found, key=lambda sweep: min(sweep.places))[: len(drawing.COLOURS)]
    return sorted(best, key=lambda sweep: sweep.name)


def _losses(view: View, sweep: Sweep) -> tuple[list[float], list[float], list[float]]:
    """The alphas whose validation loss is known, the loss after the last epoch, and the lowest after any."""
    known = [
        (alpha, [found.mean for found in losses.values()])
        for alpha, place in zip(sweep.alphas, sweep.places, strict=True)
        if (losses := view.summaries[place].validation_loss)
    ]
    return [alpha for alpha, _ in known], [loss[-1] for _, loss in known], [min(loss) for _, loss in known]


def _turned_up(view: View, sweep: Sweep) -> bool:
    """Whether the loss was ever lower than after the last epoch."""
    _, last, lowest = _losses(view, sweep)
    return last != lowest


def _draw(view: View, sweeps: Sequence[Sweep]) -> Figure:
    rows = -(-(len(sweeps) + 1) // 3)
    height = 3.3 + 0.2 * rows
    figure = drawing.figure(9.0, height)
    bottom = (0.6 + 0.2 * rows) / height
    figure.subplots_adjust(left=0.06, right=0.98, wspace=0.16, top=1 - 0.35 / height, bottom=bottom)
    accuracy, loss = figure.subplots(1, 2)
    for number, sweep in enumerate(sweeps):
        look = {"color": drawing.COLOURS[number], "marker": drawing.MARKERS[number], "markersize": 5}
        below, above = zip(*map(view.reach, sweep.places), strict=True)
        means = [100 * view.mean(place) for place in sweep.places]
        accuracy.errorbar(sweep.alphas, means, yerr=[below, above], elinewidth=1, capsize=2, label=sweep.name, **look)
        alphas, last, lowest = _losses(view, sweep)
        loss.plot(alphas, last, **look)
        if _turned_up(view, sweep):
            loss.plot(alphas, lowest, linestyle=":", color=drawing.COLOURS[number])
    if any(_turned_up(view, sweep) for sweep in sweeps):
        loss.plot([], [], linestyle=":", color=drawing.GREY, label="loss: lowest of all epochs; solid: after the last")
    ticks = _ticks(sweeps)
    for ax, title in zip((accuracy, loss), TITLES, strict=True):
        ax.set_title(title)
        _alpha_axis(ax, ticks)
    handles = [handle for ax in (accuracy, loss) for handle in ax.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.05, 0.0), ncols=3, fontsize=8)
    return figure


def _ticks(sweeps: Sequence[Sweep]) -> list[float]:
    """The alphas to write under the axis: all that were tried, but for those without room beside the one before."""
    alphas = sorted({alpha for sweep in sweeps for alpha in sweep.alphas})
    room = math.log(alphas[-1] / alphas[0]) / 12
    ticks = alphas[:1]
    for alpha in alphas[1:]:
        if math.log(alpha / ticks[-1]) >= room:
            ticks.append(alpha)
    return ticks


def _alpha_axis(ax: Axes, ticks: Sequence[float]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks)
    ax.xaxis.set_minor_locator(NullLocator())
    drawing.plain_numbers(ax, "x")
    ax.set_xmargin(0.08)
    ax.set_xlabel("alpha (log scale)")


def _interactive(view: View, sweeps: Sequence[Sweep]) -> str:
    data = [trace for number, sweep in enumerate(sweeps) for trace in _traces(view, sweep, number)]
    ticks = _ticks(sweeps)
    axis = {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{alpha:g}" for alpha in ticks],
        "title": {"text": "alpha"},
    }
    layout = {
        "xaxis": axis,
        "xaxis2": axis,
        "yaxis": {},
        "yaxis2": {},
        "annotations": [drawing.heading(number, title) for number, title in enumerate(TITLES)],
    }
    return drawing.plotly(data, layout, height=300)


def _traces(view: View, sweep: Sweep, number: int) -> list[dict[str, Any]]:
    colour = drawing.COLOURS[number]
    alphas, last, lowest = _losses(view, sweep)
    shared = {"type": "scatter", "legendgroup": sweep.name, "hovertemplate": drawing.HOVER}
    marker = {"symbol": drawing.SYMBOLS[number], "size": 9, "color": colour}
    name = safe(sweep.name)
    keys = {alpha: view.key(place) for alpha, place in zip(sweep.alphas, sweep.places, strict=True)}
    accuracy = {
        **shared,
        "customdata": list(keys.values()),
        "mode": "lines+markers",
        "name": name,
        "x": sweep.alphas,
        "y": [100 * view.mean(place) for place in sweep.places],
        "error_y": drawing.bars(map(view.reach, sweep.places), colour),
        "hovertext": [view.hover(place) for place in sweep.places],
        "line": {"color": colour},
        "marker": marker,
    }
    after = {
        **shared,
        "xaxis": "x2",
        "yaxis": "y2",
        "mode": "lines+markers",
        "showlegend": False,
        "customdata": [keys[alpha] for alpha in alphas],
        "x": alphas,
        "y": last,
        "hovertext": _tell(name, alphas, last, "after the last epoch"),
        "line": {"color": colour},
        "marker": marker,
    }
    best = {
        **after,
        "mode": "lines",
        "showlegend": True,
        "name": f"{name}: loss, lowest of all epochs",
        "y": lowest,
        "hovertext": _tell(name, alphas, lowest, "at the lowest of all epochs"),
        "line": {"color": colour, "dash": "dot"},
    }
    return [accuracy, after, best] if _turned_up(view, sweep) else [accuracy, after]


def _tell(name: str, alphas: Sequence[float], losses: Sequence[float], when: str) -> list[str]:
    pairs = zip(alphas, losses, strict=True)
    return [f"<b>{name}</b><br>alpha {alpha:g}: {nats(loss)} nats {when}" for alpha, loss in pairs]


def _told(view: View, sweeps: Sequence[Sweep]) -> str:
    said = []
    for sweep in sweeps:
        best = max(sweep.places, key=view.mean)
        alpha = view.summaries[best].hyperparameters["alpha"]
        said.append(f"{sweep.name}: highest at alpha {alpha}, {view.figure(best)}")
    return f"Test accuracy and validation loss against LoRA's alpha. {'; '.join(said)}."
