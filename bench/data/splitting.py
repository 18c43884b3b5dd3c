"""Splits made of texts that come as one, by hashes: the same on every machine, whatever the rows' order."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from bench.data.frames import SPLITS, subset, text_hash, text_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.data.frames import Split

Unit: TypeAlias = tuple[str, str]
"""What stays in one split: ("document", its name), or ("text", its hash) where a text belongs to no document."""


def split_by_hash(rows: pd.DataFrame, held_out: Sequence[Split] = ("test", "validation")) -> dict[Split, pd.DataFrame]:
    """Hold out a tenth of each style's different texts for each split named; the rest is train.

    No text and no document is in two splits, so that a tenth is met as nearly as the documents' sizes allow. Train
    keeps something of every style; one with too few texts or documents is missing from a split that is held out.
    """
    hashes = text_hashes(rows)
    units = _units(hashes, rows["document"])
    sizes: dict[str, Counter[Unit]] = defaultdict(Counter)
    for style, _, unit in set(zip(rows["style"], hashes, units, strict=True)):
        sizes[style][unit] += 1
    belongs = _held_out(sizes, held_out)
    placed = pd.Series([belongs.get(unit, "train") for unit in units], index=rows.index)
    return {split: subset(rows, placed == split) for split in SPLITS}


def _units(hashes: pd.Series, documents: pd.Series) -> list[Unit]:
    """Each row's unit; documents that share a text are one unit, called by the first of their names."""
    first: dict[Unit, Unit] = {}

    def find(unit: Unit) -> Unit:
        while (above := first.setdefault(unit, unit)) != unit:
            first[unit] = unit = first[above]
        return unit

    for text, document in zip(hashes, documents, strict=True):
        one = find(("text", text))
        if document is not None:
            low, high = sorted((one, find(("document", document))))
            first[high] = low
    return [find(("text", text)) for text in hashes]


def _held_out(sizes: dict[str, Counter[Unit]], splits: Sequence[Split]) -> dict[Unit, Split]:
    """Choose the units that leave train; `sizes` has for each style its units' different texts.

    In the order of hashes, a unit is taken where that brings its style nearer to a tenth; where none does, the smallest
    is. A style's last unit stays.
    """
    styles: dict[Unit, list[str]] = defaultdict(list)
    for style, own in sizes.items():
        for unit in own:
            styles[unit].append(style)
    left = Counter({style: len(own) for style, own in sizes.items()})
    belongs: dict[Unit, Split] = {}
    for split in splits:
        for _, own in sorted(sizes.items()):
            aim = max(1, (own.total() + 5) // 10)
            have = sum(size for unit, size in own.items() if belongs.get(unit) == split)
            free = sorted(own.keys() - belongs.keys(), key=lambda unit: (_order(unit), unit))
            smallest_first = sorted(free, key=lambda unit: own[unit])
            for unit, nearer in [*((unit, True) for unit in free), *((unit, False) for unit in smallest_first)]:
                wanted = abs(have + own[unit] - aim) < abs(have - aim) if nearer else have == 0
                if wanted and all(left[other] > 1 for other in styles[unit]):
                    belongs[unit] = split
                    left.subtract(styles[unit])
                    have += own[unit]
    return belongs


def _order(unit: Unit) -> str:
    kind, name = unit
    return name if kind == "text" else text_hash(name)
