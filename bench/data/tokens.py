"""A corpus as token ids, saved once for a study and read by every run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bench.data.frames import SPLITS
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from bench.data.corpus import Corpus
    from bench.data.frames import Split

_FILE = "splits.safetensors"
_ARRAYS = ("ids", "offsets", "labels")


@dataclass(frozen=True, eq=False)
class TokenSplit:
    """The texts of a split, end to end: text i is ids[offsets[i]:offsets[i + 1]]."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text [n]."""
        return np.diff(self.offsets)

    def row(self, i: int) -> NDArray[np.int32]:
        """The token ids of text i."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]


@dataclass(frozen=True, eq=False)
class Splits:
    """The three splits, and how many texts in them were cut to the maximum length."""

    train: TokenSplit
    validation: TokenSplit
    test: TokenSplit
    truncated: int

    def without_test(self) -> Splits:
        """Return the same with no text in the test split."""
        nothing = TokenSplit(*(getattr(self.test, name)[:0] for name in _ARRAYS))
        return replace(self, test=replace(nothing, offsets=self.test.offsets[:1]))

    def save(self, folder: Path) -> None:
        """Write the splits into an existing folder."""
        from safetensors.numpy import save_file

        arrays = {f"{split}.{name}": getattr(getattr(self, split), name) for split in SPLITS for name in _ARRAYS}
        save_file({**arrays, "truncated": np.array([self.truncated])}, folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Splits:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / _FILE)
        splits = {split: TokenSplit(*(arrays[f"{split}.{name}"] for name in _ARRAYS)) for split in SPLITS}
        return cls(**splits, truncated=int(arrays["truncated"][0]))


def tokenise(corpus: Corpus, tokenizer: PreTrainedTokenizerFast, max_length: int) -> Splits:
    """Tokenise every text as the model expects it, and cut it to `max_length` tokens.

    What the tokenizer puts around a text by itself (GPT-2's nothing, BERT's [CLS] and [SEP]) is there; what looks like
    a special token inside a text is taken as ordinary characters, so that none is mistaken for padding.
    Raises UsageError where a text has no tokens.
    """
    label = {style: position for position, style in enumerate(corpus.styles)}
    splits, truncated = {}, 0
    for split in SPLITS:
        rows = corpus.frames[split]
        encoded = _encode(rows["text"].tolist(), tokenizer, split)
        too_long = [i for i, ids in enumerate(encoded) if len(ids) > max_length]
        truncated += len(too_long)
        for i in too_long:
            encoded[i] = tokenizer(rows["text"][i], split_special_tokens=True, truncation=True, max_length=max_length)[
                "input_ids"
            ]
        splits[split] = TokenSplit(
            ids=np.concatenate([np.asarray(ids, dtype=np.int32) for ids in encoded]),
            offsets=np.cumsum([0, *map(len, encoded)], dtype=np.int64),
            labels=np.array([label[style] for style in rows["style"]], dtype=np.int64),
        )
    return Splits(**splits, truncated=truncated)


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerFast, split: Split) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(texts, split_special_tokens=True, verbose=False)["input_ids"]
    least = tokenizer.num_special_tokens_to_add()
    for i, ids in enumerate(encoded):
        if len(ids) <= least:
            raise UsageError(f"the tokenizer produces no tokens for {split} passage {i + 1}, {texts[i][:40]!r}")
    return encoded
