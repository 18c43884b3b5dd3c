"""Accuracy with its 95% interval, a line a variant, against the baselines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bench.reporting.model import Picture
from bench.reporting.plots import drawing, rows
from bench.reporting.text import score
from bench.reporting.words import BASELINE, MAJORITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from bench.reporting.plots.view import View

AXIS = "Test accuracy, %"
TOP, OTHER, NONE = "can't be told from the best", "worse than the best", "not compared"


def picture(view: View) -> Picture | None:
    """Draw the variants with a result, the best first; None where there is none."""
    places = view.scored[: rows.MOST]
    if not places:
        return None
    return Picture(
        name="accuracy",
        title="Test accuracy with 95% interval",
        alt=_told(view, places),
        draw=partial(drawing.svg, lambda: _draw(view, places)),
        interactive=_interactive(view, places),
    )


def _group(view: View, place: int) -> str:
    if not view.analysis.top or view.interval(place) is None:
        return NONE
    return TOP if place in view.analysis.top else OTHER


def _groups(view: View, places: Sequence[int]) -> dict[str, list[int]]:
    """The variants by what is known of them, groups without any left out."""
    groups = {name: [place for place in places if _group(view, place) == name] for name in (TOP, OTHER, NONE)}
    return {name: members for name, members in groups.items() if members}


COLOUR = {TOP: drawing.BLUE, OTHER: drawing.GREY, NONE: drawing.GREY}


def _draw(view: View, places: Sequence[int]) -> Figure:
    figure, ax = rows.figure(view, places, AXIS)
    row = {place: number for number, place in enumerate(places)}
    for name, members in _groups(view, places).items():
        below, above = zip(*map(view.reach, members), strict=True)
        ax.errorbar(
            [100 * view.mean(place) for place in members],
            [row[place] for place in members],
            xerr=[below, above],
            color=COLOUR[name],
            marker="o",
            markerfacecolor=COLOUR[name] if name == TOP else "white",
            linewidth=0,
            elinewidth=1.6,
            label=name,
        )
    for name, accuracy, colour, dash in _baselines(view):
        ax.axvline(100 * accuracy, color=colour, linestyle="--" if dash == "dash" else ":", label=name)
    rows.write(ax, {row[place]: (view.figure(place), _group(view, place) == TOP) for place in places})
    handles, baselines = ax.get_legend_handles_labels()[0], len(_baselines(view))
    ordered = [*handles[baselines:], *handles[:baselines]]
    figure.legend(handles=ordered, loc="upper left", bbox_to_anchor=(0.01, 1.0), ncols=5, fontsize=8)
    return figure


def _baselines(view: View) -> list[tuple[str, float, str, str]]:
    """Each baseline's name, accuracy, colour, and plotly's word for its line."""
    found = [(MAJORITY, view.majority, drawing.VERMILION, "dash")]
    return found if view.ngrams is None else [*found, (BASELINE, view.ngrams, drawing.GREEN, "dot")]


def _interactive(view: View, places: Sequence[int]) -> str:
    row = {place: number for number, place in enumerate(places)}
    data = [_trace(view, name, members, row) for name, members in _groups(view, places).items()]
    layout = {
        "shapes": [
            {
                "type": "line",
                "x0": 100 * accuracy,
                "x1": 100 * accuracy,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": colour, "dash": dash},
            }
            for _, accuracy, colour, dash in _baselines(view)
        ],
        "annotations": [
            {
                "x": 100 * accuracy,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "xanchor": "left" if accuracy < 0.5 else "right",
                "text": f"{name} {score(accuracy)}",
                "showarrow": False,
            }
            for name, accuracy, *_ in _baselines(view)
        ],
    }
    return rows.interactive(view, places, AXIS, data, layout)


def _trace(view: View, name: str, members: Sequence[int], row: dict[int, int]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [100 * view.mean(place) for place in members],
        "y": [row[place] for place in members],
        "error_x": drawing.bars(map(view.reach, members), COLOUR[name], thickness=2),
        "marker": {"size": 10, "color": COLOUR[name], "symbol": "circle" if name == TOP else "circle-open"},
        "customdata": [view.key(place) for place in members],
        "hovertext": [view.hover(place, name) for place in members],
        "hovertemplate": drawing.HOVER,
    }


def _told(view: View, places: Sequence[int]) -> str:
    said = "; ".join(f"{view.name(place)} {view.figure(place)}" for place in places[:10])
    more = f"; and {len(view.scored) - 10} more" if len(view.scored) > 10 else ""
    top = [place for place in places if place in view.analysis.top]
    best = f" Can't be told from the best: {view.names(top)}." if top else ""
    baselines = "; ".join(f"{name}: {score(accuracy)}" for name, accuracy, *_ in _baselines(view))
    return f"Test accuracy with 95% interval: {said}{more}. {baselines.capitalize()}.{best}"
