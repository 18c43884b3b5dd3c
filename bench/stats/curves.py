"""One task at several train sizes -> accuracy against passages, and where one method overtakes another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.differences import judged
from bench.stats.families import holm
from bench.stats.intervals import LEVEL, Figures
from bench.stats.summaries import whole_task
from bench.stats.tasks import Contender, contenders

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.stats.analysis import Analysis
    from bench.stats.differences import Difference
    from bench.stats.intervals import Interval
    from bench.stats.summaries import Estimate, Summary


@dataclass(frozen=True)
class Overtaking:
    """The curve `which` is shown to be worse than the curve `other` at the size `before`, and better at `after`.

    Either may be `Curves.baseline`. Both sizes are places in `Curves.sizes`; at those between, the two can't be told
    apart.
    """

    which: int
    other: int
    before: int
    after: int


@dataclass(frozen=True, eq=False)
class Curves:
    """A task at several train sizes: index s is sizes[s], passages, ascending; index i is members[i].

    `members` have a result at two sizes or more, the highest accuracy at the largest size first; a place of theirs is
    one in analyses[s]. `tuned` are the members that stand for what a search chose for a method, at each size anew.
    """

    sizes: tuple[int, ...]
    analyses: tuple[Analysis, ...]
    members: tuple[Contender, ...]
    tuned: frozenset[int]

    @property
    def baseline(self) -> int:
        """What stands for the baseline, logistic regression on character n-grams, where members are compared."""
        return len(self.members)

    def mean(self, which: int, size: int) -> float | None:
        """The mean accuracy of a member, or of the baseline, at a size."""
        if which == self.baseline:
            found = self.analyses[size].comparison.baseline
            return found.accuracy if found else None
        accuracy = self.accuracy(which, size)
        return accuracy[0].mean if accuracy else None

    def summary(self, member: int, size: int) -> Summary | None:
        """A member's summary at a size, None where it has no result there."""
        place = self.members[member].places.get(size)
        return None if place is None else self.analyses[size].comparison.summaries[place]

    def accuracy(self, member: int, size: int) -> tuple[Estimate, Interval | None] | None:
        """A member's accuracy at a size, with its 95% interval where its predictions are known."""
        found = self.summary(member, size)
        if found is None or found.accuracy is None:
            return None
        return found.accuracy, self.analyses[size].accuracy[self.members[member].places[size]]

    @cached_property
    def differences(self) -> Mapping[tuple[int, int], Mapping[int, Difference]]:
        """Of each two members, or a member and the baseline, the first's accuracy minus the second's, by size.

        p is adjusted for all of them: with 95% confidence no "better" or "worse" at any size is false.
        """
        asked: list[tuple[int, int, int]] = []
        known: list[Figures] = []
        for size, analysis in enumerate(self.analyses):
            there = [
                (number, at)
                for number, member in enumerate(self.members)
                if (at := member.places.get(size)) is not None
            ]
            if analysis.pairs is not None and len(there) > 1:
                pairs = list(combinations(there, 2))
                asked += [(one, other, size) for (one, _), (other, _) in pairs]
                known.append(analysis.pairs.at(*np.array([(one, other) for (_, one), (_, other) in pairs]).T))
            if analysis.against_baseline is not None and there:
                asked += [(number, self.baseline, size) for number, _ in there]
                known.append(analysis.against_baseline.figures.at(np.array([at for _, at in there])))
        found: dict[tuple[int, int], dict[int, Difference]] = defaultdict(dict)
        if known:
            judgements = judged(_joined(known), LEVEL / len(asked), holm)
            for (one, other, size), difference in zip(asked, judgements, strict=True):
                if difference is not None:
                    found[one, other][size] = difference
        return found

    def difference(self, one: int, other: int, size: int) -> Difference | None:
        """One's accuracy minus the other's at a size; None where it isn't known."""
        if one > other:
            found = self.difference(other, one, size)
            return found.reversed if found else None
        return self.differences.get((one, other), {}).get(size)

    @cached_property
    def overtakings(self) -> tuple[Overtaking, ...]:
        """Where the verdict on two turns from worse to better, or the other way round."""
        found = []
        for (one, other), by_size in self.differences.items():
            verdicts = ((size, by_size[size].verdict) for size in sorted(by_size))
            decided = [(size, verdict) for size, verdict in verdicts if verdict in ("better", "worse")]
            for (before, first), (after, then) in pairwise(decided):
                if first != then:
                    which = (one, other) if then == "better" else (other, one)
                    found.append(Overtaking(*which, before, after))
        return tuple(found)

    @cached_property
    def crossing(self) -> tuple[tuple[int, int], ...]:
        """The two whose means are in another order at one size than at another, the one that is better later first."""
        found = []
        for pair in combinations(range(len(self.members) + 1), 2):
            means = [[self.mean(which, size) for which in pair] for size in range(len(self.sizes))]
            gaps = [one - other for one, other in means if one is not None and other is not None]
            signs = [sign for gap in gaps if (sign := np.sign(round(gap, 12)))]
            if len(set(signs)) > 1:
                found.append(pair if signs[-1] > 0 else pair[::-1])
        return tuple(found)


def curves(analyses: Iterable[Analysis]) -> tuple[Curves, ...]:
    """Return the tasks that stand there at two train sizes or more with a result, in the order of the analyses.

    Where one size was made twice, the first counts.
    """
    tasks: dict[Hashable, dict[int, Analysis]] = defaultdict(dict)
    for one in analyses:
        if one.comparison.results:
            tasks[whole_task(one.comparison)].setdefault(one.comparison.train_size, one)
    return tuple(_curves([by_size[size] for size in sorted(by_size)]) for by_size in tasks.values() if len(by_size) > 1)


def _curves(analyses: Sequence[Analysis]) -> Curves:
    found = [(member, False) for member in contenders(analyses)] + [(member, True) for member in _tuned(analyses)]

    def order(member: tuple[Contender, bool]) -> tuple[int, float]:
        largest, place = max(member[0].places.items())
        accuracy = analyses[largest].comparison.summaries[place].accuracy
        return -largest, -accuracy.mean if accuracy else 0.0

    kept = sorted((member for member in found if len(member[0].places) > 1), key=order)
    return Curves(
        sizes=tuple(one.comparison.train_size for one in analyses),
        analyses=tuple(analyses),
        members=tuple(member for member, _ in kept),
        tuned=frozenset(number for number, (_, chosen) in enumerate(kept) if chosen),
    )


def _tuned(analyses: Sequence[Analysis]) -> list[Contender]:
    """For each method that was searched, what its first search chose at each size."""
    chosen: dict[str, dict[int, int]] = defaultdict(dict)
    for size, one in enumerate(analyses):
        for search in one.tuned:
            if search.place is not None and search.search.space and search.accuracy is not None:
                chosen[search.search.method].setdefault(size, search.place)
    return [
        Contender(method, analyses[size].comparison.summaries[place], (), (), places, ())
        for method, places in chosen.items()
        for size, place in [max(places.items())]
    ]


def _joined(figures: Sequence[Figures]) -> Figures:
    """One-dimensional figures one after the other; those with fewer sources of chance have none of the first."""
    sources = max(len(one.variances) for one in figures)

    def padded(values: NDArray[Any]) -> NDArray[Any]:
        return np.pad(values, ((sources - len(values), 0), (0, 0)))

    return Figures(
        np.concatenate([one.mean for one in figures]),
        np.concatenate([padded(one.variances) for one in figures], axis=1),
        np.concatenate([padded(one.degrees) for one in figures], axis=1),
        np.concatenate([one.seeds for one in figures]),
    )
