"""The report's tables of results, made from estimates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench import stats
from bench.labels import group_noun, label_noun
from bench.reporting import words
from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.reporting.text import count, told_apart
from bench.stats import Summary
from bench.store.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.labels import Noun
    from bench.reporting.layout import Layout
    from bench.stats import Analysis, Cost, Difference, Estimate, Interval, Machine, Outcomes

EPOCHS_SHOWN = 10
ALPHAS_SHOWN = 12
GROUPS_SHOWN = 20
"""So many styles or categories stand in a table; the others are folded away."""
CATEGORY_COLUMNS = 8
"""With more categories than this they are rows."""
VARIANT_COLUMNS = 6
"""Where styles or categories are rows, so many variants have a column."""
MANY_STYLES = 20
"""A picture has room for so many."""
CONFUSIONS = 100
"""So many of the most frequent mistakes are listed where a picture can't show all."""
COSTS: dict[Cost, str] = {
    "live_peak_bytes": "Memory (live tensors)",
    "trainable": "Trainable parameters",
    "train_s": "Training time",
    "eval_tokens_per_s": "Inference speed",
    "forgetting": "Forgetting",
    "train_joules": "Training energy",
}
WORTH_TELLING = 0.05
"""A share of draws on a Pareto front below this isn't listed."""

MACHINE_COLUMNS = (
    Column("Train tokens/s", Unit.PER_SECOND),
    Column("Infer tokens/s", Unit.PER_SECOND),
    Column("Peak memory", Unit.BYTES),
    Column("Train time", Unit.SECONDS),
)
_OF_MACHINE = ("train_tokens_per_s", "eval_tokens_per_s", "peak_bytes", "train_s")
FORGETTING = Column("Forgetting", Unit.NATS)
_COST_COLUMNS = (
    ("trainable", Column("Trainable", Unit.COUNT)),
    ("trainable_share", Column("Share", Unit.SHARE)),
    *zip(_OF_MACHINE, MACHINE_COLUMNS, strict=True),
    ("live_peak_bytes", Column("Live tensors", Unit.BYTES)),
    ("adapter_bytes", Column("Adapter", Unit.BYTES)),
    ("forgetting", FORGETTING),
    ("train_joules", Column("Energy", Unit.JOULES)),
)


def comparison(layout: Layout) -> Table:
    """Every variant with its quality and the costs that are known, the top group marked; the baselines at their places.

    A cost that no variant's records tell has no column: speeds, where all runs shared the machine with others.
    """
    analysis = layout.analysis
    costs = [
        (name, column)
        for name, column in _COST_COLUMNS
        if any(getattr(summary, name) is not None for summary in layout.summaries)
    ]
    columns = [
        *layout.columns,
        Column("Accuracy", Unit.SCORE),
        Column("Macro-F1", Unit.SCORE),
        Column("n", Unit.COUNT),
        *(column for _, column in costs),
    ]
    rows = {
        place: Row(
            (
                *layout.cells(place, f" {words.TOP}" if place in analysis.top else ""),
                score(summary.accuracy, analysis.accuracy[place]),
                score(summary.macro_f1, analysis.macro_f1[place]),
                _n(summary),
                *_means(*(getattr(summary, name) for name, _ in costs)),
            )
        )
        for place, summary in enumerate(layout.summaries)
    }
    return layout.table(columns, rows, _baselines(analysis, columns))


def metrics(layout: Layout) -> Table | None:
    """Every further metric that some variant's records have, None where there is none but the loss."""
    names = [name for name in METRICS if name not in ("accuracy", "macro_f1")]
    known = [name for name in names if any(summary.metric(name) for summary in layout.summaries)]
    if known in ([], ["loss"]):  # older records tell no more
        return None
    columns = (
        *layout.columns,
        *(Column(METRICS[name].title, Unit.NATS if name == "loss" else Unit.SCORE) for name in known),
    )
    rows = {
        place: Row((*layout.cells(place), *(score(summary.metric(name)) for name in known)))
        for place, summary in enumerate(layout.summaries)
        if summary.accuracy
    }
    return layout.table(columns, rows)


def machine_costs(summary: Summary) -> list[Cell]:
    """What depends on the machine, the cells under `MACHINE_COLUMNS`."""
    return _means(*(getattr(summary, name) for name in _OF_MACHINE))


def _means(*found: Estimate | None) -> list[Cell]:
    return [Cell(cost.mean) if cost else Cell() for cost in found]


def score(found: Estimate | None, interval: Interval | None = None) -> Cell:
    """The cell of an estimate, with its interval where that is known."""
    if found is None:
        return Cell()
    return Cell(found.mean, found.sd, interval=(interval.low, interval.high) if interval else None)


def _n(summary: Summary) -> Cell:
    done, asked = len(summary.runs), len(summary.runs) + len(summary.failed)
    return Cell(done, mark=f" of {asked}" if summary.failed else "")


def _baselines(analysis: Analysis, columns: Sequence[Column]) -> list[tuple[float, Row]]:
    """The accuracy and the row of each baseline: few of the columns apply to what no seed moves and no adapter has."""
    majority, ngrams = analysis.comparison.majority, analysis.comparison.baseline
    told = [
        (
            majority.accuracy,
            {
                "Method": Cell(words.MAJORITY),
                "Accuracy": Cell(majority.accuracy),
                "Macro-F1": Cell(majority.macro_f1),
            },
        )
    ]
    if ngrams is not None:
        accuracy, macro_f1 = stats.Estimate(ngrams.accuracy, None, 1), stats.Estimate(ngrams.macro_f1, None, 1)
        against = analysis.against_baseline
        told.append(
            (
                ngrams.accuracy,
                {
                    "Method": Cell(words.BASELINE),
                    "Accuracy": score(accuracy, against.accuracy if against else None),
                    "Macro-F1": score(macro_f1, against.macro_f1 if against else None),
                    "Train time": Cell(ngrams.fit_s),
                },
            )
        )
    return [
        (accuracy, Row(tuple(cells.get(column.title, Cell()) for column in columns), baseline=True))
        for accuracy, cells in told
    ]


def elsewhere(layout: Layout, machine: Machine) -> Table:
    """Speed, memory and time of the runs on one machine, folded away as a footnote."""
    rows = []
    for place in layout.order:
        there = replace(layout.summaries[place], machine=machine)
        runs = len(there.timed)
        if runs:
            cells = (*layout.cells(place), Cell(runs), *machine_costs(there))
            rows.append(Row(cells, variant=layout.key(place)))
    columns = (*layout.columns, Column("n", Unit.COUNT), *MACHINE_COLUMNS)
    return Table(columns, tuple(rows), shown=0, rest=f"Speed, memory and time on {words.machine(machine)}")


def losses(layout: Layout, sweep: Sequence[Summary]) -> Table:
    """Accuracy and mean validation loss by epoch at each alpha, with a mark where the loss first rises."""
    turns = [stats.turned_up(summary.validation_loss) for summary in sweep]
    epochs = _shown(sorted({epoch for s in sweep for epoch in s.validation_loss}), turns)
    columns = (
        Column("alpha", Unit.COUNT),
        Column("Accuracy", Unit.SCORE),
        Column("n", Unit.COUNT),
        *(Column(_epoch(epoch), Unit.NATS) for epoch in epochs),
        Column("Turned up"),
    )
    rows = tuple(
        Row(
            (
                *(_alpha(summary), _accuracy(layout, summary), _n(summary)),
                *(_loss(summary, epoch, turn) for epoch in epochs),
                _turn(summary, turn),
            ),
            variant=layout.key(layout.place(summary)),
        )
        for summary, turn in zip(sweep, turns, strict=True)
    )
    return _folded(columns, rows, ALPHAS_SHOWN, "alphas")


def validation_accuracies(layout: Layout, sweep: Sequence[Summary]) -> Table:
    """Mean accuracy on the validation split by epoch at each alpha."""
    epochs = _shown(sorted({epoch for s in sweep for epoch in s.validation_loss}), ())
    columns = (Column("alpha", Unit.COUNT), *(Column(_epoch(epoch), Unit.SCORE) for epoch in epochs))
    rows = tuple(
        Row(
            (_alpha(summary), *(score(_validation_accuracy(summary, epoch)) for epoch in epochs)),
            variant=layout.key(layout.place(summary)),
        )
        for summary in sweep
    )
    return _folded(columns, rows, ALPHAS_SHOWN, "alphas")


def _validation_accuracy(summary: Summary, epoch: int) -> Estimate | None:
    if epoch not in summary.validation_loss:
        return None
    epochs = [found for run in summary.runs if run.quality for found in run.quality.epochs]
    return stats.estimate(found.validation_accuracy for found in epochs if found.epoch == epoch)


def rates(layout: Layout, sweeps: Sequence[Sequence[Summary]]) -> Table:
    """Test accuracy by alpha and learning rate, one column a rate."""
    by_rate = {words.learning_rate(sweep[0]): {_alpha(s).value: s for s in sweep} for sweep in sweeps}
    alphas = dict.fromkeys(_alpha(s).value for s in sorted((s for w in sweeps for s in w), key=words.alpha))
    columns = (Column("alpha", Unit.COUNT), *(Column(f"learning rate {rate}", Unit.SCORE) for rate in by_rate))
    rows = tuple(
        Row(
            (
                Cell(alpha),
                *(
                    _accuracy(layout, found[alpha], marked=True) if alpha in found else Cell()
                    for found in by_rate.values()
                ),
            )
        )
        for alpha in alphas
    )
    return _folded(columns, rows, ALPHAS_SHOWN, "alphas")


def _accuracy(layout: Layout, summary: Summary, *, marked: bool = False) -> Cell:
    place = layout.place(summary)
    mark = f" {words.TOP}" if marked and place in layout.analysis.top else ""
    return replace(score(summary.accuracy, layout.analysis.accuracy[place]), mark=mark)


def _folded(columns: tuple[Column, ...], rows: tuple[Row, ...], shown: int, noun: str) -> Table:
    if len(rows) <= shown:
        return Table(columns, rows)
    return Table(columns, rows, shown, f"{len(rows) - shown} more {noun}")


def _alpha(summary: Summary) -> Cell:
    return Cell(str(summary.hyperparameters["alpha"]))


def _epoch(epoch: int) -> str:
    return "before" if epoch == 0 else f"epoch {epoch}"


def _loss(summary: Summary, epoch: int, turn: int | None) -> Cell:
    found = summary.validation_loss.get(epoch)
    return Cell(found.mean, mark=f" {words.TURN}" if epoch == turn else "") if found else Cell()


def _turn(summary: Summary, turn: int | None) -> Cell:
    if len(summary.validation_loss) < 2:
        return Cell()
    return Cell("no" if turn is None else f"epoch {turn}")


def _shown(epochs: Sequence[int], turns: Iterable[int | None]) -> list[int]:
    """Every epoch, or evenly spaced ones where they are many; the last and those with a mark always."""
    step = max(1, -(-len(epochs) // EPOCHS_SHOWN))
    kept = {*epochs[::step], *epochs[-1:], *(turn for turn in turns if turn is not None)}
    return sorted(kept)


def categories(layout: Layout) -> Table | None:
    """Accuracy within each category, None where there is no more than one.

    Few categories are columns, beside every variant; many are rows, for the first few variants.
    """
    examples = {
        name: group.examples
        for summary in layout.summaries
        for run in summary.runs
        if run.quality
        for name, group in run.quality.test.per_category.items()
    }
    if len(examples) < 2:
        return None
    ordered = {name: examples[name] for name in sorted(examples, key=lambda name: (-examples[name], name))}
    if len(ordered) > CATEGORY_COLUMNS:
        noun = group_noun(layout.analysis.comparison.newest.data.group)
        return _groups_as_rows(layout, ordered, Summary.category_accuracy, noun)
    written = told_apart(ordered)
    columns = [*layout.columns, *(Column(f"{written[n]} ({count(examples[n])})", Unit.SCORE) for n in ordered)]
    rows = {
        place: Row((*layout.cells(place), *(score(summary.category_accuracy(name)) for name in ordered)))
        for place, summary in enumerate(layout.summaries)
        if summary.accuracy
    }
    return layout.table(columns, rows)


def styles(layout: Layout) -> Table | None:
    """The share of each style's passages that the first few variants recognise, None where no style is told."""
    scored = [run.quality.test.per_style for p in _first(layout) for run in layout.summaries[p].runs if run.quality]
    examples = {name: found.examples for per_style in scored for name, found in per_style.items()}
    if not examples:
        return None
    data = layout.analysis.comparison.newest.data
    ordered = {name: examples[name] for name in data.styles if name in examples}
    return _groups_as_rows(layout, ordered, _style, label_noun(data.label))


def _first(layout: Layout) -> list[int]:
    """The variants that have a column where columns are few."""
    return [place for place in layout.order if layout.summaries[place].accuracy][:VARIANT_COLUMNS]


def _groups_as_rows(
    layout: Layout,
    examples: Mapping[str, int],
    estimate: Callable[[Summary, str], Estimate | None],
    noun: Noun,
) -> Table:
    """A row for each name in `examples`, which has its number of passages, and a column for each of a few variants."""
    first, written = _first(layout), told_apart(examples)
    columns = (
        Column(noun.one.capitalize()),
        *(Column(layout.label(place), Unit.SCORE, variant=layout.key(place)) for place in first),
    )
    rows = tuple(
        Row(
            (
                Cell(written[name], mark=f" ({count(number)})"),
                *(score(estimate(layout.summaries[place], name)) for place in first),
            )
        )
        for name, number in examples.items()
    )
    return _folded(columns, rows, GROUPS_SHOWN, noun.many)


def _style(summary: Summary, name: str) -> Estimate | None:
    found = [run.quality.test.per_style.get(name) for run in summary.runs if run.quality]
    return stats.estimate(scores.accuracy for scores in found if scores)


def confusions(outcomes: Outcomes, noun: Noun) -> Table | None:
    """Which styles are most often taken for which, over all seeds; None where no mistake was made."""
    mistakes = outcomes.confusions * (1 - np.eye(len(outcomes.styles), dtype=int))
    passages = outcomes.confusions.sum(axis=1)
    written = told_apart(outcomes.styles)
    pairs = [divmod(int(place), len(outcomes.styles)) for place in np.argsort(-mistakes, axis=None, kind="stable")]
    rows = tuple(
        Row(
            (
                Cell(written[outcomes.styles[true]], mark=f" ({count(passages[true] / len(outcomes.seeds))})"),
                Cell(written[outcomes.styles[named]]),
                Cell(float(mistakes[true, named] / passages[true])),
            )
        )
        for true, named in pairs[:CONFUSIONS]
        if mistakes[true, named]
    )
    columns = (Column(noun.one.capitalize()), Column("taken for"), Column("Share of its passages", Unit.SCORE))
    return _folded(columns, rows, GROUPS_SHOWN, "of the most frequent") if rows else None


def differences(layout: Layout, differences: Sequence[Difference | None]) -> Table | None:
    """Each variant's accuracy minus another, by place, None where there is no difference to tell."""
    rows = {
        place: Row(
            (
                *layout.cells(place),
                Cell(found.mean, interval=(found.interval.low, found.interval.high)),
                *(Cell(found.p), Cell(found.p_adjusted), Cell(found.verdict)),
            )
        )
        for place, found in enumerate(differences)
        if found
    }
    if not rows:
        return None
    p_values = (Column("p", Unit.P_VALUE), Column("Adjusted p", Unit.P_VALUE))
    return layout.table((*layout.columns, Column("Difference", Unit.POINTS), *p_values, Column("Verdict")), rows)


def fronts(layout: Layout) -> Table | None:
    """For each cost, in which share of draws a variant is on the Pareto front; None where there is no front."""
    found = [front for front in layout.analysis.fronts if front.members]
    if not found:
        return None
    listed = [
        place
        for place in layout.order
        if any(place in front.members or (front.shares[place] or 0) >= WORTH_TELLING for front in found)
    ]
    columns = (*layout.columns, *(Column(COSTS[front.cost], Unit.SCORE) for front in found))
    rows = {
        place: Row(
            (
                *layout.cells(place),
                *(Cell(f.shares[place], mark=f" {words.TOP}" if place in f.members else "") for f in found),
            )
        )
        for place in listed
    }
    return layout.table(columns, rows)
