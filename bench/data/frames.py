"""The tables of texts that splits are: their columns, and a text's name."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
COLUMNS = ("text", "style", "category", "document")
PAIR = "pair"
"""The column of a text's second part, where texts are pairs."""
_CHUNK = 8192


def text_hash(text: str, pair: str | None = None) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the text in UTF-8: a passage's name in predictions.

    Of a pair, the two as a JSON array are hashed.
    """
    whole = text if pair is None else json.dumps([text, pair])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def text_hashes(rows: pd.DataFrame) -> pd.Series:
    """The hash of each row's text, or of its pair of texts."""
    return pd.Series([text_hash(*text) for text in _texts(rows)], index=rows.index, dtype=object)


def text_key(text: str, pair: str | None = None) -> int:
    """The same hash as a number, in the same order."""
    return int(text_hash(text, pair), 16)


def text_keys(rows: pd.DataFrame) -> NDArray[np.uint64]:
    """The key of each row's text, or of its pair of texts [n]."""
    return np.fromiter((text_key(*text) for text in _texts(rows)), dtype=np.uint64, count=len(rows))


def strings(column: pd.Series) -> Iterator[str]:
    """A column's strings one after the other, without having them all as Python's at once."""
    for start in range(0, len(column), _CHUNK):
        yield from column.iloc[start : start + _CHUNK].to_numpy(dtype=object)


def _texts(rows: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    return zip(*(strings(rows[name]) for name in ("text", PAIR) if name in rows), strict=True)


def frame(rows: Iterable[tuple[str, str, str | None, str | None]]) -> pd.DataFrame:
    """Rows of text, style, category and document (None where there is none or it isn't known) as a frame."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS), dtype=object)


def subset(rows: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    """The rows for which `which` is true, numbered anew."""
    chosen = which.to_numpy(dtype=bool)
    # column by column, as pandas would copy all of an Arrow column to take rows of it
    return pd.DataFrame({name: pd.Series(cells.array[chosen], dtype=cells.dtype) for name, cells in rows.items()})
