"""Two stores side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import stats
from bench.errors import UsageError
from bench.reporting import provenance, tables, words
from bench.reporting.document import analyses
from bench.reporting.layout import Layout
from bench.reporting.model import Cell, Column, Row, Section, Unit, code, paragraph, strong
from bench.reporting.text import count, points

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from pathlib import Path

    from bench.reporting.model import Block, Paragraph, Table
    from bench.stats import Analysis, Interval, Summary
    from bench.store.files import Contents
    from bench.store.record import Record


@dataclass(frozen=True)
class Pair:
    """What two stores hold of the same backbone and splits: each variant's place in either, None where it isn't."""

    a: Analysis
    b: Analysis
    places: tuple[tuple[int | None, int | None], ...]

    @property
    def one_machine(self) -> bool:
        """Whether speed, memory and time of both are of the same machine."""
        return self.a.comparison.machine == self.b.comparison.machine

    def summaries(self, row: int) -> tuple[Summary | None, Summary | None]:
        """A row's variant in A and in B."""
        a, b = self.places[row]
        return (
            self.a.comparison.summaries[a] if a is not None else None,
            self.b.comparison.summaries[b] if b is not None else None,
        )

    def intervals(self, row: int) -> tuple[Interval | None, Interval | None]:
        """The intervals of its accuracies."""
        a, b = self.places[row]
        return self.a.accuracy[a] if a is not None else None, self.b.accuracy[b] if b is not None else None

    def difference(self, row: int) -> float | None:
        """B's mean accuracy minus A's."""
        a, b = self.summaries(row)
        return b.accuracy.mean - a.accuracy.mean if a and b and a.accuracy and b.accuracy else None

    def layout(self) -> Layout:
        """Names and order of the rows."""
        found = self.a.comparison
        merged = tuple(a or b for a, b in map(self.summaries, range(len(self.places))))
        records = (*found.records, *self.b.comparison.records)
        both = replace(found, records=records, summaries=tuple(filter(None, merged)))
        return Layout(stats.without_predictions(both))


def pairs(a: tuple[Path, Contents], b: tuple[Path, Contents]) -> list[Pair]:
    """Match what two stores hold, each a folder with its contents. Raises UsageError where nothing matches."""
    for folder, contents in (a, b):
        if not contents.records:
            raise UsageError(f"{folder} holds no record to compare")
    ours, theirs = (analyses(contents.records, folder) for folder, contents in (a, b))
    found = [_pair(one, other) for one in ours if (other := _counterpart(one, theirs))]
    if not found:
        raise UsageError(
            f"{a[0]} and {b[0]} can't be compared: {_reason(ours[0], theirs[0])}; --together reports them as two tasks"
        )
    return found


def _counterpart(one: Analysis, others: list[Analysis]) -> Analysis | None:
    same = [other for other in others if _setting(other) == _setting(one)]
    preset = one.comparison.newest.preset
    return min(same, key=lambda other: other.comparison.newest.preset != preset, default=None)


def _setting(analysis: Analysis) -> Hashable:
    record = analysis.comparison.newest
    return record.backbone.revision, record.data.fingerprint


def _reason(a: Analysis, b: Analysis) -> str:
    ours, theirs = a.comparison.newest, b.comparison.newest
    reasons = []
    if ours.backbone.revision != theirs.backbone.revision:
        reasons.append(f"another backbone ({_backbone(ours)} and {_backbone(theirs)})")
    if ours.data.fingerprint != theirs.data.fingerprint:
        reasons.append(f"other splits ({_splits(ours)} and {_splits(theirs)})")
    return f"they have {' and '.join(reasons)}"


def _backbone(record: Record) -> str:
    return f"{record.backbone.name} at {record.backbone.revision[:10]}"


def _splits(record: Record) -> str:
    return f"{record.data.name}, fingerprint {record.data.fingerprint[:10]}"


def _pair(a: Analysis, b: Analysis) -> Pair:
    ours, theirs = _by_variant(a), _by_variant(b)
    rows: list[tuple[int | None, int | None]] = [(place, theirs.get(variant)) for variant, place in ours.items()]
    rows += [(None, place) for variant, place in theirs.items() if variant not in ours]
    return Pair(a, b, tuple(rows))


def _by_variant(analysis: Analysis) -> Mapping[Hashable, int]:
    return {
        (summary.method, json.dumps(summary.hyperparameters, sort_keys=True), summary.training): place
        for place, summary in enumerate(analysis.comparison.summaries)
    }


def report(names: tuple[str, str], found: list[Pair]) -> Section:
    """The two stores, called A and B, side by side."""
    headings = words.headings([pair.a.comparison for pair in found])
    who = paragraph("A is ", code(names[0]), ", B is ", code(names[1]), ".")
    if len(found) == 1:
        return Section(f"Two stores – {headings[0]}", (who, *_blocks(found[0])), _below(found[0]))
    each = [Section(name, _blocks(pair), _below(pair)) for name, pair in zip(headings, found, strict=True)]
    return Section("Two stores", (who,), tuple(each))


def named_tables(found: list[Pair]) -> list[tuple[str, Table]]:
    """The tables alone, each with a heading."""
    return list(zip(words.headings([pair.a.comparison for pair in found]), map(table, found), strict=True))


def _blocks(pair: Pair) -> tuple[Block, ...]:
    return (_said(pair), table(pair), _reading(pair), *_machines(pair))


def _said(pair: Pair) -> Paragraph:
    layout = pair.layout()
    known = [(gap, row) for row in range(len(pair.places)) if (gap := pair.difference(row)) is not None]
    only = [sum(place[side] is None for place in pair.places) for side in (1, 0)]
    both = len(pair.places) - sum(only)
    held = f" {count(both)} of {count(len(pair.places))} variants stand in both; "
    held += f"{count(only[0])} only in A, {count(only[1])} only in B."
    if not known:
        return paragraph(strong("No variant has a result in both."), held)
    gap, row = max(known, key=lambda pair: abs(pair[0]))
    if gap == 0:
        return paragraph(strong("Every mean accuracy is the same in both."), held)
    most = strong(f"The largest difference in mean accuracy is {points(gap)} points (B minus A): {layout.label(row)}.")
    return paragraph(most, f"{held} The differences weren't tested: compare them with the intervals.")


def table(pair: Pair) -> Table:
    """Each variant's accuracy in A and in B, and its costs where they are of one machine."""
    layout = pair.layout()
    columns = [
        *layout.columns,
        *(Column(f"Accuracy {side}", Unit.SCORE) for side in "AB"),
        Column("B minus A", Unit.POINTS),
        *(Column(f"n {side}", Unit.COUNT) for side in "AB"),
    ]
    if pair.one_machine:
        columns += [
            replace(column, title=f"{column.title} {side}") for column in tables.MACHINE_COLUMNS for side in "AB"
        ]
    rows = {row: Row((*layout.cells(row), *_cells(pair, row))) for row in range(len(pair.places))}
    return layout.table(columns, rows)


def _cells(pair: Pair, row: int) -> list[Cell]:
    sides = pair.summaries(row)
    scores = [
        tables.score(summary.accuracy, interval) if summary else Cell()
        for summary, interval in zip(sides, pair.intervals(row), strict=True)
    ]
    seeds = [Cell(len(summary.runs)) if summary else Cell() for summary in sides]
    cells = [*scores, Cell(pair.difference(row)), *seeds]
    if pair.one_machine:
        absent = [Cell()] * len(tables.MACHINE_COLUMNS)
        a, b = (tables.machine_costs(summary) if summary else absent for summary in sides)
        cells += [cell for both in zip(a, b, strict=True) for cell in both]
    return cells


def _reading(pair: Pair) -> Paragraph:
    said = "Accuracy on the test split: mean ± standard deviation over n seeds"
    if any(pair.a.accuracy) or any(pair.b.accuracy):
        said += ", and in brackets the 95% interval of each by itself"
    return paragraph(f"{said}. The difference is in points.")


def _machines(pair: Pair) -> list[Block]:
    """What was made on different machines isn't put side by side."""
    a, b = pair.a.comparison.machine, pair.b.comparison.machine
    if pair.one_machine or a is None or b is None:
        return []
    said = "Speed, memory and time can't be compared, as the machines differ: A was made on "
    apart = [tables.elsewhere(Layout(side), machine) for side, machine in ((pair.a, a), (pair.b, b))]
    return [paragraph(said, code(words.machine(a)), ", B on ", code(words.machine(b)), "."), *apart]


def _below(pair: Pair) -> tuple[Section, ...]:
    a, b = (provenance.provenance(side.comparison) for side in (pair.a, pair.b))
    return Section("Where A comes from", (a,)), Section("Where B comes from", (b,))
