"""Searches: what validation made of each trial, and what a smaller budget would have found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, NullLocator

from bench import stats
from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.text import clean, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.stats import Tuned

RATE = "learning_rate"
COLUMNS = 6
_ROOM = 0.06


def pictures(found: Sequence[Tuned]) -> list[Picture]:
    """Draw the searches; nothing where no search had a trial beside the default."""
    searched = [one for one in found if len(one.search.trials) > 1 and one.search.chosen(one.rule) is not None]
    rated = {method: [one for one in ones if RATE in one.search.space] for method, ones in _by_method(searched).items()}
    rated = {method: ones for method, ones in rated.items() if ones}
    drawn = []
    if rated:
        drawn.append(
            Picture(
                name="search-rates",
                title="Validation accuracy against the learning rate, all trials",
                alt=_told_rates(rated),
                svg=drawing.svg(lambda: _draw_rates(rated)),
            )
        )
    if searched:
        drawn.append(
            Picture(
                name="search-budget",
                title="Validation accuracy to expect of the best trial with a smaller budget",
                alt=_told_budget(searched),
                svg=drawing.svg(lambda: _draw_budget(searched)),
            )
        )
    return drawn


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


def _draw_rates(rated: dict[str, list[Tuned]]) -> Figure:
    """One small picture a method, all on one scale: every trial a point, the default a square, the chosen one filled.

    A trial without a result is a cross at the bottom.
    """
    columns = min(COLUMNS, len(rated))
    rows = -(-len(rated) // columns)
    height = 0.75 + 1.45 * rows
    figure = drawing.figure(9.0, height)
    every = [point for ones in rated.values() for one in ones for point in _points(one)]
    rates, scores = [rate for rate, _ in every], [found for _, found in every if found is not None]
    room = _ROOM * (max(scores) - min(scores)) or 1.0
    low, high = min(scores) - room, max(scores) + room
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(rated) :]:
        ax.set_axis_off()
    for ax, (method, ones) in zip(axes.flat, rated.items(), strict=False):
        for one in ones:
            _draw_trials(ax, one, low)
        ax.set_title(clean(method, 20), fontsize=8)
    for ax in axes.flat[max(0, len(rated) - columns) : len(rated)]:
        ax.tick_params(labelbottom=True, labelsize=7)  # the lowest of each column, which may end above the others
    ends = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    first = axes[0][0]
    first.set_xscale("log")
    first.set_xlim(min(rates) / 1.6, max(rates) * 1.6)
    first.set_ylim(low, high)
    step = max(1, -(-(ends[1] - ends[0]) // 3))
    first.set_xticks([10.0**power for power in range(ends[0], ends[1] + 1, step) if _within(10.0**power, rates)])
    first.xaxis.set_minor_locator(NullLocator())
    first.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.5 / height, top=1 - 0.3 / height, wspace=0.1, hspace=0.32)
    figure.supxlabel("Learning rate (log scale)", fontsize=9, y=0.04 / height)
    figure.supylabel("Validation accuracy, %", fontsize=9, x=0.005)
    return figure


def _within(tick: float, rates: Sequence[float]) -> bool:
    return min(rates) / 1.6 <= tick <= max(rates) * 1.6


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
    trials, seconds = figure.subplots(1, 2, sharey=True)
    others = [one for one in searched if one not in outstanding]
    for number, one in enumerate([*outstanding, *others]):
        best = [100 * found for found in stats.expected_best(one.search, one.rule)]
        spent = stats.expected_seconds(one.search)
        look: dict[str, Any]
        if number < len(outstanding):
            look = {"color": drawing.COLOURS[number], "label": _name(one, searched)}
        else:
            more = f"{len(others)} more" if number == len(outstanding) else None
            look = {"color": drawing.GREY, "linewidth": 0.6, "alpha": 0.6, "zorder": 1, "label": more}
        trials.plot(range(len(best)), best, **look)
        seconds.plot(spent, best, **look)
    trials.set_title("Validation accuracy, %")
    trials.set_xlabel("Trials beside the default")
    seconds.set_xlabel("Seconds of training (log scale)")
    seconds.set_xscale("log")
    drawing.plain_numbers(seconds, "x")
    handles = trials.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.05, 0.0), ncols=3, fontsize=8)
    return figure


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
    said = "The expected validation accuracy of the best trial against the number of trials and seconds of training."
    return f"{said} {'; '.join(told)}."
