"""Which rows form a batch, and a batch as padded arrays. Numpy alone: no generator of torch is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.data.tokens import TokenSplit

SHORT = 64
"""Tokens that a passage counts for at least in an evaluation: what a prompt adds to it takes room as well."""


def train_batches(passages: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Every row once, in an order drawn anew for each epoch and cut into batches; the last may be smaller.

    A function of its arguments alone, so that every method sees the same batches. Lengths have no say: batches of
    similar length would train the same model less well (docs/measuring.md).
    """
    order = np.random.default_rng([seed, epoch]).permutation(passages)
    return np.split(order, range(batch_size, passages, batch_size))


def parts_of_similar_length(lengths: NDArray[np.int64], overhead: int) -> list[NDArray[np.int64]]:
    """Cut a batch into parts, each padded to its own longest passage, so that the whole costs least.

    `lengths` [passages] are in tokens; a part costs its passages times its longest, and `overhead` tokens for itself.
    Returns each part's positions in the batch, the longest passages first.
    """
    order = np.argsort(-lengths, kind="stable")
    longest_first = lengths[order].tolist()
    least, cut = [0], [0]  # what the first `end` passages cost at the least, and where their last part begins
    for end in range(1, len(lengths) + 1):
        costs = [least[start] + (end - start) * longest_first[start] + overhead for start in range(end)]
        cut.append(min(range(end), key=costs.__getitem__))
        least.append(costs[cut[-1]])
    parts, end = [], len(lengths)
    while end:
        parts.append(order[cut[end] : end])
        end = cut[end]
    return parts[::-1]


def eval_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Every row once, longest first, so that what doesn't fit into memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def even_eval_batches(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """The same, but each batch padded takes as many tokens as the first, of `batch_size` passages, would at the most.

    A short passage counts as one of SHORT tokens.
    """
    order = np.argsort(-lengths, kind="stable")
    takes = np.maximum(lengths[order], SHORT)
    cuts = [0]
    while cuts[-1] < len(order):
        cuts.append(cuts[-1] + int(batch_size * takes[0] // takes[cuts[-1]]))
    return np.split(order, cuts[1:-1])


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


def collate_types(split: TokenSplit, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Which text of its pair each token of the rows belongs to [b, t], 0 for padding; None where texts aren't pairs."""
    if split.types is None:
        return None
    found = np.zeros((len(rows), int(split.lengths[rows].max())), dtype=np.int64)
    for position, row in enumerate(rows):
        types = split.types[split.offsets[row] : split.offsets[row + 1]]
        found[position, : len(types)] = types
    return found
