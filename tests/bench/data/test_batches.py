from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import TokenSplit, collate, eval_batches, even_eval_batches, parts_of_similar_length, train_batches

LENGTHS = np.random.default_rng(0).lognormal(4.1, 0.5, 1000).astype(np.int64) + 1


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=90),
    batch_size=st.integers(1, 32),
    seed=st.integers(0, 9),
)
def test_every_row_once_in_batches_of_the_size_asked_for(lengths: list[int], batch_size: int, seed: int) -> None:
    for batches in (
        train_batches(len(lengths), batch_size, seed, 1),
        eval_batches(np.array(lengths), batch_size),
    ):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        sizes = sorted(map(len, batches), reverse=True)
        assert len(sizes) == -(-len(lengths) // batch_size)
        assert all(size == batch_size for size in sizes[:-1])


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200), batch_size=st.integers(1, 32))
def test_even_batches_hold_every_row_once_and_no_more_tokens_than_the_longest_would(
    lengths: list[int], batch_size: int
) -> None:
    found = np.array(lengths)
    batches = even_eval_batches(found, batch_size)
    assert np.concatenate(batches).tolist() == np.argsort(-found, kind="stable").tolist()
    most = batch_size * max(found.max(), 64)
    assert all(len(rows) * found[rows].max() <= most for rows in batches)
    for rows, following in itertools.pairwise(batches):  # one more wouldn't have fitted
        assert (len(rows) + 1) * max(found[rows].max(), 64) > most or len(following) == 0


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in train_batches(len(LENGTHS), 16, seed, epoch)]

    first = order(0, 1)
    np.random.seed(7)
    assert order(0, 1) == first
    assert order(0, 2) != first
    assert order(1, 1) != first
    batched = {frozenset(batch) for batch in first}
    assert len(batched & {frozenset(batch) for batch in order(0, 2)}) < len(first) / 10


def test_a_batch_is_as_mixed_in_length_as_the_texts() -> None:
    """Sorting by length costs accuracy: between batches the mean length varies as chance has it, and no less."""
    batches = [batch for epoch in range(1, 21) for batch in train_batches(len(LENGTHS), 16, 0, epoch)[:-1]]
    between = np.std([LENGTHS[batch].mean() for batch in batches])
    assert between == pytest.approx(LENGTHS.std() / 4, rel=0.1)


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=20), overhead=st.integers(0, 200))
def test_parts_hold_every_passage_once_and_cost_no_more_than_the_batch_whole(lengths: list[int], overhead: int) -> None:
    found = np.array(lengths)
    parts = parts_of_similar_length(found, overhead)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    ends = [(found[part].max(), found[part].min()) for part in parts]
    assert all(shortest >= longest for (_, shortest), (longest, _) in itertools.pairwise(ends))
    cost = sum(len(part) * found[part].max() + overhead for part in parts)
    assert cost <= len(lengths) * max(lengths) + overhead
    assert cost <= found.sum() + overhead * len(lengths)


def test_parts_are_cut_where_that_saves_more_than_a_part_costs() -> None:
    lengths = np.array([10, 100, 11, 90])
    assert [sorted(part) for part in parts_of_similar_length(lengths, 64)] == [[1, 3], [0, 2]]
    assert len(parts_of_similar_length(lengths, 1000)) == 1
    assert len(parts_of_similar_length(lengths, 0)) == 4


def test_the_longest_texts_are_evaluated_first() -> None:
    batches = eval_batches(LENGTHS, 64)
    assert LENGTHS[batches[0]].min() >= LENGTHS[batches[1]].max()
    assert LENGTHS[batches[0]].max() == LENGTHS.max()


def test_collate_pads_on_the_right() -> None:
    split = TokenSplit(
        ids=np.array([5, 6, 7, 8, 9, 4], np.int32), offsets=np.array([0, 3, 4, 6]), labels=np.array([1, 0, 2])
    )
    ids, mask, labels = collate(split, np.array([1, 0]), pad_id=99)
    assert ids.tolist() == [[8, 99, 99], [5, 6, 7]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert labels.tolist() == [0, 1]
    assert {array.dtype for array in (ids, mask, labels)} == {np.dtype(np.int64)}


@pytest.mark.parametrize("rows", [[2, 0, 1], [0]])
def test_collate_loses_no_token(rows: list[int]) -> None:
    split = TokenSplit(ids=np.arange(6, dtype=np.int32), offsets=np.array([0, 3, 4, 6]), labels=np.array([1, 0, 2]))
    ids, mask, _ = collate(split, np.array(rows), pad_id=0)
    assert [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)] == [
        split.row(i).tolist() for i in rows
    ]
    assert mask.sum() == split.lengths[rows].sum()
