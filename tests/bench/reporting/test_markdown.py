from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.reporting.markdown import escape, render
from bench.reporting.model import Cell, Code, Column, Picture, Row, Section, Table, Unit, code, paragraph, strong
from bench.reporting.text import clean

if TYPE_CHECKING:
    from markdown_it.token import Token

HOSTILE = [
    "a | b",
    "`rm -rf`",
    "<script>alert(1)</script> & <!-- ",
    "two\nlines\r\nthree\u2028four",
    "\x1b[31mred\x1b[0m \x07 \x00",
    "left \u202e right \u2066 isolate \u200f",
    "*bold* _it_ ~~gone~~ **x** snake_case_name",
    "[link](https://example.org) ![image](x) https://example.org www.example.org",
    "\\| \\\\| \\",
    "&lt; &amp; &#124;",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "> quote",
    "= ---",
    "|---|",
    "$x^2$ :smile: @someone",
    "lone \ud800 surrogate",
    "x" * 10_000,
    "",
]
hostile = st.one_of(st.sampled_from(HOSTILE), st.text(), st.text(alphabet="`|\\<>*_[]()!&#;~-+=.1 \n\t$:@"))


def _tokens(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)


def _texts(markdown: str) -> list[str]:
    """The text of every block, after checking that there is nothing but text in it."""
    inline = [token for token in _tokens(markdown) if token.type == "inline"]
    children = [child for token in inline for child in token.children or []]
    assert {child.type for child in children} <= {"text"}
    return ["".join(child.content for child in token.children or []) for token in inline]


@given(hostile)
@settings(deadline=None)
def test_any_text_in_a_cell_shows_as_it_is_and_leaves_the_table_whole(text: str) -> None:
    columns = (Column("Method"), Column(text), Column("n", Unit.COUNT))
    rows = (Row((Cell(text), Cell(text), Cell(1))), Row((Cell("after"), Cell("it"), Cell(2))))
    shown = clean(text, 60)
    markdown = render(Section("Title", (Table(columns, rows),)))
    assert _texts(markdown) == ["Title", "Method", shown, "n", shown, shown, "1", "after", "it", "2"]


@given(hostile)
@settings(deadline=None)
def test_any_text_in_a_title_or_a_sentence_shows_as_it_is(text: str) -> None:
    markdown = render(Section(text, (paragraph(text),)))
    assert [shown for shown in _texts(markdown) if shown] == [s for s in (clean(text), clean(text, 1000)) if s]
    assert _tokens(markdown)[0].type == "heading_open"


@given(hostile)
@settings(deadline=None)
@example("a`b")
def test_any_name_set_as_code_stays_within_its_sentence(text: str) -> None:
    markdown = render(Section("Title", (paragraph("before ", code(text), " after"),)))
    [_, sentence] = [token for token in _tokens(markdown) if token.type == "inline"]
    assert {child.type for child in sentence.children or []} <= {"text", "code_inline"}
    shown = "".join(child.content for child in sentence.children or [])
    assert shown == f"before {clean(text, 80)} after"


@given(hostile)
@settings(deadline=None)
@example("```\n# out of the fence\n```")
def test_a_command_stays_within_its_fence(text: str) -> None:
    tokens = _tokens(render(Section("Title", (Code(text),))))
    assert [token.type for token in tokens] == ["heading_open", "inline", "heading_close", "fence"]


def test_a_space_between_two_names_stays_one() -> None:
    assert render(Section("T", (paragraph(code("a"), " ", code("b")),))) == "# T\n\n`a` `b`\n"


@given(hostile)
@settings(deadline=None)
def test_a_picture_shows_its_file_whatever_its_words(text: str) -> None:
    markdown = render(Section("Title", (Picture("pareto", text, text, lambda letters: b""),)), "my report-pictures")
    [image] = [child for token in _tokens(markdown) for child in token.children or [] if child.type == "image"]
    assert image.attrs["src"] == "my%20report-pictures/pareto.svg"
    assert image.content == clean(text, 2000) or {child.type for child in image.children or []} <= {"text"}


@given(hostile)
@settings(deadline=None)
@example("</summary></details><script>")
def test_folded_rows_stay_a_table_under_their_words(text: str) -> None:
    rows = tuple(Row((Cell(name),)) for name in ("first", "second", "third"))
    markdown = render(Section("Title", (Table((Column("Method"),), rows, 1, text), paragraph("after"))))
    tokens = _tokens(markdown)
    assert [token.type for token in tokens if token.type in ("table_open", "html_block")] == [
        *("table_open", "html_block", "table_open", "html_block")
    ]
    assert [token.content for token in tokens if token.type == "html_block"][1] == "</details>\n"
    assert [token.content for token in tokens if token.type == "inline"] == [
        *("Title", "Method", "first", "Method", "second", "third", "after")
    ]
    assert markdown.count("<") == 4


@pytest.mark.parametrize("name", ["lora alpha=128", "learning_rate=0.001", "46.8% ± 1.2", "a: b", "GPT-2", "12.5 s"])
def test_harmless_text_is_not_escaped(name: str) -> None:
    assert escape(name) == name


@pytest.mark.parametrize("text", ["https://example.org", "www.example.org", "$x$"])
def test_what_github_alone_turns_into_something_is_broken_up(text: str) -> None:
    assert text not in escape(text)


def test_a_table_is_aligned_in_the_source_with_numbers_to_the_right() -> None:
    columns = (Column("Method"), Column("Accuracy", Unit.SCORE))
    rows = (Row((Cell("lora"), Cell(0.4684, 0.0123))), Row((Cell("広い"), Cell(None)), baseline=True))
    assert render(Section("T", (Table(columns, rows),))).splitlines()[2:] == [
        "| Method |    Accuracy |",
        "| ------ | ----------: |",
        "| lora   | 46.8% ± 1.2 |",
        "| *広い* |         *–* |",
    ]


def test_sections_below_have_deeper_headings_and_a_warning_is_an_alert() -> None:
    below = Section("Below", (paragraph(strong("Mind"), " this.", tone="warning"),))
    assert render(Section("Top", sections=(below,))) == "# Top\n\n## Below\n\n> [!WARNING]\n> **Mind** this.\n"
