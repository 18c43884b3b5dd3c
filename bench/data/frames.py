"""The tables of texts that splits are: their columns, and a text's name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
COLUMNS = ("text", "style", "category", "document")


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the text in UTF-8: a passage's name in predictions."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def frame(rows: Iterable[tuple[str, str, str, str | None]]) -> pd.DataFrame:
    """Rows of text, style, category and document (None where a text's work isn't known) as a frame."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS), dtype=object)


def subset(rows: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    """The rows for which `which` is true, numbered anew."""
    return rows[which].reset_index(drop=True)
