"""Searches for good settings: what each trial came to on the validation split, and which one is chosen by that."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from bench.store.record import Epoch, Record, Searched

Rule = Literal["last", "best"]
"""By which epoch a trial is judged: by its last, or by that which was best on the validation split."""


def score(epochs: Sequence[Epoch], rule: Rule) -> Epoch:
    """Return the epoch by which a run is judged: of the best ones by accuracy, then loss, the earliest."""
    if rule == "last":
        return epochs[-1]
    return max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss, -epoch.epoch))


@dataclass(frozen=True)
class Search:
    """The trials of one method under one search seed, in order, without a gap: number 0 is the default.

    `space` are the ranges that were searched, by hyperparameter.
    """

    method: str
    seed: int
    space: Mapping[str, Searched]
    trials: tuple[Record, ...]

    def first(self, trials: int) -> Search:
        """The same with the default and so many trials after it."""
        return Search(self.method, self.seed, self.space, self.trials[: trials + 1])

    def accuracy(self, place: int, rule: Rule) -> float | None:
        """A trial's validation accuracy, 0 to 1; None where the run has no result."""
        epochs = _epochs(self.trials[place])
        return score(epochs, rule).validation_accuracy if epochs else None

    def chosen(self, rule: Rule) -> int | None:
        """The trial that is best on the validation split, by accuracy, then by loss, then the earliest; None: none is.

        A trial without a result, be it that it diverged, is a trial, but never chosen.
        """
        judged = {place: score(epochs, rule) for place, trial in enumerate(self.trials) if (epochs := _epochs(trial))}
        if not judged:
            return None
        return max(judged, key=lambda at: (judged[at].validation_accuracy, -judged[at].validation_loss, -at))

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
        """What training took in each trial; of one without a result all that it took."""
        return tuple(spent(trial) for trial in self.trials)


def spent(trial: Record) -> float:
    """Return the seconds of training; all of the run's where it has no result."""
    known = trial.speed.train_s if trial.speed else None
    return known if known is not None else (trial.wall_s if trial.status != "ok" else 0.0)


def _epochs(trial: Record) -> list[Epoch] | None:
    return trial.search.epochs if trial.search else None


def searches(records: Iterable[Record]) -> list[Search]:
    """Gather the trials among records that can be compared, by method and search seed; of each trial the newest.

    Where a method was searched in several spaces or trained in several ways, only the newest of these counts.
    """
    newest: dict[tuple[str, int], Hashable] = {}
    groups: dict[Hashable, dict[int, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda record: (record.created_at, record.uid)):
        if record.search is None:
            continue
        key = (record.method, record.seed, _settings(record))
        newest[record.method, record.seed] = key
        groups[key][record.search.trial] = record
    return [
        Search(method, seed, _space(groups[key]), _in_order(groups[key]))
        for (method, seed), key in sorted(newest.items(), key=lambda item: item[0])
        if 0 in groups[key]
    ]


def _settings(record: Record) -> str:
    """What is the same for all trials of a search."""
    training = record.training.model_dump(
        include={"epochs", "max_steps", "batch_size", "weight_decay", "warmup_share", "dtype", "device"}
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
