"""What the page needs to draw the Pareto plot of any two figures, of any methods: it does so by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench import stats
from bench.reporting.facets import FACETS
from bench.reporting.figures import FIGURES
from bench.reporting.text import clean, span
from bench.reporting.words import BASELINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.reporting.figures import Figure
    from bench.reporting.plots.view import View
    from bench.stats import Interval


def data(view: View, costs: Sequence[str]) -> str:
    """Return the variants with their figures as JSON.

    `costs` are the figures that accuracy is shown against before others are chosen. `front` says which variants may be
    on a front, `shares` by cost in which share of draws they are; `reach` is a figure's 95% interval.
    """
    found = {figure.name: _values(view, figure) for figure in FIGURES.values()}
    drawn = {name: [value for place, value in values.items() if place in view.useful] for name, values in found.items()}
    known = {name: values for name, values in found.items() if len(drawn[name]) > 1}
    said = {
        "explore": True,
        "figures": [_figure(FIGURES[name], drawn[name]) for name in known],
        "costs": list(costs),
        "facets": [{"name": facet.name, "title": facet.title} for facet in FACETS],
        "hyperparameters": _hyperparameters(view),
        "baseline": _baseline(view),
        "variants": [_variant(view, place, known) for place in range(len(view.summaries))],
    }
    return json.dumps(said, ensure_ascii=False, allow_nan=False)


def _values(view: View, figure: Figure) -> dict[int, float]:
    """The figure's mean of each variant that has it, by place."""
    estimates = {place: figure.estimate(summary) for place, summary in enumerate(view.summaries)}
    return {place: estimate.mean for place, estimate in estimates.items() if estimate}


def _figure(figure: Figure, values: Sequence[float]) -> dict[str, Any]:
    unit, size = figure.unit(values)
    return {
        "name": figure.name,
        "title": figure.title,
        "unit": unit,
        "size": size,
        "more": figure.more_is_better,
        "signed": figure.signed,
    }


def _variant(view: View, place: int, known: dict[str, dict[int, float]]) -> dict[str, Any]:
    summary, estimate = view.summaries[place], view.summaries[place].accuracy
    values = {name: found[place] for name, found in known.items() if place in found}
    intervals = {"accuracy": view.interval(place), "macro_f1": view.analysis.macro_f1[place]}
    return {
        "name": view.key(place),
        "method": clean(summary.method),
        "shown": view.name(place),
        "front": place in view.useful,
        "seeds": estimate.n if estimate else 0,
        "values": values,
        "told": {name: _told(FIGURES[name], value, intervals.get(name)) for name, value in values.items()},
        "reach": {name: [found.low, found.high] for name, found in intervals.items() if found},
        "shares": {front.cost: front.shares[place] for front in view.analysis.fronts},
        "facets": {facet.name: list(facet.values(summary)) for facet in FACETS},
        "hyperparameters": {name: _value(value) for name, value in summary.hyperparameters.items()},
    }


def _told(figure: Figure, value: float, interval: Interval | None) -> str:
    return figure.write(value) + (f" ({span((interval.low, interval.high))})" if interval else "")


def _hyperparameters(view: View) -> list[str]:
    """Those that differ among the variants which have them."""
    values: dict[str, set[str]] = {}
    for summary in view.summaries:
        for name, value in summary.hyperparameters.items():
            values.setdefault(name, set()).add(stats.written(value))
    return sorted(name for name, found in values.items() if len(found) > 1)


def _value(value: object) -> float | str:
    """A number as it is, anything else as it is written on the command line."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else stats.written(value)


def _baseline(view: View) -> dict[str, Any] | None:
    found = view.analysis.comparison.baseline
    return {"name": BASELINE, "accuracy": found.accuracy, "macro_f1": found.macro_f1} if found else None
