"""Performance profiles: in which share of runs a method's normalised accuracy is at least so high."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from bench.reporting.model import Picture
from bench.reporting.plots import drawing
from bench.reporting.plots.view import SHORT, STANDING_OUT, safe
from bench.reporting.text import clean, score
from bench.stats import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from bench.stats import Overall, Profile

X, Y = "Normalised accuracy at least, %", "Share of runs, %"


def picture(found: Overall, names: Sequence[str]) -> Picture | None:
    """Draw a line for each contender, the first few in colour with a band; None where no task has a scale."""
    profiles = [profile for place in range(len(names)) if (profile := found.profile(place))]
    if not profiles:
        return None
    shown = [clean(name, SHORT) for name in names]
    return Picture(
        name="performance-profile",
        title="Performance profiles over all tasks",
        alt=_told(profiles, shown),
        draw=partial(drawing.svg, lambda: _draw(profiles, shown)),
        interactive=_interactive(profiles, [clean(name) for name in names]),
    )


def _draw(profiles: Sequence[Profile], names: Sequence[str]) -> Figure:
    others = profiles[STANDING_OUT:]
    rows = -(-(min(len(profiles), STANDING_OUT) + bool(others)) // 3)
    height = 3.6 + 0.2 * rows
    figure = drawing.figure(9.0, height)
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.2 / height, bottom=(0.6 + 0.2 * rows) / height)
    ax, x = figure.subplots(), 100 * THRESHOLDS
    for number, (profile, name) in enumerate(zip(profiles[:STANDING_OUT], names, strict=False)):
        colour = drawing.COLOURS[number]
        if profile.low is not None and profile.high is not None:
            ax.fill_between(x, 100 * profile.low, 100 * profile.high, color=colour, alpha=0.1, linewidth=0)
        ax.plot(x, 100 * profile.share, color=colour, label=name, zorder=3)
        ax.plot(x[number * 2 :: 12], 100 * profile.share[number * 2 :: 12], drawing.MARKERS[number], color=colour, ms=4)
    for number, profile in enumerate(others):
        label = f"{len(others)} more" if number == 0 else None
        ax.plot(x, 100 * profile.share, color=drawing.GREY, linewidth=0.6, alpha=0.6, zorder=1, label=label)
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 102)
    ax.set_xlabel(X)
    ax.set_ylabel(Y)
    figure.legend(*ax.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.06, 0.0), ncols=3, fontsize=8)
    return figure


def _interactive(profiles: Sequence[Profile], names: Sequence[str]) -> str:
    x = (100 * THRESHOLDS).tolist()
    data: list[dict[str, Any]] = []
    for number, (profile, name) in reversed(list(enumerate(zip(profiles, names, strict=True)))):
        coloured = number < STANDING_OUT
        colour = drawing.COLOURS[number] if coloured else drawing.GREY
        if coloured and profile.low is not None and profile.high is not None:
            data.append(_band(x, profile.low.tolist(), profile.high.tolist(), colour) | {"meta": name})
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": safe(clean(name, SHORT)),
                "meta": name,
                "x": x,
                "y": (100 * profile.share).tolist(),
                "line": {"color": colour, "width": 2 if coloured else 1},
                "showlegend": coloured,
                "legendrank": number + 1,
                "hovertext": [
                    f"<b>{safe(clean(name, SHORT))}</b><br>at least {at:.0f}% in {score(share)} of runs"
                    for at, share in zip(x, profile.share.tolist(), strict=True)
                ],
                "hovertemplate": drawing.HOVER,
            }
        )
    layout = {
        "xaxis": {"title": {"text": X}, "range": [0, 100]},
        "yaxis": {"title": {"text": Y}, "range": [0, 102]},
    }
    return drawing.plotly(data, layout, height=340)


def _band(x: list[float], low: list[float], high: list[float], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x + x[::-1],
        "y": [100 * share for share in (*high, *low[::-1])],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.1,
        "mode": "none",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _told(profiles: Sequence[Profile], names: Sequence[str]) -> str:
    half = int((THRESHOLDS < 0.9).sum())
    said = "; ".join(
        f"{name} {score(float(profile.share[half]))}" for name, profile in zip(names[:10], profiles, strict=False)
    )
    more = f"; and {len(names) - 10} more" if len(names) > 10 else ""
    return (
        f"Performance profiles with 95% bands. Share of runs with a normalised accuracy of at least 90%: {said}{more}."
    )
