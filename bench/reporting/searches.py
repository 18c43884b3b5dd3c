"""Searches in tables and sentences: what was chosen, and what is to be thought of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting import words
from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.reporting.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stats import Rule, Search

EDGE = "▲"
SETTINGS_SHOWN = 80


def chosen(found: Sequence[Search], rule: Rule) -> Table:
    """What each search chose, beside the default, by the validation split alone."""
    seeds = len({search.seed for search in found}) > 1
    columns = (
        Column("Method"),
        *([Column("Search seed", Unit.COUNT)] if seeds else []),
        Column("Trials", Unit.COUNT),
        Column("Diverged", Unit.COUNT),
        Column("Chosen", limit=SETTINGS_SHOWN),
        Column("Validation", Unit.SCORE),
        Column("Default's", Unit.SCORE),
    )
    rows = tuple(
        Row(
            (
                Cell(search.method),
                *([Cell(search.seed)] if seeds else []),
                Cell(len(search.trials) - 1),
                Cell(search.diverged),
                Cell(settings(search, rule), mark=f" {EDGE}" if search.edges(rule) else ""),
                Cell(None if (place := search.chosen(rule)) is None else search.accuracy(place, rule)),
                Cell(search.accuracy(0, rule)),
            )
        )
        for search in found
    )
    return Table(columns, rows)


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
    trials = sorted({len(search.trials) - 1 for search in found if search.space})
    if not trials:
        return "nothing to search"
    if len(trials) == 1:
        return f"the default and {count(trials[0])} {'trial' if trials[0] == 1 else 'trials'}"
    return f"the default and {count(trials[0])} to {count(trials[-1])} trials"
