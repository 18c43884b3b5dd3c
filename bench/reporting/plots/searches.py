"""Searches: what validation made of each trial, and what a smaller budget would have found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, NullLocator

from bench import stats
from bench.reporting import words
from bench.reporting.layout import MANY
from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe
from bench.reporting.text import clean, duration, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.stats import Tuned

RATE = "learning_rate"
COLUMNS = 6
SHOWN = 2 * COLUMNS
"""Of many methods so many small pictures are shown, and the rest is folded away."""
_ROOM = 0.06


@dataclass(frozen=True)
class Scale:
    """What all small pictures share: the learning rates from `low` to `high`, and the ends of accuracy in percent."""

    low: float
    high: float
    bottom: float
    top: float

    @classmethod
    def of(cls, found: Sequence[Tuned]) -> Scale:
        """The scale on which every trial has room."""
        points = [point for one in found for point in _points(one)]
        rates, scores = [rate for rate, _ in points], [found for _, found in points if found is not None]
        room = _ROOM * (max(scores) - min(scores)) or 1.0
        return cls(min(rates) / 1.6, max(rates) * 1.6, min(scores) - room, max(scores) + room)

    @property
    def ticks(self) -> list[float]:
        """Powers of ten, at most a few."""
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1, max(1, -(-(last - first) // 3)))]


def pictures(found: Sequence[Tuned]) -> list[Picture]:
    """Draw the searches, the best first; nothing where no search had a trial beside the default."""
    searched = [one for one in found if len(one.search.trials) > 1 and one.search.chosen(one.rule) is not None]
    searched.sort(key=_rank)
    rated = _by_method([one for one in searched if RATE in one.search.space])
    drawn = []
    if rated:
        shown = SHOWN if len(rated) > MANY else len(rated)
        scale, names = Scale.of([one for ones in rated.values() for one in ones]), list(rated)
        drawn.append(_rates({name: rated[name] for name in names[:shown]}, scale))
        if rest := names[shown:]:
            drawn.append(_rates({name: rated[name] for name in rest}, scale, f"{len(rest)} more methods"))
    if searched:
        drawn.append(
            Picture(
                name="search-budget",
                title="Validation accuracy to expect of the best trial with a smaller budget",
                alt=_told_budget(searched),
                draw=partial(drawing.svg, lambda: _draw_budget(searched)),
                interactive=_interactive_budget(searched),
            )
        )
    return drawn


def _rank(one: Tuned) -> tuple[float, float]:
    """What was tested by its test accuracy, before what was not, by its validation accuracy."""
    return -(one.accuracy.mean if one.accuracy else -1.0), -stats.expected_best(one.search, one.rule)[-1]


def _rates(rated: dict[str, list[Tuned]], scale: Scale, rest: str = "") -> Picture:
    return Picture(
        name="search-rates-more" if rest else "search-rates",
        title="Validation accuracy against the learning rate, all trials",
        alt=_told_rates(rated),
        draw=partial(drawing.svg, lambda: _draw_rates(rated, scale)),
        interactive=_interactive_rates(rated, scale),
        rest=rest,
    )


def _by_method(found: Sequence[Tuned]) -> dict[str, list[Tuned]]:
    groups: dict[str, list[Tuned]] = {}
    for one in found:
        groups.setdefault(one.search.method, []).append(one)
    return groups


def _points(one: Tuned) -> list[tuple[float, float | None]]:
    """Each trial's learning rate, and its validation accuracy in percent; None where it has no result."""
    rates = [float(trial.hyperparameters[RATE]) for trial in one.search.trials]
    scores = [one.search.accuracy(place, one.rule) for place in range(len(rates))]
    return [(rate, None if s is None else 100 * s) for rate, s in zip(rates, scores, strict=True)]


def _draw_rates(rated: dict[str, list[Tuned]], scale: Scale) -> Figure:
    """One small picture a method, all on one scale: every trial a point, the default a square, the chosen one filled.

    A trial without a result is a cross at the bottom.
    """
    columns = min(COLUMNS, len(rated))
    rows = -(-len(rated) // columns)
    height = 0.75 + 1.45 * rows
    figure = drawing.figure(9.0, height)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(rated) :]:
        ax.set_axis_off()
    for ax, (method, ones) in zip(axes.flat, rated.items(), strict=False):
        for one in ones:
            _draw_trials(ax, one, scale.bottom)
        ax.set_title(clean(method, 20), fontsize=8)
        ax.tick_params(labelsize=7)
    for ax in axes.flat[max(0, len(rated) - columns) : len(rated)]:
        ax.tick_params(labelbottom=True)  # the lowest of each column, which may end above the others
    first = axes[0][0]
    first.set_xscale("log")
    first.set_xlim(scale.low, scale.high)
    first.set_ylim(scale.bottom, scale.top)
    first.set_xticks(scale.ticks)
    first.xaxis.set_minor_locator(NullLocator())
    first.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.5 / height, top=1 - 0.3 / height, wspace=0.1, hspace=0.32)
    figure.supxlabel("Learning rate (log scale)", fontsize=9, y=0.04 / height)
    figure.supylabel("Validation accuracy, %", fontsize=9, x=0.005)
    return figure


def _draw_trials(ax: Axes, one: Tuned, low: float) -> None:
    chosen = one.search.chosen(one.rule)
    for place, (rate, found) in enumerate(_points(one)):
        marker = "s" if place == 0 else "o"
        if found is None:
            ax.plot([rate], [low], marker="x", color=drawing.VERMILION, markersize=4, clip_on=False)
        elif place == chosen:
            ax.plot([rate], [found], marker=marker, color=drawing.VERMILION, markersize=6, zorder=3)
        else:
            ax.plot([rate], [found], marker=marker, color=drawing.BLUE, markersize=3.5, fillstyle="none")


def _interactive_rates(rated: dict[str, list[Tuned]], scale: Scale) -> str:
    """The same, where each point tells what was tried."""
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    for number, (method, ones) in enumerate(rated.items()):
        suffix = drawing.panel(number)
        data += [{"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", **_trials(one, scale.bottom)} for one in ones]
        layout[f"xaxis{suffix}"] = {
            "type": "log",
            "range": [math.log10(scale.low), math.log10(scale.high)],
            "tickvals": scale.ticks,
            "ticktext": [f"{tick:g}" for tick in scale.ticks],
        }
        layout[f"yaxis{suffix}"] = {"range": [scale.bottom, scale.top]}
        layout["annotations"].append(drawing.heading(number, safe(clean(method, 20))))
    return drawing.plotly(data, layout, height=130, columns=COLUMNS)


def _trials(one: Tuned, bottom: float) -> dict[str, Any]:
    points, chosen = _points(one), one.search.chosen(one.rule)
    symbols, said = [], []
    for place, (trial, (_, found)) in enumerate(zip(one.search.trials, points, strict=True)):
        tried = words.hyperparameters(trial.hyperparameters, one.search.space)
        which = "the default" if place == 0 else f"trial {place}"
        came = f"validation accuracy {found:.1f}%" if found is not None else f"no result: {trial.status}"
        lines = [f"{which}: {tried}", f"{came}{', chosen' if place == chosen else ''}"]
        said.append("<br>".join([f"<b>{safe(one.search.method)}</b>", *map(safe, lines)]))
        filled = "square" if place == 0 else "circle"
        symbols.append("x" if found is None else filled if place == chosen else f"{filled}-open")
    stand_out = [place == chosen or found is None for place, (_, found) in enumerate(points)]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rate for rate, _ in points],
        "y": [bottom if found is None else found for _, found in points],
        "cliponaxis": False,
        "marker": {
            "symbol": symbols,
            "size": [9 if place == chosen else 6 for place in range(len(points))],
            "color": [drawing.VERMILION if out else drawing.BLUE for out in stand_out],
        },
        "meta": clean(one.search.method),
        "hovertext": said,
        "hovertemplate": drawing.HOVER,
    }


def _told_rates(rated: dict[str, list[Tuned]]) -> str:
    best = []
    for method, ones in rated.items():
        for one in ones:
            place = one.search.chosen(one.rule)
            if place is not None:
                rate, found = _points(one)[place]
                best.append(f"{clean(method, 44)} {found:.1f}% at {rate:g}{' (the default)' if place == 0 else ''}")
    said = "Validation accuracy of each trial against its learning rate, a small picture for each method. Squares are "
    said += "the defaults, filled marks what was chosen, crosses at the bottom trials that diverged or failed. "
    return f"{said}Chosen: {'; '.join(best)}."


def _draw_budget(searched: Sequence[Tuned]) -> Figure:
    outstanding = _outstanding(searched)
    rows = -(-(len(outstanding) + (len(outstanding) < len(searched))) // 3)
    height = 3.3 + 0.2 * rows
    figure = drawing.figure(9.0, height)
    bottom = (0.6 + 0.2 * rows) / height
    figure.subplots_adjust(left=0.06, right=0.98, wspace=0.16, top=1 - 0.35 / height, bottom=bottom)
    trials, *seconds = figure.subplots(1, 1 + _timed(searched), sharey=True, squeeze=False)[0]
    others = [one for one in searched if one not in outstanding]
    for number, one in enumerate([*outstanding, *others]):
        best = [100 * found for found in stats.expected_best(one.search, one.rule)]
        look: dict[str, Any]
        if number < len(outstanding):
            look = {"color": drawing.COLOURS[number], "label": _name(one, searched)}
        else:
            more = f"{len(others)} more" if number == len(outstanding) else None
            look = {"color": drawing.GREY, "linewidth": 0.6, "alpha": 0.6, "zorder": 1, "label": more}
        trials.plot(range(len(best)), best, **look)
        if one.search.timed:
            seconds[0].plot(stats.expected_seconds(one.search), best, **look)
    trials.set_title("Validation accuracy to expect, %")
    trials.set_xlabel("Trials beside the default")
    for axes in seconds:
        axes.set_xlabel("Seconds of training (log scale)")
        axes.set_xscale("log")
        drawing.plain_numbers(axes, "x")
    handles = trials.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.05, 0.0), ncols=3, fontsize=8)
    return figure


def _interactive_budget(searched: Sequence[Tuned]) -> str:
    """The same, where each point tells what to expect."""
    outstanding = _outstanding(searched)
    data = []
    for number, one in enumerate([*outstanding, *(one for one in searched if one not in outstanding)]):
        best = [100 * found for found in stats.expected_best(one.search, one.rule)]
        spent = stats.expected_seconds(one.search) if one.search.timed else [None] * len(best)
        first = number < len(outstanding)
        line = {"color": drawing.COLOURS[number], "width": 2} if first else {"color": drawing.GREY, "width": 1}
        said = [
            f"<b>{safe(_name(one, searched))}</b><br>{_with_trials(k)}: {found:.1f}% expected"
            + ("" if seconds is None else f"<br>{safe(duration(seconds))} of training")
            for k, (found, seconds) in enumerate(zip(best, spent, strict=True))
        ]
        shared = {
            "type": "scatter",
            "mode": "lines",
            "y": best,
            "line": line,
            "opacity": 1.0 if first else 0.5,
            "name": safe(_name(one, searched)),
            "legendgroup": _name(one, searched),
            "meta": clean(one.search.method),
            "hovertext": said,
            "hovertemplate": drawing.HOVER,
        }
        data.append({**shared, "x": list(range(len(best))), "showlegend": first})
        if one.search.timed:
            data.append({**shared, "x": spent, "xaxis": "x2", "yaxis": "y2", "showlegend": False})
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "Trials beside the default"}},
        "yaxis": {},
        "annotations": [drawing.heading(0, "Validation accuracy to expect, %")],
    }
    if _timed(searched):
        layout["xaxis2"] = {"title": {"text": "Seconds of training"}, "type": "log"}
        layout["yaxis2"] = {"matches": "y"}
    return drawing.plotly(data, layout, height=300)


def _timed(searched: Sequence[Tuned]) -> bool:
    """Whether any search knows what its trials took."""
    return any(one.search.timed for one in searched)


def _with_trials(k: int) -> str:
    return "the default" if k == 0 else f"the default and {k} {'trial' if k == 1 else 'trials'}"


def _outstanding(searched: Sequence[Tuned]) -> list[Tuned]:
    """As many as there are colours, those with the highest validation accuracy."""
    ordered = sorted(searched, key=lambda one: -stats.expected_best(one.search, one.rule)[-1])
    return ordered[: len(drawing.COLOURS)]


def _name(one: Tuned, searched: Sequence[Tuned]) -> str:
    several = len({other.search.seed for other in searched}) > 1
    return clean(one.search.method, 36) + (f" (search seed {one.search.seed})" if several else "")


def _told_budget(searched: Sequence[Tuned]) -> str:
    told = []
    for one in _outstanding(searched):
        best = stats.expected_best(one.search, one.rule)
        told.append(
            f"{_name(one, searched)} {score(best[0])} by default, {score(best[-1])} after {len(best) - 1} trials"
        )
    against = "the number of trials and seconds of training" if _timed(searched) else "the number of trials"
    said = f"The expected validation accuracy of the best trial against {against}."
    return f"{said} {'; '.join(told)}."
