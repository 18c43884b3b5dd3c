"""The tables of texts that splits are: their columns, and a text's name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
COLUMNS = ("text", "style", "category", "document")
PAIR = "pair"
"""The column of a text's second part, where texts are pairs."""


def text_hash(text: str, pair: str | None = None) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the text in UTF-8: a passage's name in predictions.

    Of a pair, the two as a JSON array are hashed.
    """
    whole = text if pair is None else json.dumps([text, pair])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def text_hashes(rows: pd.DataFrame) -> pd.Series:
    """The hash of each row's text, or of its pair of texts."""
    texts = zip(rows["text"], rows[PAIR], strict=True) if PAIR in rows else ((text,) for text in rows["text"])
    return pd.Series([text_hash(*text) for text in texts], index=rows.index, dtype="string[pyarrow]")


def frame(rows: Iterable[tuple[str, str, str | None, str | None]]) -> pd.DataFrame:
    """Rows of text, style, category and document (None where there is none or it isn't known) as a frame."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS), dtype=object)


def subset(rows: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    """The rows for which `which` is true, numbered anew."""
    return rows[which].reset_index(drop=True)
