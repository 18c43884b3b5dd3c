"""The report's tables on where the figures come from, and what is missing."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from bench import stats
from bench.labels import group_noun, label_noun
from bench.reporting import words
from bench.reporting.model import Cell, Column, Row, Table
from bench.reporting.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bench.reporting.layout import Layout
    from bench.stats import Comparison
    from bench.store.record import Record


def failures(layout: Layout) -> Table:
    """The runs without a result and why; seeds that failed alike share a row."""
    columns = (*layout.columns, Column("Seeds"), Column("Status"), Column("Why", limit=300))
    rows = []
    for place in layout.order:
        summary = layout.summaries[place]
        for (status, why), runs in groupby(sorted(summary.failed, key=_cause), key=_cause):
            seeds = ", ".join(str(run.seed) for run in runs)
            rows.append(Row((*layout.cells(place), Cell(seeds), Cell(status), Cell(why)), variant=layout.key(place)))
    return Table(columns, tuple(rows))


def notes(layout: Layout) -> Table | None:
    """What good runs' records note: figures that they lack, and why, and where a run didn't repeat itself; or None."""
    columns = (*layout.columns, Column("Seeds"), Column("What the record notes", limit=300))
    rows = []
    for place in layout.order:
        noted = sorted((note, run.seed) for run in layout.summaries[place].runs for note in run.notes)
        for note, same in groupby(noted, key=lambda pair: pair[0]):
            seeds = ", ".join(str(seed) for _, seed in same)
            rows.append(Row((*layout.cells(place), Cell(seeds), Cell(note)), variant=layout.key(place)))
    return Table(columns, tuple(rows)) if rows else None


def _cause(run: Record) -> tuple[str, str]:
    if run.status == "ok":
        return "ok", "the record holds no test figures"
    if run.error is None:
        return run.status, "the record doesn't say"
    return run.status, ": ".join(part for part in (run.error.type, run.error.message) if part)


def unreadable(files: Iterable[tuple[Path, str]]) -> Table:
    """The files that couldn't be read as records, and why."""
    rows = tuple(Row((Cell(path.name), Cell(why))) for path, why in files)
    return Table((Column("File"), Column("Why", limit=300)), rows)


def provenance(found: Comparison) -> Table:
    """Where the figures come from. What isn't the same in every record lists each value."""
    facts: dict[str, Callable[[Record], str]] = {
        "Backbone": _backbone,
        "Splits": _splits,
        "Passages": _passages,
        "Training": _training,
        "Machine": _machine,
        "Versions": _versions,
        "Code": _code,
    }
    rows = [(name, "; ".join(dict.fromkeys(map(fact, found.records)))) for name, fact in facts.items()]
    rows[4:4] = _fixed(found)
    made = dict.fromkeys(words.moment(run.created_at) for run in (found.records[0], found.newest))
    rows.append(("Made", " to ".join(made)))
    columns = (Column("", limit=60), Column("", limit=1000))
    return Table(columns, tuple(Row((Cell(name), Cell(text))) for name, text in rows))


def _backbone(record: Record) -> str:
    backbone = record.backbone
    parameters = f", {count(backbone.parameters)} parameters" if backbone.parameters else ""
    new = f", {', '.join(backbone.new_parts)} not pretrained" if backbone.new_parts else ""
    return f"{backbone.name} ({backbone.source}), revision {backbone.revision}{parameters}{new}"


def _splits(record: Record) -> str:
    data = record.data
    revision = f", revision {data.revision}" if data.revision else ""
    return f"{data.name} ({data.source}){revision}, fingerprint {data.fingerprint}"


def _passages(record: Record) -> str:
    data, sizes = record.data, record.data.sizes
    said = f"{count(sizes.train)} train, {count(sizes.validation)} validation, {count(sizes.test)} test; "
    said += f"{len(data.styles)} {label_noun(data.label).many}"
    if data.categories:
        said += f" in {len(data.categories)} {group_noun(data.group).many}"
    if data.duplicates:
        said += f"; {count(data.duplicates)} texts stand in more than one split"
    if data.repeated and (repeated := data.repeated.model_dump()) and any(repeated.values()):
        listed = ", ".join(f"{count(number)} of {split}" for split, number in repeated.items() if number)
        said += f"; texts that stand earlier in the same split: {listed}"
    if data.truncated:
        said += f"; {count(data.truncated)} cut at {data.max_length} tokens"
    return said


def _training(record: Record) -> str:
    training = record.training
    steps = f", at most {count(training.max_steps)} steps" if training.max_steps else ""
    return (
        f"{training.epochs} epochs{steps}, batch size {training.batch_size}, at most {record.data.max_length} "
        f"tokens, {training.dtype} on {training.device}, weight decay {training.weight_decay:g}, "
        f"warm-up {100 * training.warmup_share:g}%"
    )


def _machine(record: Record) -> str:
    environment = record.environment
    gpu = f", {environment.gpu}" if environment.gpu else ""
    return f"{environment.cpu}{gpu}, {stats.Machine.of(record).threads} threads, {environment.platform}"


def _versions(record: Record) -> str:
    names = ("python", "torch", "transformers", "peft")
    return ", ".join(f"{name} {getattr(record.environment, name)}" for name in names)


def _code(record: Record) -> str:
    environment = record.environment
    if environment.git_commit is None:
        return "commit unknown"
    return f"commit {environment.git_commit}" + (", with changes of its own" if environment.git_dirty else "")


def _fixed(found: Comparison) -> list[tuple[str, str]]:
    """For each method, the hyperparameters that are the same in all its runs."""
    differing = stats.differing_hyperparameters(found.summaries)
    rows = []
    for method in sorted(differing):
        values = next(s.hyperparameters for s in found.summaries if s.method == method)
        fixed = words.hyperparameters(values, [name for name in values if name not in differing[method]])
        if fixed:
            rows.append((f"{method}, always", fixed))
    return rows
