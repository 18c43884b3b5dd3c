"""Searches for good settings: what each trial came to on the validation split, and which one is chosen by that."""

from __future__ import annotations

import json
import math
import operator
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING, Any, Literal

from bench.store.record import best_validated, goodness

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from bench.store.record import Epoch, Record, Searched

FEW_TRIALS = 8
"""With fewer trials beside the default nobody knows what another search would have found."""
_MANY, _DEGREES_OF_MANY, _DEGREES_OF_FEW = 4, 4.0, 2.0
"""From so many searches on they know together what is left to chance; what that, or one alone, is worth."""

Rule = Literal["last", "best"]
"""By which epoch a trial is judged: by its last, or by that which was best on the validation split."""


def score(epochs: Sequence[Epoch], rule: Rule, metric: str = "accuracy") -> Epoch:
    """Return the epoch by which a run is judged."""
    return epochs[-1] if rule == "last" else best_validated(epochs, metric)


Judged = tuple[float, float]
"""A trial's figure of the metric that chooses, the larger the better, and its validation accuracy."""


@dataclass(frozen=True)
class Search:
    """The trials of one method under one search seed, in order, without a gap: number 0 is the default.

    `space` are the ranges that were searched, by hyperparameter. `optimised` searches tried what earlier trials made
    look good: they find good settings, and are no measure of a method.
    """

    method: str
    seed: int
    space: Mapping[str, Searched]
    trials: tuple[Record, ...]
    optimised: bool = False

    def first(self, trials: int) -> Search:
        """The same with the default and so many trials after it."""
        return replace(self, trials=self.trials[: trials + 1])

    @property
    def metric(self) -> str:
        """By which metric of the validation split a trial is chosen."""
        return self.trials[0].training.select_metric or "accuracy"

    def accuracy(self, place: int, rule: Rule) -> float | None:
        """A trial's validation accuracy, 0 to 1; None where the run has no result."""
        epoch = self._epoch(place, rule)
        return None if epoch is None else epoch.validation_accuracy

    def figure(self, place: int, rule: Rule) -> float | None:
        """A trial's figure of the metric that chooses; None where the run has no result."""
        epoch = self._epoch(place, rule)
        return None if epoch is None else epoch.selecting

    def goodness(self, place: int, rule: Rule) -> float | None:
        """The same, with the sign by which more is better."""
        epoch = self._epoch(place, rule)
        return None if epoch is None else goodness(epoch, self.metric)

    def _epoch(self, place: int, rule: Rule) -> Epoch | None:
        epochs = _epochs(self.trials[place])
        return score(epochs, rule, self.metric) if epochs else None

    def chosen(self, rule: Rule) -> int | None:
        """The trial that is best on the validation split, by its metric, then loss, then the earliest; None: none is.

        A trial without a result, be it that it diverged, is a trial, but never chosen.
        """
        found = {place: epoch for place in range(len(self.trials)) if (epoch := self._epoch(place, rule))}
        if not found:
            return None
        return max(found, key=lambda at: (goodness(found[at], self.metric), -found[at].validation_loss, -at))

    def judged(self, rule: Rule) -> list[Judged]:
        """Each trial's figures, the default's first; one without a result counts as the worst."""
        found = [(self.goodness(place, rule), self.accuracy(place, rule)) for place in range(len(self.trials))]
        return [(-math.inf if good is None else good, accuracy or 0.0) for good, accuracy in found]

    def edges(self, rule: Rule) -> dict[str, str]:
        """The fields whose chosen value is the smallest or the largest of all that were tried: field -> which."""
        chosen = self.chosen(rule)
        if chosen is None or len(self.trials) < 3:
            return {}
        found = {}
        for field in self.space:
            tried = [float(trial.hyperparameters[field]) for trial in self.trials]
            if tried[chosen] in (min(tried), max(tried)):
                found[field] = "smallest" if tried[chosen] == min(tried) else "largest"
        return found

    @property
    def diverged(self) -> int:
        """How many trials diverged."""
        return sum(trial.status == "diverged" for trial in self.trials)

    @property
    def failed(self) -> int:
        """How many trials have no result for another reason."""
        return sum(trial.status not in ("ok", "diverged") for trial in self.trials)

    @cached_property
    def seconds(self) -> tuple[float, ...]:
        """What training took in each trial; of one without a result, or without times of its own, all that it took."""
        return tuple(spent(trial) for trial in self.trials)

    @property
    def timed(self) -> bool:
        """Whether every trial with a result has times of its own, as those haven't that were trained in one pass."""
        return all(trial.speed is not None for trial in self.trials if trial.status == "ok")


def spent(trial: Record) -> float:
    """Return the seconds of training; all of the run's where it doesn't say them."""
    return trial.wall_s if trial.speed is None else trial.speed.train_s or 0.0


def _epochs(trial: Record) -> list[Epoch] | None:
    return trial.search.epochs if trial.search else None


def searches(records: Iterable[Record]) -> list[Search]:
    """Gather the trials among records that can be compared, by method and search seed; of each trial the newest.

    Where a method was searched in several spaces or trained in several ways, only the newest of these counts; what was
    optimised stands apart.
    """
    newest: dict[tuple[str, int, bool], Hashable] = {}
    groups: dict[Hashable, dict[int, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: (record.created_at, record.uid)):
        if record.search is None:
            continue
        which = (record.method, record.seed, record.search.optimised)
        key = (which, _settings(record))
        newest[which] = key
        groups[key][record.search.trial] = record
    return [
        Search(method, seed, _space(groups[key]), _in_order(groups[key]), optimised)
        for (method, seed, optimised), key in sorted(newest.items(), key=lambda item: item[0])
        if 0 in groups[key]
    ]


def _settings(record: Record) -> str:
    """What is the same for all trials of a search."""
    training = record.training.model_dump(
        include={
            *("epochs", "max_steps", "batch_size", "weight_decay", "warmup_share", "dtype", "device", "select_metric"),
        }
    )
    space: Any = record.search.model_dump()["space"] if record.search else None
    return json.dumps([training, record.data.max_length, record.protocol, space], sort_keys=True)


def _space(trials: Mapping[int, Record]) -> Mapping[str, Searched]:
    search = trials[0].search
    return search.space if search else {}


def _in_order(trials: Mapping[int, Record]) -> tuple[Record, ...]:
    found: list[Record] = []
    while len(found) in trials:
        found.append(trials[len(found)])
    return tuple(found)


def expected_best(search: Search, rule: Rule) -> list[float]:
    """The validation accuracy to expect of what is best after the default and k trials, for k from 0 to all, 0 to 1.

    The mean over all ways to draw k of the trials without replacement, which is unbiased; with replacement it would be
    too low (Tang et al. 2020, arXiv 2004.13705). A trial without a result counts as 0.
    """
    default, *others = search.judged(rule)
    ordered = sorted(max(default, other) for other in others)
    n = len(ordered)
    found = [default[1]]
    for k in range(1, n + 1):
        found.append(sum(value * comb(place, k - 1) for place, (_, value) in enumerate(ordered)) / comb(n, k))
    return found


def expected_seconds(search: Search) -> list[float]:
    """The seconds of training to expect for the default and k trials, for k from 0 to all."""
    default, *others = search.seconds
    mean = statistics.fmean(others) if others else 0.0
    return [default + k * mean for k in range(len(search.trials))]


@dataclass(frozen=True)
class Chance:
    """What another search would change: the variance of accuracy that it adds, and its degrees of freedom."""

    variance: float
    degrees: float


def chance(found: Sequence[Search], rule: Rule) -> list[Chance | None]:
    """What each search leaves to chance, as `left_to_chance` tells it."""
    return left_to_chance([search.judged(rule) if search.space else None for search in found])


def left_to_chance(searches: Sequence[Sequence[Judged] | None]) -> list[Chance | None]:
    """What searches leave to chance, from each one's trials, the default first; None where nothing is searched.

    Other searches are had by drawing the trials anew with replacement, the default always among them; the variance of
    the best one's accuracy over all such draws is computed exactly. One search knows it badly, so that of each counts
    at least as the median of all, and what it is worth was found by simulation (docs/statistics.md). Too few trials
    tell nothing: None.
    """
    own = [0.0 if scores is None else _variance_of_best(*scores) for scores in searches]
    known = [variance for variance, scores in zip(own, searches, strict=True) if scores and variance is not None]
    many = len(known) >= _MANY
    median = statistics.median(known) if many else 0.0
    degrees = _DEGREES_OF_MANY if many else _DEGREES_OF_FEW
    return [
        None if variance is None else Chance(max(variance, median) if scores else 0.0, degrees)
        for variance, scores in zip(own, searches, strict=True)
    ]


def _variance_of_best(default: Judged, *others: Judged) -> float | None:
    n = len(others)
    if n < FEW_TRIALS:
        return None
    ordered = sorted((max(default, other) for other in others), reverse=True)
    shares = [((n - place) / n) ** n - ((n - place - 1) / n) ** n for place in range(n)]
    accuracies = [accuracy for _, accuracy in ordered]
    mean = math.fsum(map(operator.mul, shares, accuracies))
    return math.fsum(share * (value - mean) ** 2 for share, value in zip(shares, accuracies, strict=True))
