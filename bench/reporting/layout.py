"""What a comparison's variants are called and in which order they stand, the same in every table and sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench import stats
from bench.reporting import words
from bench.reporting.model import Cell, Column, Table
from bench.reporting.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.reporting.model import Row
    from bench.stats import Analysis, Summary

MANY = 15
"""So many variants stand in a table, or more where more are on a Pareto front; the others are folded away."""


class Layout:
    """The names of the variants, by their place in the comparison, and their order in tables.

    Few variants stand by their mean accuracy, as in the comparison. Many stand by the lower end of their interval,
    those on a Pareto front first; `shown` holds the first of these, and is empty where nothing is folded.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.summaries = analysis.comparison.summaries
        self._differing = stats.differing_hyperparameters(self.summaries)
        self.settings = stats.differing_settings(self.summaries)
        self.shown: frozenset[int] = frozenset()
        self.rest = ""
        self.order = list(range(len(self.summaries)))
        if len(self.summaries) > MANY:
            on_fronts = frozenset[int]().union(*(front.members for front in analysis.fronts))
            self.order.sort(key=lambda place: (place not in on_fronts, *self._lower_end(place)))
            self.shown = frozenset(self.order[: max(MANY, len(on_fronts))])
            self.rest = "more, none of them on a Pareto front" if on_fronts else "more"

    def _lower_end(self, place: int) -> tuple[bool, float, int]:
        interval = self.analysis.accuracy[place]
        return interval is None, -interval.low if interval else 0.0, place

    def place(self, summary: Summary) -> int:
        """Where a summary of the comparison stands in it."""
        return next(place for place, found in enumerate(self.summaries) if found is summary)

    @property
    def columns(self) -> list[Column]:
        """The method with its hyperparameters that differ, and the training settings where those differ."""
        return [Column("Method"), Column("Training")] if self.settings else [Column("Method")]

    def cells(self, place: int, mark: str = "") -> list[Cell]:
        """The cells under `columns`."""
        summary = self.summaries[place]
        cells = [Cell(words.variant(summary, self._differing[summary.method]), mark=mark)]
        if self.settings:
            cells.append(Cell(words.settings(summary, self.settings)))
        return cells

    def label(self, place: int, without: str | None = None) -> str:
        """The same in one text, but for the hyperparameter `without`."""
        summary = self.summaries[place]
        names = [name for name in self._differing[summary.method] if name != without]
        return " ".join(filter(None, (words.variant(summary, names), words.settings(summary, self.settings))))

    def key(self, place: int) -> str:
        """The name by which a page knows a variant in all its tables and pictures."""
        return clean(self.label(place))

    def table(
        self, columns: Iterable[Column], rows: Mapping[int, Row], baselines: Sequence[tuple[float, Row]] = ()
    ) -> Table:
        """Put the rows in order, by their variant's place, and fold away what isn't shown.

        Each of the baselines, an accuracy and a row, stands below the variants whose mean accuracy is higher.
        """
        ordered = [place for place in self.order if place in rows]
        shown = [place for place in ordered if place in self.shown]
        found = [replace(rows[place], variant=self.key(place)) for place in ordered]
        scores = [self.summaries[place].accuracy for place in (shown or ordered)]
        for accuracy, row in sorted(baselines, key=lambda baseline: baseline[0]):  # one that is put in moves the later
            found.insert(sum(score is not None and score.mean > accuracy for score in scores), row)
        table = Table(tuple(columns), tuple(found))
        rest = len(ordered) - len(shown)
        if not self.shown or not rest:
            return table
        return replace(table, shown=len(found) - rest, rest=f"{rest} {self.rest}")
