"""Which styles the best variant takes for which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex

from bench.labels import label_noun
from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe
from bench.reporting.tables import MANY_STYLES
from bench.reporting.text import count, told_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bench.labels import Noun
    from bench.reporting.plots.view import View
    from bench.stats import Outcomes

EACH_ROW = "each row adds up to 100%"
FAINT = 0.005
SHADES = LinearSegmentedColormap.from_list("shades", ("#f7fafd", "#08306b"))


@dataclass(frozen=True)
class _Matrix:
    """How often each style (row) was named as each (column), counts [n, n], and what each is called.

    Where `rest` isn't 0, the last row and column stand for so many styles together; `noun` is what the data calls a
    style.
    """

    counts: NDArray[Any]
    styles: list[str]
    rest: int
    noun: Noun

    @property
    def shares(self) -> NDArray[Any]:
        """The counts as parts of their row."""
        return np.asarray(self.counts / np.maximum(1, self.counts.sum(axis=1, keepdims=True)))


def picture(view: View) -> Picture | None:
    """Draw the confusion matrix of the variant with the highest mean accuracy; None where no predictions are known.

    Of many styles, those with the most mistakes stand in it, and the others in one row and column together.
    """
    best = view.analysis.best_predicted
    outcomes = view.analysis.outcomes[best] if best is not None else None
    if best is None or outcomes is None:
        return None
    matrix = _matrix(outcomes, label_noun(view.analysis.comparison.newest.data.label))
    which = f", of the {len(matrix.styles) - 1} {matrix.noun.many} with the most mistakes" if matrix.rest else ""
    return Picture(
        name="confusion",
        title=f"What {view.name(best)} takes for what{which}",
        alt=_told(view.name(best), matrix),
        draw=partial(drawing.svg, lambda: _draw(matrix)),
        interactive=_interactive(matrix, len(outcomes.seeds)),
    )


def _matrix(outcomes: Outcomes, noun: Noun) -> _Matrix:
    counts, written = outcomes.confusions, told_apart(outcomes.styles, 28)
    styles = [written[style] for style in outcomes.styles]
    if len(styles) <= MANY_STYLES:
        return _Matrix(counts, styles, 0, noun)
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-mistakes, kind="stable")[: MANY_STYLES - 1])
    place = np.full(len(styles), len(kept))
    place[kept] = np.arange(len(kept))
    folded = np.zeros((MANY_STYLES, MANY_STYLES), dtype=counts.dtype)
    np.add.at(folded, (place[:, None], place), counts)
    rest = len(styles) - len(kept)
    return _Matrix(folded, [*(styles[i] for i in kept), f"{count(rest)} other {noun.many}"], rest, noun)


def _draw(matrix: _Matrix) -> Figure:
    shares, styles = matrix.shares, matrix.styles
    side = 0.42 * len(styles)
    name = 0.075 * max(map(len, styles))
    width, height = side + name + 0.9, side + 0.7 * name + 0.6
    figure = drawing.figure(width, height)
    ax = figure.add_axes(((name + 0.4) / width, 0.15 / height, side / width, side / height))
    ax.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(styles)), styles, rotation=45, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(styles)), styles)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set_ylabel(f"True {matrix.noun.one}; {EACH_ROW}")
    ax.set_xlabel(f"Predicted {matrix.noun.one}")
    ax.xaxis.set_label_position("top")
    for spine in ax.spines.values():
        spine.set_visible(False)
    for (row, column), share in np.ndenumerate(shares):
        if share >= FAINT:
            colour = "white" if share > 0.45 else drawing.INK
            ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def _interactive(matrix: _Matrix, seeds: int) -> str:
    counts, shares = matrix.counts, matrix.shares
    names = [safe(style) for style in matrix.styles]
    places = list(range(len(names)))

    def told(row: int, column: int) -> str:
        of = f"{count(counts[row, column])} of {count(counts[row].sum())} over {seeds} seed{'s' * (seeds > 1)}"
        named = f"true {matrix.noun.one} <b>{names[row]}</b><br>predicted <b>{names[column]}</b>"
        return f"{named}<br>{100 * shares[row, column]:.1f}%: {of}"

    cells = [(row, column) for row in places for column in places]
    trace = {  # a bar for each cell: plotly's basic bundle has no heatmap
        "type": "bar",
        "orientation": "h",
        "base": [column - 0.48 for _, column in cells],
        "x": [0.96] * len(cells),
        "y": [row for row, _ in cells],
        "width": 0.96,
        "text": [f"{100 * shares[cell]:.0f}" if shares[cell] >= FAINT else "" for cell in cells],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "hovertext": [told(*cell) for cell in cells],
        "hovertemplate": drawing.HOVER,
        "showlegend": False,
        "marker": {"color": [to_hex(SHADES(shares[cell])) for cell in cells]},
    }
    axis = {"tickvals": places, "ticktext": names, "automargin": True, "showgrid": False}
    ends = [-0.5, len(names) - 0.5]
    layout = {
        "barmode": "overlay",
        "xaxis": {**axis, "range": ends, "tickangle": -45, "title": {"text": f"Predicted {matrix.noun.one}"}},
        "yaxis": {**axis, "range": ends[::-1], "title": {"text": f"True {matrix.noun.one}; {EACH_ROW}"}},
    }
    return drawing.plotly([trace], layout, height=max(280, min(620, 120 + 32 * len(names))))


def _told(name: str, matrix: _Matrix) -> str:
    one_by_one = len(matrix.styles) - bool(matrix.rest)
    shares, styles = matrix.shares[:one_by_one, :one_by_one], matrix.styles[:one_by_one]
    mistakes = shares * (1 - np.eye(len(styles)))
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:3]
    said = [
        f"{styles[row]} for {styles[column]} ({100 * mistakes[row, column]:.0f}%)"
        for row, column in (divmod(int(place), len(styles)) for place in worst)
        if mistakes[row, column] > 0
    ]
    right = ", ".join(f"{style} {100 * share:.0f}%" for style, share in zip(styles, np.diag(shares), strict=True))
    others = f", and {count(matrix.rest)} other {matrix.noun.many}" if matrix.rest else ""
    mistaken = f" It most often takes {'; '.join(said)}." if said else ""
    share = f"share of each {matrix.noun.one}'s test passages recognised"
    return f"Confusion matrix of {name}: {share}: {right}{others}.{mistaken}"
