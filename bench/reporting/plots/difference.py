"""Each variant's difference from the best, or from the reference: what is hard for all cancels out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bench.reporting.model import Picture, Unit
from bench.reporting.plots import drawing, rows
from bench.reporting.plots.view import safe
from bench.reporting.text import points, span
from bench.stats.differences import MARGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from bench.reporting.plots.view import View
    from bench.stats import Difference, Verdict

STYLES: dict[Verdict, tuple[str, str]] = {
    "better": (drawing.COLOURS[2], "full"),
    "worse": (drawing.VERMILION, "full"),
    "equivalent": (drawing.BLUE, "full"),
    "no difference found": (drawing.GREY, "none"),
}
"""Each verdict's colour, and whether its mark is filled."""
EQUIVALENT = f"equivalent: within ±{100 * MARGIN:.0f} point"


def picture(view: View) -> Picture | None:
    """Draw those known to beat the majority class, by their difference; None where nothing can be compared."""
    base = view.analysis.base
    found = {place: difference for place in view.useful if (difference := view.analysis.from_base[place])}
    if base is None or not found:
        return None
    means = {base: 0.0, **{place: difference.mean for place, difference in found.items()}}
    places = sorted(means, key=lambda place: -means[place])[: rows.MOST]
    title = f"Test accuracy minus that of {view.name(base)}, in points"
    left_out = [place for place in view.scored if place not in means]
    return Picture(
        name="difference",
        title=f"{title}: the 95% interval by itself (thick) and together with all others (thin)",
        alt=_told(view, base, places, found),
        draw=partial(drawing.svg, lambda: _draw(view, title, places, found, left_out)),
        interactive=rows.interactive(view, places, safe(title), _traces(view, base, places, found), _marks()),
    )


def _by_verdict(places: Sequence[int], found: Mapping[int, Difference]) -> dict[Verdict, list[int]]:
    """The compared variants by what is known of them, verdicts without any left out."""
    verdicts = {
        verdict: [place for place in places if place in found and found[place].verdict == verdict] for verdict in STYLES
    }
    return {verdict: members for verdict, members in verdicts.items() if members}


def _reach(difference: Difference, *, together: bool) -> tuple[float, float]:
    """How far an interval reaches below and above the mean, in points."""
    interval = difference.simultaneous if together else difference.interval
    return 100 * (difference.mean - interval.low), 100 * (interval.high - difference.mean)


def _draw(
    view: View, title: str, places: Sequence[int], found: Mapping[int, Difference], left_out: Sequence[int]
) -> Figure:
    said = f"Not shown, not known to be better than the majority class: {view.names(left_out, 4)}" if left_out else ""
    figure, ax = rows.figure(view, places, title, said)
    row = {place: number for number, place in enumerate(places)}
    band = ax.axvspan(-100 * MARGIN, 100 * MARGIN, color=drawing.BLUE, alpha=0.1, linewidth=0, label=EQUIVALENT)
    ax.axvline(0, color=drawing.INK, linewidth=1)
    handles: list[Any] = []
    for verdict, members in _by_verdict(places, found).items():
        colour, fill = STYLES[verdict]
        for together, thickness in ((True, 0.8), (False, 2.4)):
            drawn = ax.errorbar(
                [100 * found[place].mean for place in members],
                [row[place] for place in members],
                xerr=list(zip(*(_reach(found[place], together=together) for place in members), strict=True)),
                color=colour,
                marker="o",
                markersize=5,
                markerfacecolor=colour if fill == "full" else "white",
                linewidth=0,
                elinewidth=thickness,
                label=verdict,
            )
        handles.append(drawn)
    bases = [place for place in places if place not in found]
    ax.plot([0] * len(bases), [row[place] for place in bases], color=drawing.INK, marker="D", markersize=5, linewidth=0)
    texts = {
        row[place]: (_figure(found[place]), found[place].verdict != "no difference found")
        for place in places
        if place in found
    }
    rows.write(ax, texts)
    figure.legend(handles=[*handles, band], loc="upper left", bbox_to_anchor=(0.01, 1.0), ncols=5, fontsize=8)
    return figure


def _traces(view: View, base: int, places: Sequence[int], found: Mapping[int, Difference]) -> list[dict[str, Any]]:
    row = {place: number for number, place in enumerate(places)}
    traces: list[dict[str, Any]] = []
    for verdict, members in _by_verdict(places, found).items():
        colour, fill = STYLES[verdict]
        shared = {
            "type": "scatter",
            "mode": "markers",
            "x": [100 * found[place].mean for place in members],
            "y": [row[place] for place in members],
            "legendgroup": verdict,
            "customdata": [view.key(place) for place in members],
        }
        thin, thick = (
            drawing.bars((_reach(found[place], together=together) for place in members), colour, thickness)
            for together, thickness in ((True, 1), (False, 4))
        )
        whole = {"hovertext": [_hover(view, place, found[place]) for place in members], "hovertemplate": drawing.HOVER}
        marker = {"size": 9, "color": colour, "symbol": "circle" if fill == "full" else "circle-open"}
        traces.append(
            {
                **shared,
                "error_x": thin,
                "marker": {"size": 1, "color": colour},
                "showlegend": False,
                "hoverinfo": "skip",
            }
        )
        traces.append({**shared, "name": verdict, "error_x": thick, "marker": marker, **whole})
    if base in row:
        marker = {"size": 9, "color": drawing.GREY, "symbol": "diamond"}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [0],
                "y": [row[base]],
                "marker": marker,
                "customdata": [view.key(base)],
                "hovertext": [view.hover(base)],
                "hovertemplate": drawing.HOVER,
                "showlegend": False,
            }
        )
    return traces


def _marks() -> dict[str, Any]:
    """Zero, and the margin within which accuracies count as equivalent."""
    whole = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    margin = {"type": "rect", "x0": -100 * MARGIN, "x1": 100 * MARGIN, "fillcolor": drawing.BLUE, "opacity": 0.12}
    zero = {"type": "line", "x0": 0, "x1": 0, "line": {"color": drawing.GREY, "width": 1.5}}
    return {"shapes": [{**whole, **margin, "line": {"width": 0}}, {**whole, **zero}]}


def _figure(difference: Difference) -> str:
    """Write a difference with its interval, in points."""
    interval = difference.interval
    return f"{points(difference.mean)} ({span((interval.low, interval.high), Unit.POINTS)})"


def _hover(view: View, place: int, difference: Difference) -> str:
    together = difference.simultaneous
    return view.hover(
        place,
        f"difference {_figure(difference)} points",
        f"together with all others {span((together.low, together.high), Unit.POINTS)}",
        difference.verdict,
    )


def _told(view: View, base: int, places: Sequence[int], found: Mapping[int, Difference]) -> str:
    compared = [place for place in places if place in found]
    said = "; ".join(f"{view.name(place)} {_figure(found[place])}" for place in compared[:10])
    more = f"; and {len(found) - 10} more" if len(found) > 10 else ""
    verdicts = (
        f" {verdict.capitalize()}: {view.names(members)}." for verdict, members in _by_verdict(places, found).items()
    )
    return (
        f"Test accuracy minus that of {view.name(base)} with 95% interval, in points: {said}{more}.{''.join(verdicts)}"
    )
