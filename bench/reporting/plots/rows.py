"""A row for each variant, its name at the left: what the pictures of accuracies and of differences have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.reporting.plots.view import View

MOST = 100
"""So many rows fit a page; the table has the rest."""
MANY = 20
"""More rows than this stand closer."""
LOOSE, CLOSE = 0.27, 0.19
"""A row's height in inches."""
WIDTH, RIGHT = 9.0, 0.8


def figure(view: View, places: Sequence[int], title: str, note: str = "") -> tuple[Figure, Axes]:
    """Return a drawing with a row for each variant, from the top, the title of its level axis, and a note below."""
    foot = 0.8 if note else 0.55
    height = (LOOSE if len(places) <= MANY else CLOSE) * len(places) + foot + 0.4
    made = drawing.figure(WIDTH, height)
    longest = max(len(view.name(place)) for place in places)
    left = min(0.36, 0.03 + 0.0085 * longest)
    ax = made.add_axes((left, foot / height, RIGHT - left, 1 - (foot + 0.3) / height))
    ax.set_ylim(len(places) - 0.4, -0.6)
    ax.set_yticks(range(len(places)), [view.name(place) for place in places])
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(title)
    drawing.plain_numbers(ax, "x")
    made.text(0.02, 0.1 / height, note, fontsize=8, color=drawing.QUIET)
    return made, ax


def write(ax: Axes, texts: Mapping[int, tuple[str, bool]]) -> None:
    """Write a text right of each row, those that stand out in ink."""
    for row, (text, stands_out) in texts.items():
        colour = drawing.INK if stands_out else drawing.QUIET
        ax.text(1.02, row, text, transform=ax.get_yaxis_transform(), va="center", color=colour)


def interactive(
    view: View, places: Sequence[int], title: str, data: list[dict[str, Any]], layout: dict[str, Any]
) -> str:
    """Return the same as a plotly figure, with the traces and what else its layout holds."""
    axes = {
        "xaxis": {"title": {"text": title}},
        "yaxis": {
            "range": [len(places) - 0.4, -0.6],
            "tickvals": list(range(len(places))),
            "ticktext": [safe(view.name(place)) for place in places],
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
    }
    each = 30 if len(places) <= MANY else 22
    keys = [view.key(place) for place in places]
    return drawing.plotly(data, {**layout, **axes}, height=40 + each * len(places), rows=keys)
