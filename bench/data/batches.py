"""Which rows form a batch, and a batch as padded arrays. Numpy alone: no generator of torch is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.data.tokens import TokenSplit

JITTER = 0.03
"""How far a length may be blurred, so that an epoch's batches aren't the last one's: costs a few per cent padding."""


def train_batches(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Every row once, in batches of similar lengths, whose order is shuffled.

    A function of its arguments alone, so that every method sees the same batches. One batch, anywhere, is smaller
    where `batch_size` doesn't divide the number of rows.
    """
    rng = np.random.default_rng([seed, epoch])
    order = np.argsort(lengths * rng.uniform(1 - JITTER, 1 + JITTER, len(lengths)), kind="stable")
    full, rest = divmod(len(lengths), batch_size)
    sizes = rng.permutation([batch_size] * full + [rest] * (rest > 0))
    batches = np.split(order, np.cumsum(sizes)[:-1])
    return [batches[position] for position in rng.permutation(len(batches))]


def eval_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Every row once, longest first, so that what doesn't fit into memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def collate(
    split: TokenSplit, rows: NDArray[np.int64], pad_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The rows as input ids [b, t] and attention mask [b, t], padded on the right, and labels [b]; all int64."""
    texts = [split.row(int(row)) for row in rows]
    ids = np.full((len(texts), max(map(len, texts))), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for position, text in enumerate(texts):
        ids[position, : len(text)] = text
        mask[position, : len(text)] = 1
    return ids, mask, split.labels[rows]
