"""The report's tables, made from estimates."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from bench import stats
from bench.reporting import words
from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.reporting.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from bench.record import Record
    from bench.stats import Comparison, Estimate, Summary

EPOCHS_SHOWN = 10


class Names:
    """What tells the summaries of a comparison apart, and so what the rows of its tables are called."""

    def __init__(self, summaries: Sequence[Summary]) -> None:
        self.differing = stats.differing_hyperparameters(summaries)
        self.settings = stats.differing_settings(summaries)

    @property
    def columns(self) -> list[Column]:
        """The method with its hyperparameters that differ, and the training settings where those differ."""
        return [Column("Method"), Column("Training")] if self.settings else [Column("Method")]

    def cells(self, summary: Summary) -> list[Cell]:
        """The cells under `columns`."""
        cells = [Cell(words.variant(summary, self.differing[summary.method]))]
        if self.settings:
            cells.append(Cell(words.settings(summary, self.settings)))
        return cells

    def label(self, summary: Summary) -> str:
        """The same in one text."""
        return " ".join(str(cell.value) for cell in self.cells(summary) if cell.value)


def comparison(found: Comparison) -> Table:
    """Every variant with its quality and its cost, and the majority baseline at its place by accuracy."""
    names = Names(found.summaries)
    columns = [
        *names.columns,
        Column("Accuracy", Unit.SCORE),
        Column("Macro-F1", Unit.SCORE),
        Column("n", Unit.COUNT),
        Column("Trainable", Unit.COUNT),
        Column("Share", Unit.SHARE),
        Column("Train tokens/s", Unit.PER_SECOND),
        Column("Infer tokens/s", Unit.PER_SECOND),
        Column("Peak memory", Unit.BYTES),
        Column("Train time", Unit.SECONDS),
    ]
    rows = [Row((*names.cells(summary), *_figures(summary))) for summary in found.summaries]
    better = sum(s.accuracy is not None and s.accuracy.mean > found.majority.accuracy for s in found.summaries)
    rows.insert(better, _majority(found, len(names.columns), len(columns)))
    return Table(tuple(columns), tuple(rows))


def _figures(summary: Summary) -> list[Cell]:
    costs = [
        *(summary.trainable, summary.trainable_share, summary.train_tokens_per_s),
        *(summary.eval_tokens_per_s, summary.peak_bytes, summary.train_s),
    ]
    return [_score(summary.accuracy), _score(summary.macro_f1), _n(summary), *map(_mean, costs)]


def _score(found: Estimate | None) -> Cell:
    return Cell(found.mean, found.sd) if found else Cell()


def _mean(found: Estimate | None) -> Cell:
    return Cell(found.mean) if found else Cell()


def _n(summary: Summary) -> Cell:
    done, asked = len(summary.runs), len(summary.runs) + len(summary.failed)
    return Cell(done, mark=f" of {asked}" if summary.failed else "")


def _majority(found: Comparison, named: int, width: int) -> Row:
    scores = [Cell(found.majority.accuracy), Cell(found.majority.macro_f1)]
    cells = [Cell("majority class"), *[Cell()] * (named - 1), *scores]
    return Row((*cells, *[Cell()] * (width - len(cells))), baseline=True)


def alpha(sweep: Sequence[Summary]) -> Table:
    """Accuracy and mean validation loss by epoch at each alpha, with a mark where the loss first rises."""
    turns = [stats.turned_up(summary.validation_loss) for summary in sweep]
    epochs = _shown(sorted({epoch for s in sweep for epoch in s.validation_loss}), turns)
    columns = [
        Column("alpha", Unit.COUNT),
        Column("Accuracy", Unit.SCORE),
        Column("n", Unit.COUNT),
        *(Column("before" if epoch == 0 else f"epoch {epoch}", Unit.NATS) for epoch in epochs),
        Column("Turned up"),
    ]
    rows = [
        Row(
            (
                Cell(str(summary.hyperparameters["alpha"])),
                *(_score(summary.accuracy), _n(summary)),
                *(_loss(summary, epoch, turn) for epoch in epochs),
                _turn(summary, turn),
            )
        )
        for summary, turn in zip(sweep, turns, strict=True)
    ]
    return Table(tuple(columns), tuple(rows))


def _loss(summary: Summary, epoch: int, turn: int | None) -> Cell:
    found = summary.validation_loss.get(epoch)
    return Cell(found.mean, mark=f" {words.TURN}" if epoch == turn else "") if found else Cell()


def _turn(summary: Summary, turn: int | None) -> Cell:
    if len(summary.validation_loss) < 2:
        return Cell()
    return Cell("no" if turn is None else f"epoch {turn}")


def _shown(epochs: Sequence[int], turns: Iterable[int | None]) -> list[int]:
    """Every epoch, or evenly spaced ones where they are many; the last and those with a mark always."""
    step = -(-len(epochs) // EPOCHS_SHOWN)
    kept = {*epochs[::step], *epochs[-1:], *(turn for turn in turns if turn is not None)}
    return sorted(kept)


def categories(found: Comparison) -> Table | None:
    """Accuracy within each category, None where there is no more than one."""
    scored = [summary for summary in found.summaries if summary.accuracy]
    examples = {
        name: group.examples
        for summary in scored
        for run in summary.runs
        if run.quality
        for name, group in run.quality.test.per_category.items()
    }
    if len(examples) < 2:
        return None
    names = Names(found.summaries)
    ordered = sorted(examples, key=lambda name: (-examples[name], name))
    columns = [Column(f"{name} ({count(examples[name])})", Unit.SCORE) for name in ordered]
    rows = [Row((*names.cells(s), *(_score(s.category_accuracy(name)) for name in ordered))) for s in scored]
    return Table((*names.columns, *columns), tuple(rows))


def failures(found: Comparison) -> Table:
    """The runs without a result and why; seeds that failed alike share a row."""
    names = Names(found.summaries)
    columns = (*names.columns, Column("Seeds"), Column("Status"), Column("Why", limit=300))
    rows = []
    for summary in found.summaries:
        for (status, why), runs in groupby(sorted(summary.failed, key=_cause), key=_cause):
            seeds = ", ".join(str(run.seed) for run in runs)
            rows.append(Row((*names.cells(summary), Cell(seeds), Cell(status), Cell(why))))
    return Table(columns, tuple(rows))


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
    return f"{backbone.name} ({backbone.source}), revision {backbone.revision}{parameters}"


def _splits(record: Record) -> str:
    data = record.data
    revision = f", revision {data.revision}" if data.revision else ""
    return f"{data.name} ({data.source}){revision}, fingerprint {data.fingerprint}"


def _passages(record: Record) -> str:
    data, sizes = record.data, record.data.sizes
    said = f"{count(sizes.train)} train, {count(sizes.validation)} validation, {count(sizes.test)} test; "
    said += f"{len(data.styles)} styles in {len(data.categories)} categories"
    if data.duplicates:
        said += f"; {count(data.duplicates)} texts stand in more than one split"
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
    return f"{environment.cpu}{gpu}, {record.training.threads} threads, {environment.platform}"


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
