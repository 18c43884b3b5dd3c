"""Texts with their styles and categories, in three splits: what every run of a study shares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Split = Literal["train", "validation", "test"]
Source = Literal["hub", "local", "embedded"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the text in UTF-8: a passage's name in predictions."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Three frames with the columns text, style, category and document (None where a text's work isn't known)."""

    name: str
    source: Source
    revision: str | None
    frames: dict[Split, pd.DataFrame]

    @cached_property
    def styles(self) -> tuple[str, ...]:
        """Sorted; a style's position is its label."""
        return tuple(sorted(set(self.frames["train"]["style"])))
