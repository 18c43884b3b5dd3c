"""What labels and groups are called, and names of them that a reader would take for one another."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Fillers and blanks that Unicode counts among letters, marks and symbols."""


_WORDS = {
    **{word: f"{word}s" for word in ("style", "label", "target", "sentiment", "emotion", "intent", "topic", "author")},
    **{word: f"{word}s" for word in ("group", "domain", "genre", "source", "language")},
    "class": "classes",
    "category": "categories",
}
"""Names of columns that are words of a sentence, and their plurals."""


class Noun(NamedTuple):
    """A word, for one thing and for many."""

    one: str
    many: str


def label_noun(column: str | None) -> Noun:
    """What a label is called: as its column where that is a word, else "label"; None is this project's "style"."""
    return _noun(column or "style", "label")


def group_noun(column: str | None) -> Noun:
    """What a group of passages is called, likewise; None is this project's "category"."""
    return _noun(column or "category", "group")


def _noun(column: str, other: str) -> Noun:
    called = column.lower()
    return next((Noun(one, many) for one, many in _WORDS.items() if called in (one, many)), Noun(other, f"{other}s"))


def look(name: str) -> str:
    """What of a name can be seen: white space as single spaces, no invisible characters, one form of each letter."""
    visible = "".join(" " if character.isspace() else character for character in name if not _invisible(character))
    return " ".join(unicodedata.normalize("NFKC", visible).split())


def _invisible(character: str) -> bool:
    selector = unicodedata.name(character, "").startswith(("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION"))
    unseen = unicodedata.category(character) in ("Cc", "Cf") and not character.isspace()
    return unseen or selector or character in _INVISIBLE


def lookalikes(names: Iterable[str]) -> list[list[str]]:
    """The names that look like another one, those that look alike together; each is told apart by `ascii`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        groups[look(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]
