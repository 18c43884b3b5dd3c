"""The tables of texts that splits are: their columns, and a text's name."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow
    from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
COLUMNS = ("text", "style", "category", "document")
PAIR = "pair"
"""The column of a text's second part, where texts are pairs."""
_CHUNK = 8192
_PACKED = "string[pyarrow]"


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
    [chosen] = divided(rows.copy(deep=False), np.where(which, 0, -1), 1)
    return chosen


def divided(rows: pd.DataFrame, belongs: NDArray[Any], frames: int) -> list[pd.DataFrame]:
    """Divide the rows [n] among as many frames, each numbered anew: `belongs` [n] says to which a row goes, -1 to none.

    `rows` is taken apart and has no columns afterwards, so that no text is held twice.
    """
    found: list[dict[str, pd.Series]] = [{} for _ in range(frames)]
    for name in rows.columns.tolist():
        cells = rows.pop(name)
        if cells.dtype == _PACKED:
            chunks = _chunks(cells)
            del cells
            parts: Iterable[pd.Series] = map(unpacked, _divided(chunks, belongs, frames))
        else:
            parts = (pd.Series(cells.array[belongs == place], dtype=cells.dtype, copy=False) for place in range(frames))
        for columns, part in zip(found, parts, strict=True):
            columns[name] = part
    return [pd.DataFrame(columns, copy=False) for columns in found]


def packed(texts: Sequence[str]) -> pyarrow.Array:
    """Strings as Arrow holds them: little more than their bytes.

    In memory of the C library's, which gives back what a growing array didn't need, as Arrow's own allocator doesn't.
    """
    import pyarrow as pa

    return pa.array(texts, pa.large_string(), memory_pool=pa.system_memory_pool())


def unpacked(chunks: Sequence[pyarrow.Array]) -> pd.Series:
    """A column of the strings in `chunks`, which aren't copied."""
    import pyarrow as pa

    return pd.Series(pd.array(pa.chunked_array(chunks, pa.large_string()), dtype=_PACKED))


def _chunks(column: pd.Series) -> deque[pyarrow.Array]:
    import pyarrow as pa

    strings = pa.array(column.array)  # one chunk may come by itself
    return deque(strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings])


def _divided(chunks: deque[pyarrow.Array], belongs: NDArray[Any], parts: int) -> list[list[pyarrow.Array]]:
    """Divide the strings of the chunks, which are let go one by one, among as many parts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[list[pyarrow.Array]] = [[] for _ in range(parts)]
    start = 0
    while chunks:
        chunk = chunks.popleft()
        there = belongs[start : start + len(chunk)]
        start += len(chunk)
        for place, part in enumerate(found):
            places = pa.array(np.flatnonzero(there == place))
            part.append(pc.take(chunk, places, memory_pool=pa.system_memory_pool()))
    return found
