"""A corpus as token ids, saved once for a study and read by every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.data.frames import PAIR, SPLITS
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from bench.data.corpus import Corpus

_FILE = "splits.safetensors"
_ARRAYS = ("ids", "offsets", "labels", "types")
_PORTION = 4096

Watch = Callable[[int, int], None]


def _unwatched(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class TokenSplit:
    """The texts of a split, end to end: text i is ids[offsets[i]:offsets[i + 1]].

    Where texts are pairs, `types` tells of each token which of the two it belongs to, as the tokenizer does it.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    types: NDArray[np.int8] | None = None

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text [n]."""
        return np.diff(self.offsets)

    def row(self, i: int) -> NDArray[np.int32]:
        """The token ids of text i."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def spread(self, count: int) -> TokenSplit:
        """Return up to `count` of the texts, evenly spread over the split."""
        return self.only(np.unique(np.linspace(0, len(self.labels) - 1, count).astype(np.int64)))

    def only(self, rows: NDArray[np.int64]) -> TokenSplit:
        """Return the texts with these numbers."""
        tokens = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in rows]
        places = np.concatenate([np.zeros(0, dtype=np.int64), *tokens])
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.lengths[rows])])
        types = None if self.types is None else self.types[places]
        return TokenSplit(self.ids[places], offsets, self.labels[rows], types)


@dataclass(frozen=True, eq=False)
class Splits:
    """The three splits, and how many texts in them were cut to the maximum length."""

    train: TokenSplit
    validation: TokenSplit
    test: TokenSplit
    truncated: int

    def without_test(self) -> Splits:
        """Return the same with no text in the test split."""
        return replace(self, test=self.test.only(np.zeros(0, dtype=np.int64)))

    def save(self, folder: Path) -> None:
        """Write the splits into an existing folder."""
        from safetensors.numpy import save_file

        arrays = {f"{split}.{name}": getattr(getattr(self, split), name) for split in SPLITS for name in _ARRAYS}
        there = {name: array for name, array in arrays.items() if array is not None}
        save_file({**there, "truncated": np.array([self.truncated])}, folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Splits:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / _FILE)
        splits = {split: TokenSplit(*(arrays.get(f"{split}.{name}") for name in _ARRAYS)) for split in SPLITS}
        return cls(**splits, truncated=int(arrays["truncated"][0]))


def tokenise(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, max_length: int | None, watch: Watch = _unwatched
) -> Splits:
    """Tokenise every text as the model expects it, and cut it to `max_length` tokens, if that isn't None.

    What the tokenizer puts around a text by itself (GPT-2's nothing, BERT's [CLS] and [SEP]) is there, and so is what
    it puts between the texts of a pair; of a pair, the longer text is cut first. What looks like a special token inside
    a text is taken as ordinary characters, so that none is mistaken for padding. `watch` is told how many texts of how
    many are done. The tokenizer's own threads share each portion of the texts.
    Raises UsageError where a text has no tokens.
    """
    label = {style: position for position, style in enumerate(corpus.styles)}
    total, done = sum(map(len, corpus.frames.values())), 0
    splits, truncated = {}, 0
    for split in SPLITS:
        rows = corpus.frames[split]
        portions = []
        for start in range(0, len(rows), _PORTION):
            portion = rows.iloc[start : start + _PORTION]
            portions.append(_encode(portion, tokenizer, max_length, f"{split} passage", start))
            watch(done := done + len(portion), total)
        lengths = np.concatenate([np.zeros(1, dtype=np.int64), *(portion.lengths for portion in portions)])
        splits[split] = TokenSplit(
            ids=np.concatenate([portion.ids for portion in portions]),
            offsets=np.cumsum(lengths),
            labels=np.array([label[style] for style in rows["style"]], dtype=np.int64),
            types=np.concatenate([portion.types for portion in portions]) if PAIR in rows else None,
        )
        truncated += sum(portion.truncated for portion in portions)
    return Splits(**splits, truncated=truncated)


class _Portion(NamedTuple):
    ids: NDArray[np.int32]
    types: NDArray[np.int8]
    lengths: NDArray[np.int64]
    truncated: int


def _encode(
    rows: pd.DataFrame, tokenizer: PreTrainedTokenizerFast, max_length: int | None, what: str, start: int
) -> _Portion:
    texts = [rows[column].tolist() for column in ("text", PAIR) if column in rows]
    options: dict[str, Any] = {"split_special_tokens": True, "return_token_type_ids": True}
    encoded = tokenizer(*texts, **options, verbose=False)
    ids, types = encoded["input_ids"], encoded["token_type_ids"]
    least = tokenizer.num_special_tokens_to_add(pair=len(texts) > 1)
    for i, text in enumerate(ids):
        if len(text) <= least:
            raise UsageError(f"the tokenizer produces no tokens for {what} {start + i + 1}, {texts[0][i][:40]!r}")
    too_long = [i for i, text in enumerate(ids) if max_length is not None and len(text) > max_length]
    for i in too_long:
        cut = tokenizer(*(column[i] for column in texts), **options, truncation=True, max_length=max_length)
        ids[i], types[i] = cut["input_ids"], cut["token_type_ids"]
    return _Portion(
        ids=np.fromiter(chain.from_iterable(ids), dtype=np.int32),
        types=np.fromiter(chain.from_iterable(types), dtype=np.int8),
        lengths=np.array([len(text) for text in ids], dtype=np.int64),
        truncated=len(too_long),
    )
