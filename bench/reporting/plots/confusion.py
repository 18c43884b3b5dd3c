"""Which styles the best variant takes for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe
from bench.reporting.text import clean, count

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bench.reporting.plots.view import View
    from bench.stats import Outcomes

NUMBERED = 20
"""With more styles than this there is no room for a figure in each cell."""
FAINT = 0.005
SHADES = ("#f7fafd", "#08306b")


def picture(view: View) -> Picture | None:
    """Draw the confusion matrix of the variant with the highest mean accuracy; None where no predictions are known."""
    best = next((place for place in view.scored if view.analysis.outcomes[place]), None)
    outcomes = view.analysis.outcomes[best] if best is not None else None
    if best is None or outcomes is None:
        return None
    counts = _counts(outcomes)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    styles = [clean(style, 28) for style in outcomes.styles]
    return Picture(
        name="confusion",
        title=f"What {view.name(best)} takes for what",
        alt=_told(view.name(best), shares, styles),
        svg=drawing.svg(lambda: _draw(shares, styles)),
        interactive=_interactive(counts, shares, styles, len(outcomes.seeds)),
    )


def _counts(outcomes: Outcomes) -> NDArray[Any]:
    """How often each style (row) was named as each (column), over all seeds."""
    styles = len(outcomes.styles)
    pairs = styles * outcomes.labels + outcomes.predictions
    return np.bincount(pairs.ravel(), minlength=styles * styles).reshape(styles, styles)


def _draw(shares: NDArray[Any], styles: list[str]) -> Figure:
    side = 0.42 * len(styles) if len(styles) <= NUMBERED else 8.0
    name = 0.075 * max(map(len, styles))
    width, height = side + name + 0.9, side + 0.7 * name + 0.6
    figure = drawing.figure(width, height)
    ax = figure.add_axes(((name + 0.4) / width, 0.15 / height, side / width, side / height))
    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    ax.imshow(shares, cmap=shades, vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(styles)), styles, rotation=45, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(styles)), styles)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set_ylabel("True style; each row adds up to 100%")
    ax.set_xlabel("Predicted style")
    ax.xaxis.set_label_position("top")
    for spine in ax.spines.values():
        spine.set_visible(False)
    if len(styles) <= NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if share >= FAINT:
                colour = "white" if share > 0.45 else drawing.INK
                ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def _interactive(counts: NDArray[Any], shares: NDArray[Any], styles: list[str], seeds: int) -> str:
    names = [safe(style) for style in styles]
    places = list(range(len(names)))
    told = [
        [
            f"true style <b>{names[row]}</b><br>predicted <b>{names[column]}</b><br>{100 * shares[row, column]:.1f}%: "
            f"{count(counts[row, column])} of {count(counts[row].sum())} over {seeds} seed{'s' * (seeds > 1)}"
            for column in places
        ]
        for row in places
    ]
    trace = {
        "type": "heatmap",
        "z": np.round(100 * shares, 2).tolist(),
        "text": [[f"{100 * share:.0f}" if share >= FAINT else "" for share in row] for row in shares],
        "hovertext": told,
        "hovertemplate": drawing.HOVER,
        "colorscale": [[0, SHADES[0]], [1, SHADES[1]]],
        "zmin": 0,
        "zmax": 100,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }
    if len(styles) <= NUMBERED:
        trace["texttemplate"] = "%{text}"
    axis = {"tickvals": places, "ticktext": names, "automargin": True, "showgrid": False}
    layout = {
        "xaxis": {**axis, "tickangle": -45, "title": {"text": "Predicted style"}},
        "yaxis": {**axis, "autorange": "reversed", "title": {"text": "True style; each row adds up to 100%"}},
    }
    return drawing.plotly([trace], layout, height=min(620, 120 + 32 * len(styles)))


def _told(name: str, shares: NDArray[Any], styles: list[str]) -> str:
    mistakes = shares * (1 - np.eye(len(styles)))
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:3]
    said = [
        f"{styles[row]} for {styles[column]} ({100 * mistakes[row, column]:.0f}%)"
        for row, column in (divmod(int(place), len(styles)) for place in worst)
        if mistakes[row, column] > 0
    ]
    right = ", ".join(f"{style} {100 * share:.0f}%" for style, share in zip(styles, np.diag(shares), strict=True))
    mistaken = f" It most often takes {'; '.join(said)}." if said else ""
    return f"Confusion matrix of {name}: share of each style's test passages recognised: {right}.{mistaken}"
