"""The report itself: which sections a store's records make, in the order in which a reader needs them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench import stats
from bench.errors import UsageError
from bench.labels import group_noun, label_noun
from bench.reporting import capabilities, provenance, searches, sweeps, tables, words
from bench.reporting import curves as by_train_size
from bench.reporting import overall as across
from bench.reporting.answer import answer
from bench.reporting.layout import Layout
from bench.reporting.model import Cell, Code, Column, Row, Section, Table, code, paragraph, strong
from bench.reporting.reading import reading
from bench.reporting.text import count

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from pathlib import Path

    from bench.reporting.model import Block, Paragraph
    from bench.stats import Analysis, Comparison
    from bench.store.files import Contents
    from bench.store.record import Record

COMMANDS_SHOWN = 5


def comparison(records: Iterable[Record]) -> list[tuple[str, Table]]:
    """The comparison tables by the records alone, the newest first, and last what holds over all; with headings."""
    return comparison_tables([stats.without_predictions(found) for found in stats.comparisons(records)])


def comparison_tables(analyses: list[Analysis]) -> list[tuple[str, Table]]:
    """The comparison table of each analysis with a heading that tells it from the others; what holds over several."""
    headings = words.headings([analysis.comparison for analysis in analyses])
    found = [(name, tables.comparison(Layout(analysis))) for name, analysis in zip(headings, analyses, strict=True)]
    by_size = stats.curves(analyses)
    found += [(by_train_size.title(one, len(by_size) > 1), by_train_size.accuracies(one)) for one in by_size]
    over = stats.over_tasks(analyses)
    if over and over.contenders:
        found.append((across.title(over), across.ranking(over)))
    return found


def analyses(records: Iterable[Record], folder: Path | None, reference: str | None = None) -> list[Analysis]:
    """Analyse each set of records that can be compared, the newest first; without a folder by the records alone.

    Raises UsageError where no set holds the reference.
    """
    found = stats.comparisons(records)
    if folder is None:
        return [stats.without_predictions(one) for one in found]
    refused: list[UsageError] = []
    analysed = []
    for one in found:
        try:
            analysed.append(stats.analyse(one, folder, reference))
        except UsageError as error:
            refused.append(error)
            analysed.append(stats.analyse(one, folder))
    if refused and len(refused) == len(found):
        raise refused[0]
    return analysed


def together(stores: Sequence[tuple[Path, Contents]], reference: str | None = None) -> list[Analysis]:
    """Analyse what several stores hold, a task each, the newest first.

    Raises UsageError where a task stands in two stores, or no task holds the reference.
    """
    found: list[Analysis] = []
    where: dict[Hashable, Path] = {}
    refused: list[UsageError] = []
    for folder, contents in stores:
        try:
            analysed = analyses(contents.records, folder, reference)
        except UsageError as error:
            refused.append(error)
            analysed = analyses(contents.records, folder)
        for one in analysed:
            record = one.comparison.newest
            task = record.backbone.revision, record.data.fingerprint
            if where.setdefault(task, folder) != folder:
                raise UsageError(
                    f"{where[task]} and {folder} both hold runs of {record.backbone.name} on {record.data.name}, which "
                    "would count as two tasks; copy all records into one folder"
                )
        found += analysed
    if refused and len(refused) == len(stores):
        raise refused[0]
    ordered = stats.newest_first([one.comparison for one in found])
    return sorted(found, key=lambda one: next(n for n, other in enumerate(ordered) if other is one.comparison))


def report(
    contents: Contents, folder: Path | None = None, reference: str | None = None, *, pictures: bool = False
) -> Section:
    """Everything that a store's records say; what can't be compared has a section each, after what holds over all.

    `folder` holds the predictions; `pictures` draws them. Raises UsageError where no variant is the reference.
    """
    return of_analyses(analyses(contents.records, folder, reference), contents.unreadable, pictures=pictures)


def of_analyses(
    found: Sequence[Analysis], unreadable: Sequence[tuple[Path, str]] = (), *, pictures: bool = False
) -> Section:
    """The report of comparisons that were analysed, of one store or several; `unreadable` are files and why."""
    note, left_out = _unreadable(unreadable)
    if not found:
        return Section("Comparison of methods", (paragraph("The store holds no record."), *note), tuple(left_out))
    compared = [analysis.comparison for analysis in found]
    if len(found) == 1:
        title = f"Comparison of methods – {words.heading(compared[0])}"
        [only] = found
        return Section(
            title, (*_top(only), *note), (*_sections(only, pictures), *capabilities.section(found), *left_out)
        )
    over = stats.over_tasks(found)
    overall = [across.section(over, draw=pictures)] if over else []
    each = [
        Section(name, _top(one), _sections(one, pictures, f"{number}-"))
        for number, (name, one) in enumerate(zip(words.headings(compared), found, strict=True), start=1)
    ]
    presets = sorted({one.newest.preset for one in compared})
    one_task = len({stats.whole_task(one) for one in compared}) == 1
    title = f"Comparison of methods – {words.heading(compared[0]) if one_task else ' and '.join(presets)}"
    curves = _by_train_size(found, pictures)
    return Section(
        title, (_apart(compared), *note), (*overall, *curves, *each, *capabilities.section(found), *left_out)
    )


def _by_train_size(found: Sequence[Analysis], pictures: bool) -> list[Section]:
    """What holds over the train sizes of each task that has several."""
    tasks = stats.curves(found)
    return [
        by_train_size.section(
            *(one, by_train_size.title(one, len(tasks) > 1), f"{number}-" if len(tasks) > 1 else ""), draw=pictures
        )
        for number, one in enumerate(tasks, start=1)
    ]


def _apart(found: list[Comparison]) -> Paragraph:
    tasks = len({stats.whole_task(one) for one in found})
    if tasks == 1:
        said = (
            f"These are {len(found)} train sizes of the same task. {by_train_size.TITLE} stands first; then each size"
        )
        return paragraph(f"{said} has a section, the largest first.")
    *others, last = (name for name in words.differences(found) if name != "train size")
    differing = f"{', '.join(others)} and {last}" if others else last
    said = f"These are {tasks} sets of runs that can't be compared, as they differ in {differing}."
    sizes = ", and each of its train sizes, the largest first" if tasks < len(found) else ""
    return paragraph(f"{said} Each has a section, the newest first{sizes}.")


def _top(analysis: Analysis) -> tuple[Block, ...]:
    """What a reader sees first: the answer, what was compared, the table, and how to read it."""
    layout, found = Layout(analysis), analysis.comparison
    return (
        answer(layout),
        *words.introduction(found),
        tables.comparison(layout),
        *words.baselines(found),
        *reading(layout),
        *_elsewhere(layout),
        *([_tally(found)] if found.summaries else []),
    )


def _elsewhere(layout: Layout) -> list[Block]:
    said, machines = words.elsewhere(layout.analysis.comparison)
    return [*said, *(tables.elsewhere(layout, machine) for machine in machines)]


def _tally(found: Comparison) -> Paragraph:
    runs = found.results + len(found.failed)
    said = f"All {count(runs)} runs have a result." if runs > 1 else "The one run has a result."
    if found.failed:
        said = f"{count(found.results)} of {count(runs)} runs have a result; what failed stands below."
    if found.superseded:
        said += f" {count(found.superseded)} older records of the same runs don't count."
    return paragraph(said)


def _sections(analysis: Analysis, pictures: bool, prefix: str = "") -> tuple[Section, ...]:
    layout = Layout(analysis)
    return (
        *_pictures(layout, pictures, prefix),
        *searches.section(layout, prefix, draw=pictures),
        *sweeps.section(layout),
        *_groups(layout),
        *_metrics(layout),
        *_chain(layout),
        *_differences(layout),
        *_from_baseline(layout),
        *_failed(layout),
        _provenance(analysis.comparison),
    )


def _pictures(layout: Layout, draw: bool, prefix: str) -> list[Section]:
    """The plots, and beneath them in figures how sure the Pareto front is."""
    blocks: list[Block] = []
    if draw:
        from bench.reporting import plots  # matplotlib takes a second to import

        blocks += [replace(picture, name=prefix + picture.name) for picture in plots.pictures(layout.analysis)]
    if table := tables.fronts(layout):
        said = f" {words.TOP}: no other variant is at least as accurate at a lower cost, or more accurate at the same. "
        said += "The share says how often that holds when seeds and test passages are drawn anew."
        blocks += [paragraph(strong("The Pareto front."), said), table]
    return [Section("Accuracy against cost", tuple(blocks))] if blocks else []


def _groups(layout: Layout) -> list[Section]:
    blocks: list[Block] = []
    data = layout.analysis.comparison.newest.data
    label = label_noun(data.label).one
    if by_category := tables.categories(layout):
        said = "Accuracy on the test split, mean ± standard deviation over n seeds"
        few = f"{_for_the_first(layout, by_category)}; in brackets the number of passages. "
        blocks += [paragraph(f"{said}{few}The fewer these are, the more is chance."), by_category]
    if by_style := tables.styles(layout):
        few = _for_the_first(layout, by_style)
        blocks += [paragraph(f"The share of each {label}'s test passages that are recognised{few}:"), by_style]
    blocks += _confusions(layout)
    title = f"By {group_noun(data.group).one} and {label}" if by_category else f"By {label}"
    return [Section(title, tuple(blocks))] if blocks else []


def _metrics(layout: Layout) -> list[Section]:
    table = tables.metrics(layout)
    return [Section("Other metrics", (words.metrics(layout.summaries), table))] if table else []


def _for_the_first(layout: Layout, table: Table) -> str:
    """Say that a table has a column only for the first few variants, where it is so."""
    shown, scored = len(table.columns) - 1, sum(s.accuracy is not None for s in layout.summaries)
    by_variant = table.columns[0] in layout.columns
    return "" if by_variant or shown >= scored else f", for the first {shown} of {scored}"


def _confusions(layout: Layout) -> list[Block]:
    """The most frequent mistakes of the best variant, where there are more styles than its picture has room for."""
    best = layout.analysis.best_predicted
    outcomes = layout.analysis.outcomes[best] if best is not None else None
    if best is None or outcomes is None or len(outcomes.styles) <= tables.MANY_STYLES:
        return []
    table = tables.confusions(outcomes, label_noun(layout.analysis.comparison.newest.data.label))
    return [paragraph("What ", code(layout.label(best)), " takes for what most often:"), table] if table else []


def _chain(layout: Layout) -> list[Section]:
    found = layout.analysis.chain
    if found is None:
        return []
    said = words.chain(found, layout.label, "variants", "covering the chance in seeds and test passages")
    return [Section("Groups that are told apart", (said, *searches.given(layout)))]


def _differences(layout: Layout) -> list[Section]:
    table, reference = tables.differences(layout, layout.analysis.differences), layout.analysis.reference
    if table is None or reference is None:
        return []
    said = (*words.paired(layout.analysis, layout.label(reference)), *searches.given(layout))
    return [Section("Paired differences", (*said, table))]


def _from_baseline(layout: Layout) -> list[Section]:
    against = layout.analysis.against_baseline
    table = tables.differences(layout, against.differences) if against else None
    said = (words.from_baseline(), *searches.given(layout))
    return [Section(f"Differences from {words.BASELINE}", (*said, table))] if table else []


def _failed(layout: Layout) -> list[Section]:
    blocks: list[Block] = [provenance.failures(layout)] if layout.analysis.comparison.failed else []
    if (noted := provenance.notes(layout)) is not None:
        blocks.append(noted)
    if layout.analysis.missing:
        rows = tuple(Row((Cell(said),)) for said in layout.analysis.missing)
        blocks.append(Table((Column("Predictions that couldn't be read", limit=300),), rows))
    return [Section("What failed", tuple(blocks))] if blocks else []


def _provenance(found: Comparison) -> Section:
    """Where it all comes from, and the commands to do it again, the newest first."""
    commands = list(dict.fromkeys(run.environment.command for run in reversed(found.records)))
    more = len(commands) - COMMANDS_SHOWN
    blocks: list[Block] = [provenance.provenance(found), paragraph("To do it again:")]
    blocks += map(Code, commands[:COMMANDS_SHOWN])
    if more > 0:
        blocks.append(paragraph(f"and {count(more)} older commands that the records name."))
    return Section("Where it comes from", tuple(blocks))


def _unreadable(files: Sequence[tuple[Path, str]]) -> tuple[list[Paragraph], list[Section]]:
    """A note for the top and a section for the end; neither where every file could be read."""
    if not files:
        return [], []
    number = "One file" if len(files) == 1 else f"{count(len(files))} files"
    note = paragraph(f"{number} in the store couldn't be read and {'is' if len(files) == 1 else 'are'} left out.")
    return [note], [Section("Unreadable files", (provenance.unreadable(files),))]
