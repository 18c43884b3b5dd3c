"""The report itself: which sections a store's records make, in the order in which a reader needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import stats
from bench.reporting import tables, words
from bench.reporting.model import Code, Section, paragraph, strong
from bench.reporting.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.record import Record
    from bench.reporting.model import Block, Paragraph, Table
    from bench.stats import Comparison
    from bench.store import Contents

COMMANDS_SHOWN = 5


def comparison(records: Iterable[Record]) -> list[tuple[str, Table]]:
    """The comparison tables, each with a heading that tells it from the others, the newest records' first."""
    found = stats.comparisons(records)
    return list(zip(words.headings(found), map(tables.comparison, found), strict=True))


def report(contents: Contents) -> Section:
    """Everything that a store's records say; what can't be compared has a section each."""
    found = stats.comparisons(contents.records)
    note, left_out = _unreadable(contents)
    if not found:
        return Section("Comparison of methods", (paragraph("The store holds no record."), *note), tuple(left_out))
    if len(found) == 1:
        title = f"Comparison of methods – {words.heading(found[0])}"
        return Section(title, (*_top(found[0]), *note), (*_sections(found[0]), *left_out))
    each = [
        Section(heading, _top(one), _sections(one)) for heading, one in zip(words.headings(found), found, strict=True)
    ]
    presets = sorted({one.newest.preset for one in found})
    title = f"Comparison of methods – {' and '.join(presets)}"
    return Section(title, (_apart(found), *note), (*each, *left_out))


def _apart(found: list[Comparison]) -> Paragraph:
    *others, last = words.differences(found)
    differing = f"{', '.join(others)} and {last}" if others else last
    said = f"The store holds {len(found)} sets of runs that can't be compared, as they differ in {differing}."
    return paragraph(f"{said} Each has a section, the newest first.")


def _top(found: Comparison) -> tuple[Block, ...]:
    """What a reader sees first: what was compared, the answer, the table, and how to read it."""
    names = tables.Names(found.summaries)
    labels = {place: names.label(summary) for place, summary in enumerate(found.summaries)}
    return (
        *words.introduction(found),
        words.answer(found, labels),
        tables.comparison(found),
        words.majority_note(found),
        *words.reading(found, names.settings),
        _tally(found),
    )


def _tally(found: Comparison) -> Paragraph:
    runs = found.results + len(found.failed)
    said = f"All {count(runs)} runs have a result." if runs > 1 else "The one run has a result."
    if found.failed:
        said = f"{count(found.results)} of {count(runs)} runs have a result; what failed stands below."
    if found.superseded:
        said += f" {count(found.superseded)} older records of the same runs don't count."
    return paragraph(said)


def _sections(found: Comparison) -> tuple[Section, ...]:
    sections = [*_alpha(found), *_categories(found), *_failed(found), _provenance(found)]
    return tuple(sections)


def _alpha(found: Comparison) -> list[Section]:
    sweeps = stats.alpha_sweeps(found.summaries)
    if not sweeps:
        return []
    blocks: list[Block] = []
    for sweep in sweeps:
        if len(sweeps) > 1:
            blocks.append(paragraph(strong(_apart_from_alpha(found, sweep[0]))))
        blocks += [words.turns(sweep), tables.alpha(sweep)]
    blocks.append(
        paragraph(
            "Accuracy on the test split; validation loss in nats after each epoch, mean over n seeds. "
            f"{words.TURN} marks the first epoch whose mean loss is higher than the epoch before's."
        )
    )
    return [Section("LoRA's alpha", tuple(blocks))]


def _apart_from_alpha(found: Comparison, summary: stats.Summary) -> str:
    """Name a sweep by what tells it from the others."""
    names = tables.Names(found.summaries)
    names.differing["lora"].remove("alpha")
    return names.label(summary)


def _categories(found: Comparison) -> list[Section]:
    table = tables.categories(found)
    if table is None:
        return []
    said = paragraph("On the test split; the number of passages stands in brackets.")
    return [Section("Accuracy by category", (said, table))]


def _failed(found: Comparison) -> list[Section]:
    return [Section("What failed", (tables.failures(found),))] if found.failed else []


def _provenance(found: Comparison) -> Section:
    """Where it all comes from, and the commands to do it again, the newest first."""
    commands = list(dict.fromkeys(run.environment.command for run in reversed(found.records)))
    more = len(commands) - COMMANDS_SHOWN
    blocks: list[Block] = [tables.provenance(found), paragraph("To do it again:")]
    blocks += map(Code, commands[:COMMANDS_SHOWN])
    if more > 0:
        blocks.append(paragraph(f"and {count(more)} older commands that the records name."))
    return Section("Where it comes from", tuple(blocks))


def _unreadable(contents: Contents) -> tuple[list[Paragraph], list[Section]]:
    """A note for the top and a section for the end; neither where every file could be read."""
    files = contents.unreadable
    if not files:
        return [], []
    number = "One file" if len(files) == 1 else f"{count(len(files))} files"
    note = paragraph(f"{number} in the store couldn't be read and {'is' if len(files) == 1 else 'are'} left out.")
    return [note], [Section("Unreadable files", (tables.unreadable(files),))]
