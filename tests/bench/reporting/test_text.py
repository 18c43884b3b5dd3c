from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.labels import look
from bench.reporting.model import Cell, Column, Unit
from bench.reporting.text import clean, clean_lines, show, told_apart


@pytest.mark.parametrize(
    ("unit", "value", "written"),
    [
        (Unit.COUNT, 305_664, "305,664"),
        (Unit.COUNT, 0, "0"),
        (Unit.SCORE, 0.46849, "46.8%"),
        (Unit.SCORE, 1.0, "100.0%"),
        (Unit.SHARE, 0.002456, "0.25%"),
        (Unit.SHARE, 0.00002, "<0.01%"),
        (Unit.SHARE, 0, "0%"),
        (Unit.PER_SECOND, 15_023.4, "15,023"),
        (Unit.PER_SECOND, 3.14, "3.1"),
        (Unit.BYTES, 730 * 2**20, "730.0 MiB"),
        (Unit.BYTES, 2.315 * 2**30, "2.31 GiB"),
        (Unit.BYTES, 1_536, "1.5 KiB"),
        (Unit.BYTES, 12, "12 B"),
        (Unit.SECONDS, 0.04, "0.0 s"),
        (Unit.SECONDS, 59.94, "59.9 s"),
        (Unit.SECONDS, 59.97, "1 min 00 s"),
        (Unit.SECONDS, 107, "1 min 47 s"),
        (Unit.SECONDS, 3_599.7, "1 h 00 min"),
        (Unit.SECONDS, 3_600 * 26 + 300, "26 h 05 min"),
        (Unit.NATS, 2.14, "2.140"),
    ],
)
def test_numbers_are_written_for_people(unit: Unit, value: float, written: str) -> None:
    assert show(Cell(value), Column("", unit)) == written


def test_a_spread_follows_its_mean_and_a_mark_both() -> None:
    assert show(Cell(0.4684, 0.0119, " ▲"), Column("", Unit.SCORE)) == "46.8% ± 1.2 ▲"


@pytest.mark.parametrize("unit", Unit)
def test_what_is_none_shows_as_a_dash(unit: Unit) -> None:
    assert show(Cell(None), Column("", unit)) == "–"


@given(st.text(), st.integers(1, 100))
@settings(deadline=None)
def test_clean_text_is_one_short_line_without_control_or_direction_characters(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\ufeff")


def test_clean_text_shows_what_was_hidden_and_that_it_was_cut() -> None:
    assert clean("a\x1b[31m\n b\u202e") == r"a\x1b[31m b\u202e"
    assert clean("y" * 10_000, 10) == "yyyyyyyyy…"
    assert clean("Brontë, 夏目, 👩\u200d🏫") == "Brontë, 夏目, 👩\u200d🏫"


def test_clean_lines_keeps_lines_and_spaces_of_a_command() -> None:
    assert clean_lines("python -m bench \\\n  run\x1b") == "python -m bench \\\n  run\\x1b"


def test_only_names_that_look_alike_are_written_in_another_way() -> None:
    assert told_apart(["ann", "ann ", "Bront\u00eb", "Bronte\u0308", "Zo\u00eb"]) == {
        "ann": "'ann'",
        "ann ": "'ann '",
        "Bront\u00eb": r"'Bront\xeb'",
        "Bronte\u0308": r"'Bronte\u0308'",
        "Zo\u00eb": "Zo\u00eb",
    }


def test_long_names_that_are_cut_alike_are_numbered() -> None:
    found = told_apart(["b" * 100 + "1", "b" * 100 + "2", "c"], limit=20)
    assert list(found.values()) == ["'bbbbbbbbbbbbbbb… #1", "'bbbbbbbbbbbbbbb… #2", "c"]


PIECES = st.sampled_from(["a", "b", " ", "  ", "'", "\u00e9", "e\u0301", "\u200b", "\ufe0f", "\u3164", "x" * 30])


@given(st.lists(st.lists(PIECES, max_size=4).map("".join), max_size=6))
def test_no_two_names_look_the_same_or_are_too_long(names: list[str]) -> None:
    found = told_apart(names, limit=30)
    assert set(found) == set(names)
    assert len({look(text) for text in found.values()}) == len(found)
    assert all(len(text) <= 30 for text in found.values())
