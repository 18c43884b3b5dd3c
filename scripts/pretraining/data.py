"""Documents -> tokens -> the training sequences, in an order that depends on the seed alone."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pretraining.texts import Document

END = "<|endoftext|>"

HELD_OUT_SHARE = 0.005
LONGEST_HELD_OUT = 100_000
"""Characters; a longer document is worth more to training than to the loss curve."""

TOKENIZER_CHARACTERS = 3_000_000
"""Characters of each source that the tokenizer is trained on, at most: no source rules the vocabulary."""

SENTENCE_START = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]*[A-Z])|\n")


def split_documents(documents: Iterable[Document]) -> tuple[list[Document], list[Document]]:
    """Training and held-out documents: of every source half a percent of the characters, by the names' hashes."""
    by_source: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_source[document.source].append(document)
    training, held_out = [], []
    for source, group in by_source.items():
        wanted = 0 if source == "open-authors" else HELD_OUT_SHARE * sum(len(d.text) for d in group)
        for document in sorted(group, key=lambda d: hashlib.sha256(f"{d.source}/{d.name}".encode()).digest()):
            if wanted > 0 and len(document.text) <= LONGEST_HELD_OUT:
                wanted -= len(document.text)
                held_out.append(document)
            else:
                training.append(document)
    return training, held_out


def train_tokenizer(documents: Iterable[Document], vocabulary: int) -> Tokenizer:
    """A byte-level BPE with one special token, as GPT-2's."""
    used: dict[str, int] = defaultdict(int)
    texts = []
    for document in documents:
        if used[document.source] < TOKENIZER_CHARACTERS:
            used[document.source] += len(document.text)
            texts.append(document.text)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class Stream:
    """Documents end to end, an end token before each; `starts` are where sequences of `length` tokens begin."""

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]


Streams = dict[str, Stream]
"""Streams by their source's name."""


def save_streams(streams: Streams, path: Path) -> None:
    arrays = {f"{name}.{part}": getattr(it, part) for name, it in streams.items() for part in ("tokens", "starts")}
    np.savez(path, allow_pickle=False, **arrays)


def load_streams(path: Path) -> Streams:
    with np.load(path) as arrays:
        names = [key.removesuffix(".tokens") for key in arrays if key.endswith(".tokens")]
        return {name: Stream(arrays[f"{name}.tokens"], arrays[f"{name}.starts"]) for name in names}


def stream(documents: Sequence[Document], tokenizer: Tokenizer, length: int) -> Stream:
    """Sequences begin at a sentence, as the passages do that the model will read, where one begins soon enough.

    The next begins at the last sentence of the previous one's last quarter, else at its end.
    """
    end = tokenizer.get_vocab()[END]
    tokens: list[int] = []
    sentences: list[int] = []
    encodings = tokenizer.encode_batch([document.text for document in documents])
    for document, encoding in zip(documents, encodings, strict=True):
        tokens.append(end)
        ends = np.array([stop for _, stop in encoding.offsets])
        begins = [0] + [match.end() for match in SENTENCE_START.finditer(document.text)]
        sentences.extend(len(tokens) + np.searchsorted(ends, np.array(begins), side="right"))
        tokens.extend(encoding.ids)
    return Stream(np.array(tokens, dtype=np.int32), _starts(np.unique(sentences), len(tokens), length))


def _starts(sentences: NDArray[np.int64], total: int, length: int) -> NDArray[np.int64]:
    starts = [1]
    while starts[-1] + 2 * length < total:
        latest = starts[-1] + length
        candidate = sentences[np.searchsorted(sentences, latest, side="right") - 1]
        starts.append(int(candidate) if candidate > latest - length // 4 else latest)
    return np.array(starts)


def unspaced(tokenizer: Tokenizer) -> NDArray[np.int32]:
    """For every token the one without its leading space, where there is one, else itself; shape (vocabulary,)."""
    vocabulary = tokenizer.get_vocab()
    mapping = np.arange(len(vocabulary), dtype=np.int32)
    for token, number in vocabulary.items():
        if token.startswith("Ġ") and token[1:] in vocabulary:
            mapping[number] = vocabulary[token[1:]]
    return mapping


@dataclass(frozen=True)
class Batches:
    """Batch number n is the same whenever it is asked for, so that training can resume anywhere.

    A pass shows every stream as often as its repeats say, shuffled; position offsets let positions be learned that
    are longer than a sequence.
    """

    streams: tuple[tuple[Stream, float], ...]
    first: NDArray[np.int32]
    end: int
    length: int
    positions: int
    size: int
    seed: int

    @property
    def per_pass(self) -> int:
        return sum(round(repeats * len(stream.starts)) for stream, repeats in self.streams) // self.size

    def from_batch(self, start: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Tokens (size, length + 1) and position offsets (size,), from batch `start` on, without end."""
        number = start
        while True:
            order = self._order(number // self.per_pass)
            for index in range(number % self.per_pass, self.per_pass):
                yield self._batch(order[index * self.size : (index + 1) * self.size], number)
                number += 1

    def _order(self, number: int) -> NDArray[np.int64]:
        """Rows of (stream, start) for one pass."""
        random = np.random.default_rng((self.seed, number))
        rows = []
        for index, (stream, repeats) in enumerate(self.streams):
            wanted = round(repeats * len(stream.starts))
            shuffled = [random.permutation(stream.starts) for _ in range(-(-wanted // len(stream.starts)))]
            starts = np.concatenate(shuffled)[:wanted]
            rows.append(np.stack([np.full_like(starts, index), starts], axis=1))
        return random.permutation(np.concatenate(rows))

    def _batch(self, rows: NDArray[np.int64], number: int) -> tuple[torch.Tensor, torch.Tensor]:
        random = np.random.default_rng((self.seed, 1, number))
        batch = np.empty((len(rows), self.length + 1), dtype=np.int64)
        for row, (index, start) in enumerate(rows):
            piece = self.streams[index][0].tokens[start : start + self.length + 1]
            batch[row, : len(piece)] = piece
            batch[row, len(piece) :] = self.end
        batch[:, 0] = self.first[batch[:, 0]]
        with_end = random.random(len(rows)) < 0.3
        batch[with_end, 1:] = batch[with_end, :-1]
        batch[with_end, 0] = self.end
        farthest = self.positions - self.length
        offsets = np.where(random.random(len(rows)) < 0.7, 0, random.integers(0, farthest + 1, len(rows)))
        return torch.from_numpy(batch), torch.from_numpy(offsets)
