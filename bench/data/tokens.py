"""A corpus as token ids, saved once for a study and read by every run."""

from __future__ import annotations

from array import array
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
        ids, types, lengths = array("i"), array("b"), array("q", [0])  # which grow without being held twice
        for start in range(0, len(rows), _PORTION):
            portion = _encode(rows.iloc[start : start + _PORTION], tokenizer, max_length, f"{split} passage", start)
            ids.extend(chain.from_iterable(portion.ids))
            types.extend(chain.from_iterable(portion.types))
            lengths.extend(map(len, portion.ids))
            truncated += portion.truncated
            watch(done := done + len(portion.ids), total)
        splits[split] = TokenSplit(
            ids=np.frombuffer(ids, dtype=np.int32),
            offsets=np.cumsum(lengths, dtype=np.int64),
            labels=np.array([label[style] for style in rows["style"]], dtype=np.int64),
            types=np.frombuffer(types, dtype=np.int8) if PAIR in rows else None,
        )
    return Splits(**splits, truncated=truncated)


class _Portion(NamedTuple):
    """Token ids and types of some texts; the types only where texts are pairs."""

    ids: list[list[int]]
    types: list[list[int]]
    truncated: int


def _encode(
    rows: pd.DataFrame, tokenizer: PreTrainedTokenizerFast, max_length: int | None, what: str, start: int
) -> _Portion:
    texts = [rows[column].tolist() for column in ("text", PAIR) if column in rows]
    paired = len(texts) > 1
    options: dict[str, Any] = {
        "split_special_tokens": True,
        "return_token_type_ids": paired,
        "return_attention_mask": False,
    }
    encoded = tokenizer(*texts, **options, verbose=False)
    ids, types = encoded["input_ids"], encoded["token_type_ids"] if paired else []
    least = tokenizer.num_special_tokens_to_add(pair=paired)
    for i, text in enumerate(ids):
        if len(text) <= least:
            raise UsageError(f"the tokenizer produces no tokens for {what} {start + i + 1}, {texts[0][i][:40]!r}")
    too_long = [i for i, text in enumerate(ids) if max_length is not None and len(text) > max_length]
    for i in too_long:
        cut = tokenizer(*(column[i] for column in texts), **options, truncation=True, max_length=max_length)
        ids[i] = cut["input_ids"]
        if paired:
            types[i] = cut["token_type_ids"]
    return _Portion(ids, types, len(too_long))
