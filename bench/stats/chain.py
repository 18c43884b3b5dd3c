"""Groups that are told apart: variants of which each is better than the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.differences import judged
from bench.stats.families import holm
from bench.stats.intervals import LEVEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.stats.intervals import Figures


@dataclass(frozen=True)
class Chain:
    """The longest chain among the `members`, variants by place: each of `places` is better than the next.

    p is adjusted for all `differences` between two members, so with 95% confidence none of the verdicts is false,
    whichever make the chain. `above` is the longest among the variants with a higher mean than the one at `floor`;
    empty where there is no such.
    """

    members: tuple[int, ...]
    places: tuple[int, ...]
    floor: int | None
    above: tuple[int, ...]

    @property
    def differences(self) -> int:
        """How many there are between two members."""
        return len(self.members) * (len(self.members) - 1) // 2


def told_apart(pairs: Figures, places: Sequence[int], floor: int | None = None) -> Chain | None:
    """Find the longest chains among the variants at `places`, in the order of their means, the highest first.

    `pairs` [k, k] are the differences of these variants. Of several chains as long, the one with the highest means from
    the top counts. None with fewer than three variants: two are a row in a table.
    """
    k = len(places)
    if k < 3:
        return None
    better = _better(pairs)
    end = k if floor is None else places.index(floor)
    return Chain(
        members=tuple(places),
        places=tuple(places[row] for row in _longest(better)),
        floor=floor,
        above=() if floor is None else tuple(places[row] for row in _longest(better[:end, :end])),
    )


def _better(pairs: Figures) -> NDArray[Any]:
    """Which variant is better than which of those below it, booleans [k, k], by p adjusted for all of them."""
    above, below = np.triu_indices(len(pairs.mean), 1)
    found = judged(pairs.at(above, below), LEVEL / len(above), holm)
    better = np.zeros(pairs.mean.shape, dtype=bool)
    better[above, below] = [one is not None and one.verdict == "better" for one in found]
    return better


def _longest(better: NDArray[Any]) -> list[int]:
    """The longest path through a graph whose edges lead from lower to higher places."""
    lengths = np.zeros(len(better), dtype=int)
    for place in reversed(range(len(better))):
        lengths[place] = 1 + max(lengths[better[place]], default=0)
    found: list[int] = []
    for length in range(int(lengths.max(initial=0)), 0, -1):
        able = lengths == length
        if found:
            able &= better[found[-1]]
        found.append(int(np.flatnonzero(able)[0]))
    return found
