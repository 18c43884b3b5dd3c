"""A comparison as pictures see it: what variants are called, which stand out, and what is said of each."""

from __future__ import annotations

import html
from functools import cached_property
from typing import TYPE_CHECKING

from bench.reporting.layout import Layout
from bench.reporting.text import clean, score, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stats import Analysis, Estimate, Interval

SHORT = 44
"""A name in a picture has at most so many characters."""
STANDING_OUT = 6
"""So many lines a reader can tell apart by colour; the others are grey."""


class View:
    """An analysis with the names of its variants; places are those of the comparison's summaries."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.summaries = analysis.comparison.summaries
        self.majority = analysis.comparison.majority.accuracy
        ngrams = analysis.comparison.baseline
        self.ngrams = ngrams.accuracy if ngrams else None
        self._layout = Layout(analysis)

    def name(self, place: int, without: str | None = None) -> str:
        """Name a variant within a picture's width, but for the hyperparameter `without`."""
        return clean(self._layout.label(place, without), SHORT)

    def key(self, place: int) -> str:
        """The name by which a page knows a variant in all its tables and pictures."""
        return self._layout.key(place)

    def names(self, places: Sequence[int], limit: int = 8) -> str:
        """List the variants' names, the first of many."""
        shown = ", ".join(map(self.name, places[:limit]))
        return f"{shown} and {len(places) - limit} more" if len(places) > limit else shown

    @cached_property
    def scored(self) -> list[int]:
        """The variants with a result, the highest mean accuracy first."""
        return [place for place, summary in enumerate(self.summaries) if summary.accuracy]

    @cached_property
    def useful(self) -> list[int]:
        """Those of them that are known to do better than the majority class."""
        return [place for place in self.scored if self.analysis.above_majority[place]]

    def estimate(self, place: int) -> Estimate:
        """The accuracy of a variant with a result."""
        found = self.summaries[place].accuracy
        if found is None:
            raise ValueError(f"variant {place} has no result")
        return found

    def mean(self, place: int) -> float:
        """Its mean accuracy, 0 to 1."""
        return self.estimate(place).mean

    def interval(self, place: int) -> Interval | None:
        """The 95% interval of its accuracy, where its predictions are known."""
        return self.analysis.accuracy[place]

    def reach(self, place: int) -> tuple[float, float]:
        """How far in points the interval reaches below and above the mean: 0 where there is none."""
        interval, mean = self.interval(place), self.mean(place)
        return (100 * (mean - interval.low), 100 * (interval.high - mean)) if interval else (0.0, 0.0)

    def figure(self, place: int) -> str:
        """Write the accuracy with its interval."""
        interval = self.interval(place)
        return score(self.mean(place)) + (f" ({span((interval.low, interval.high))})" if interval else "")

    def outstanding(self, places: Sequence[int]) -> list[int]:
        """Choose which are told apart by colour: every method's best, then what comes next by accuracy."""
        best: dict[str, int] = {}
        for place in places:
            best.setdefault(self.summaries[place].method, place)
        first = set(best.values())
        return sorted(sorted(places, key=lambda place: place not in first)[:STANDING_OUT])

    def hover(self, place: int, *lines: str) -> str:
        """Say what a point is: the variant, its accuracy with interval, its seeds, and more lines."""
        seeds = self.estimate(place).n
        said = [f"accuracy {self.figure(place)}, {seeds} seed{'s' * (seeds > 1)}", *lines]
        return "<br>".join([f"<b>{safe(self.name(place))}</b>", *map(safe, said)])


def safe(text: str) -> str:
    """Return any text so that plotly, which knows a little HTML, mathematics and templates, shows it as it is."""
    return html.escape(clean(text), quote=False).replace("$", "&#36;").replace("%{", "&#37;{")
