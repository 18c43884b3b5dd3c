"""Splits made of texts that come as one, by hashes: the same on every machine, whatever the rows' order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.data.frames import SPLITS, divided, text_key, text_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.data.frames import Split


def split_by_hash(rows: pd.DataFrame, held_out: Sequence[Split] = ("test", "validation")) -> dict[Split, pd.DataFrame]:
    """Hold out a tenth of each style's different texts for each split named; the rest is train.

    No text and no document is in two splits, so that a tenth is met as nearly as the documents' sizes allow. Train
    keeps something of every style; one with too few texts or documents is missing from a split that is held out.
    `rows` is taken apart, as `divided` does it.
    """
    belongs = _belongs(rows, held_out)
    parts = divided(rows, belongs, 1 + len(held_out))
    made = dict(zip(("train", *held_out), parts, strict=True))
    return {split: made[split] for split in SPLITS if split in made}


def _belongs(rows: pd.DataFrame, held_out: Sequence[Split]) -> NDArray[np.int8]:
    """For each row the place of its split in `held_out`, from 1, and 0 for train [n]."""
    texts, units = _units(text_keys(rows), rows["document"])
    styles, names = pd.factorize(rows["style"], sort=True)
    order = np.lexsort((texts, units, styles))
    order = order[_changes(styles[order], texts[order], units[order])]  # each different text of a style once
    style, unit = styles[order], units[order]
    first = np.flatnonzero(_changes(style, unit))
    sizes = np.diff(np.append(first, len(order)))
    return _held_out(style[first], unit[first], sizes, len(names), held_out)[units]


def _changes(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a row differs from the one before it in any of the columns; the first does."""
    differs = np.ones(len(columns[0]), dtype=bool)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return differs


def _units(keys: NDArray[np.uint64], documents: pd.Series) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each row's text [n] and what stays in one split with it [n], as numbers: a document, or a text that has none.

    Documents that share a text are one unit, called by the first of their names. Texts are numbered in the order of
    their hashes, and units in that of the hashes of their names.
    """
    distinct, numbers = np.unique(keys, return_inverse=True)
    text = numbers.astype(np.int32)  # of many millions of rows half as much memory
    known = documents.notna().to_numpy()
    if not known.any():
        return text, text
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    document, names = pd.factorize(documents[known], sort=True)
    nodes = len(distinct) + len(names)
    edges = coo_matrix((np.ones(len(document)), (text[known], len(distinct) + document)), shape=(nodes, nodes))
    count, component = connected_components(edges, directed=False)
    order, is_text = np.zeros(count, dtype=np.uint64), np.ones(count, dtype=bool)
    order[component[: len(distinct)]] = distinct
    for place in reversed(range(len(names))):
        unit = component[len(distinct) + place]
        order[unit], is_text[unit] = text_key(names[place]), False
    rank = np.empty(count, dtype=np.int32)
    rank[np.lexsort((is_text, order))] = np.arange(count)
    return text, rank[component[text]]


def _held_out(
    style: NDArray[np.int64], unit: NDArray[np.int32], size: NDArray[np.int64], styles: int, splits: Sequence[Split]
) -> NDArray[np.int8]:
    """Choose the units that leave train: for each the place of its split in `splits`, from 1, and 0 for train.

    The three arrays, sorted by style and then by unit, have for each style its units and how many different texts these
    have of it. In the order of units, one is taken where that brings its style nearer to a tenth; where none does, the
    smallest is. A style's last unit stays.
    """
    belongs = np.zeros(unit.max() + 1, dtype=np.int8)
    left = np.bincount(style, minlength=styles)
    by_unit = np.argsort(unit, kind="stable")
    begins = np.searchsorted(unit[by_unit], np.arange(len(belongs) + 1))
    bounds = np.searchsorted(style, np.arange(styles + 1))

    def taken(place: int, split: int) -> bool:
        others = style[by_unit[begins[unit[place]] : begins[unit[place] + 1]]]
        if (left[others] <= 1).any():
            return False
        belongs[unit[place]] = split
        left[others] -= 1
        return True

    for split in range(1, len(splits) + 1):
        for one in range(styles):
            own = np.arange(bounds[one], bounds[one + 1])
            aim = max(1, (int(size[own].sum()) + 5) // 10)
            have = int(size[own][belongs[unit[own]] == split].sum())
            free = own[belongs[unit[own]] == 0]
            for place in free:
                if have >= aim:
                    break
                if abs(have + size[place] - aim) < abs(have - aim) and taken(place, split):
                    have += int(size[place])
            for place in free[np.argsort(size[free], kind="stable")] if have == 0 else ():
                if taken(place, split):
                    break
    return belongs
