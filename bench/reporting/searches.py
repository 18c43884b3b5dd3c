"""Searches in tables and sentences: what was chosen, what it is worth, and what is to be thought of it."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import stats
from bench.reporting import words
from bench.reporting.answer import listed
from bench.reporting.layout import MANY
from bench.reporting.model import Cell, Column, Row, Section, Table, Unit, code, paragraph, strong
from bench.reporting.text import clean, count
from bench.store.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.reporting.layout import Layout
    from bench.reporting.model import Block, Paragraph
    from bench.stats import Gap, Rule, Search, Tuned

EDGE = "▲"
SETTINGS_SHOWN = 80
_LITTLE_KNOWN = (
    " One search of a method says little about what another would choose, so among many methods only large differences "
    "are sure in that sense."
)


def section(layout: Layout, prefix: str, *, draw: bool) -> list[Section]:
    """What was searched, chosen, and won by it; nothing where nothing was searched."""
    return [*_compared(layout, prefix, draw=draw), *_optimised(layout)]


def _optimised(layout: Layout) -> list[Section]:
    """What was optimised for its own sake."""
    found = layout.analysis.optimised
    if not found:
        return []
    said = " Each trial was chosen by what earlier ones found, which suits some methods better than others, and the "
    said += "intervals are given the chosen settings. It says which settings to use, not which method."
    table = results(found)
    return [Section("Optimised settings", (paragraph(strong("This compares nothing."), said), table))]


def _compared(layout: Layout, prefix: str, *, draw: bool) -> list[Section]:
    found = layout.analysis.tuned
    if not found:
        return []
    blocks: list[Block] = [paragraph(_introduction(found)), results(found), *_worth(found), *_chain(layout)]
    blocks += _warnings(found)
    if draw:
        from bench.reporting.plots import searches as plots  # matplotlib takes a second to import

        blocks += [replace(picture, name=prefix + picture.name) for picture in plots.pictures(found)]
    if (table := by_trials(found)) is not None:
        best = "The best validation accuracy to expect"
        if (metrics := _metrics([one.search for one in found])) != "accuracy":
            best = f"The validation accuracy to expect of the best by {metrics}"
        said = f"{best} after the default and so many trials of each method's, if the trials had come in another "
        said += "order; of seconds, those of training."
        blocks += [paragraph(strong("With a smaller budget."), f" {said}"), table]
    return [Section("Tuned settings", tuple(blocks))]


def _chain(layout: Layout) -> list[Paragraph]:
    given, searched = layout.analysis.tuned_chain, layout.analysis.searched_chain
    if given is None:
        return []
    said = [words.chain(given, layout.label, "tuned methods", "given the chosen settings")]
    if searched is not None and len(searched.places) < 2:
        said.append(paragraph("With the search counted, no two of them are told apart.", _LITTLE_KNOWN))
    elif searched is not None:
        counted = f"With the search counted, {count(len(searched.places))} groups are told apart: "
        said.append(paragraph(counted, *words.row(searched.places, layout.label), ".", _LITTLE_KNOWN))
    return said


def given(layout: Layout) -> list[Paragraph]:
    """Say beside verdicts of a tuned store's variants what they leave out, and how much that is; else nothing."""
    analysis = layout.analysis
    searched = [one for one in analysis.tuned if one.search.space and one.place is not None]
    if not searched:
        return []
    said = " They say which of these settings is better, and leave out that another search would have chosen others."
    ratios = [
        (one.interval.high - one.interval.low) / (alone.high - alone.low)
        for one in searched
        if one.counted and one.interval and (alone := analysis.accuracy[one.place or 0]) and alone.high > alone.low
    ]
    if ratios:
        said += f" With the search counted, a method's interval is {statistics.median(ratios):.1f} times as wide, in "
        said += "the median over methods: see Tuned settings."
    return [paragraph(strong("These verdicts are given the settings that were chosen."), said)]


def _introduction(found: Sequence[Tuned]) -> str:
    searches = [one.search for one in found]
    epoch = "the last epoch" if all(one.rule == "last" for one in found) else "whichever epoch was best"
    said = f"For each method {budget(searches)} were trained once and judged by the validation split alone: "
    said += f"by {_metrics(searches)}, then by loss, after {epoch}. What was chosen, and the default, were then "
    said += "trained anew with other seeds, and only these runs were tested. No trial is in any mean."
    unsearched = list(dict.fromkeys(one.method for one in searches if not one.space))
    if unsearched:
        said += f" Nothing is searched for {listed(unsearched)}."
    return said


def chosen(found: Sequence[Search], rule: Rule) -> Table:
    """What each search chose, beside the default, by the validation split alone."""
    rows = [(*_search(search, rule, found), *_validation(search, rule, found)) for search in found]
    column = _judged_by(found)
    columns = (*_columns(found), column, replace(column, title="Default's"))
    return Table(columns, tuple(map(Row, rows)))


def results(found: Sequence[Tuned]) -> Table:
    """What each search chose, and how that and the default do on the test split, the most accurate first."""
    searches = [one.search for one in found]
    ordered = sorted(found, key=lambda one: -(one.accuracy.mean if one.accuracy else -1.0))
    columns = (
        *_columns(searches),
        _judged_by(searches),
        Column("Test, tuned", Unit.SCORE),
        Column("Gain over the default", Unit.POINTS),
        Column("Minus the best tuned", Unit.POINTS),
    )
    rows = tuple(
        Row(
            (
                *_search(one.search, one.rule, searches),
                _validation(one.search, one.rule, searches)[0],
                _test(one),
                _gap(one.gain),
                _gap(one.behind),
            ),
            variant=clean(one.search.method),
        )
        for one in ordered
    )
    return _folded(columns, rows)


def _folded(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Fold away what is more than a reader takes in at once."""
    more = len(rows) - MANY
    return Table(tuple(columns), tuple(rows), MANY, f"{more} more") if more > 0 else Table(tuple(columns), tuple(rows))


def _metric(found: Sequence[Search]) -> str:
    """Return the metric by which all chose, or accuracy, which all have."""
    metrics = {search.metric for search in found}
    return metrics.pop() if len(metrics) == 1 else "accuracy"


def _metrics(found: Sequence[Search]) -> str:
    """Name the metrics by which searches chose."""
    return listed(list(dict.fromkeys(METRICS[search.metric].noun for search in found)))


def _judged_by(found: Sequence[Search]) -> Column:
    metric = _metric(found)
    title = "Validation" if metric == "accuracy" else f"Validation {METRICS[metric].noun}"
    return Column(title, Unit.NATS if metric == "loss" else Unit.SCORE)


def _columns(found: Sequence[Search]) -> list[Column]:
    seed = [Column("Search seed", Unit.COUNT)] if _seeds(found) else []
    counts = (Column("Trials", Unit.COUNT), Column("Diverged", Unit.SCORE))
    return [Column("Method"), *seed, *counts, Column("Chosen", limit=SETTINGS_SHOWN)]


def _search(search: Search, rule: Rule, found: Sequence[Search]) -> list[Cell]:
    return [
        Cell(search.method),
        *([Cell(search.seed)] if _seeds(found) else []),
        Cell(len(search.trials) - 1),
        Cell(search.diverged / len(search.trials)),
        Cell(settings(search, rule), mark=f" {EDGE}" if search.edges(rule) else ""),
    ]


def _seeds(found: Sequence[Search]) -> bool:
    return len({search.seed for search in found}) > 1


def _validation(search: Search, rule: Rule, found: Sequence[Search]) -> tuple[Cell, Cell]:
    figure = search.figure if _metric(found) == search.metric else search.accuracy
    place = search.chosen(rule)
    return Cell(None if place is None else figure(place, rule)), Cell(figure(0, rule))


def _test(one: Tuned) -> Cell:
    if one.accuracy is None:
        return Cell()
    interval = (one.interval.low, one.interval.high) if one.interval else None
    return Cell(one.accuracy.mean, spread=one.accuracy.sd, interval=interval)


def _gap(found: Gap | None) -> Cell:
    if found is None:
        return Cell()
    return Cell(found.mean, interval=(found.interval.low, found.interval.high) if found.interval else None)


def settings(search: Search, rule: Rule) -> str:
    """Write what a search chose as on the command line."""
    place = search.chosen(rule)
    if place is None:
        return "nothing: no trial has a result"
    if not search.space:
        return "the default: nothing is searched"
    written = words.hyperparameters(search.trials[place].hyperparameters, search.space) or ""
    return f"the default ({written})" if place == 0 else written


def budget(found: Sequence[Search]) -> str:
    """Say how many trials each method had."""
    trials = sorted({len(search.trials) - 1 for search in found if search.space} or {0})
    least, most = trials[0], trials[-1]
    if least == most:
        return f"the default and {count(most)} other {'setting' if most == 1 else 'settings'}"
    return f"the default and {count(least)} to {count(most)} other settings"


def _worth(found: Sequence[Tuned]) -> list[Paragraph]:
    """Say what the gains' intervals hold, how often the choice was a bad one, and how alike two searches rank."""
    said = "The 95% interval of a gain covers the chance in seeds and in test passages."
    if any(one.counted and one.search.space for one in found):
        said = "The 95% intervals cover the chance in seeds, in test passages, and in the search: another search would "
        said += "have chosen something else. Each holds by itself. Those in other tables are given the chosen settings."
    worse, of = stats.worse_than_default(found)
    if of:
        said += f" {count(worse)} of {count(of)} searches that chose something else than the default chose something "
        said += "that does worse on the test split, by the means."
    tau = stats.agreement(found)
    if tau is not None:
        said += f" Independent searches rank the methods alike with a Kendall's tau of {tau:.2f} (1: the same order)."
    return [paragraph(said)]


def _warnings(found: Sequence[Tuned]) -> list[Paragraph]:
    said = []
    searched = [one for one in found if one.search.space]
    if few := [one.search.method for one in searched if not one.counted]:
        said.append(
            paragraph(
                strong(f"Fewer than {stats.FEW_TRIALS} trials are too few to know what another search would find"),
                f" ({_named(few)}). Their intervals are given the chosen settings, and too narrow: in simulated "
                "searches with 4 trials, of the worst of six methods 38 to 54% held instead of 95%.",
                tone="warning",
            )
        )
    if len({len(one.search.trials) for one in searched}) > 1:
        said.append(
            paragraph(
                strong("Not all methods had as many trials."),
                " That is fair where each had as much training time, and else favours those that had more.",
                tone="warning",
            )
        )
    if edges := [f"{one.search.method} ({_edges(one)})" for one in searched if one.search.edges(one.rule)]:
        said.append(
            paragraph(
                strong(f"{EDGE}: the best lies at an edge of what was tried"),
                f": {_named(edges)}. Better settings may lie beyond. A wider range can be searched with ",
                code("--space"),
                ".",
                tone="warning",
            )
        )
    if failed := [one.search.method for one in found if one.search.failed]:
        said.append(
            paragraph(
                strong("Some trials have no result"), f", though they didn't diverge: {_named(failed)}.", tone="warning"
            )
        )
    if missing := [one.search.method for one in found if one.place is None and one.search.chosen(one.rule) is not None]:
        said.append(
            paragraph(
                strong("What was chosen isn't trained anew yet"),
                f" for {_named(missing)}. ",
                code("bench tune"),
                " with as many trials does it.",
                tone="warning",
            )
        )
    return said


def _edges(one: Tuned) -> str:
    return ", ".join(f"{which} {field}" for field, which in one.search.edges(one.rule).items())


def _named(names: Sequence[str]) -> str:
    return listed(list(dict.fromkeys(names)))


def by_trials(found: Sequence[Tuned]) -> Table | None:
    """The expected best validation accuracy after few trials and more, by powers of two; None where none was made."""
    searched = [one for one in found if one.search.space and len(one.search.trials) > 1]
    if not searched:
        return None
    most = max(len(one.search.trials) for one in searched) - 1
    shown = [0, *(2**power for power in range(most.bit_length()) if 2**power <= most)]
    several = _seeds([one.search for one in searched])
    columns = (
        Column("Method"),
        *([Column("Search seed", Unit.COUNT)] if several else []),
        *(Column("Default" if k == 0 else f"and {count(k)}", Unit.SCORE) for k in shown),
        Column("Seconds a trial", Unit.SECONDS),
    )
    rows = []
    for one in sorted(searched, key=lambda one: -stats.expected_best(one.search, one.rule)[-1]):
        best = stats.expected_best(one.search, one.rule)
        rows.append(
            Row(
                (
                    Cell(one.search.method),
                    *([Cell(one.search.seed)] if several else []),
                    *(Cell(best[k] if k < len(best) else None) for k in shown),
                    Cell(sum(one.search.seconds) / len(one.search.trials) if one.search.timed else None),
                ),
                variant=clean(one.search.method),
            )
        )
    return _folded(columns, rows)
