"""How long a study would take, by the speeds that stores have of the same backbone on the same machine."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.store.record import Record


@dataclass(frozen=True)
class Speed:
    """What a method's runs took: tokens a second in training (None where nothing trains by steps) and in evaluation,
    and seconds for loading; `keeps_features` where one pass over train comes first."""

    train: float | None
    evaluation: float
    load_s: float
    keeps_features: bool


@dataclass(frozen=True)
class Work:
    """What each run computes: the tokens of each split, and how many times over train."""

    train: int
    validation: int
    test: int
    epochs: float

    def seconds(self, speed: Speed) -> float:
        """Return how long a run takes at that speed; validation comes before the first epoch and after each."""
        evaluated = self.validation * (self.epochs + 1) + self.test + self.train * speed.keeps_features
        trained = self.epochs * self.train / speed.train if speed.train else 0.0
        return speed.load_s + trained + evaluated / speed.evaluation


@dataclass(frozen=True)
class Estimate:
    """What a study reads, in tokens of each split, and how long it takes; None where no store tells.

    `measured` of its variants are of methods whose speed is known.
    """

    tokens: Mapping[str, int]
    seconds: float | None
    measured: int
    variants: int
    runs: int


def together(tasks: Sequence[Estimate]) -> Estimate:
    """Return the estimate of a study on several tasks."""
    seconds = [task.seconds for task in tasks]
    return Estimate(
        tokens={split: sum(task.tokens[split] for task in tasks) for split in tasks[0].tokens},
        seconds=None if None in seconds else sum(filter(None, seconds)),
        measured=sum(task.measured for task in tasks),
        variants=sum(task.variants for task in tasks),
        runs=sum(task.runs for task in tasks),
    )


def speeds(records: Iterable[Record], revision: str, device: str, machine: str) -> dict[str, Speed]:
    """Return each method's speed, the median of its good runs on the backbone `revision` and on the machine.

    `machine` is the processor's name; on a GPU, whose name isn't known without torch, it is that of its machine too.
    """
    runs = defaultdict(list)
    for record in records:
        here = record.environment.cpu == machine and record.training.device == device
        tested = record.status == "ok" and record.speed and record.speed.eval_tokens_per_s
        if tested and here and record.backbone.revision == revision:
            runs[record.method].append(record)
    return {method: _median(found) for method, found in runs.items()}


def _median(runs: Sequence[Record]) -> Speed:
    known = [run.speed for run in runs if run.speed]
    trained = [speed.train_tokens_per_s for speed in known if speed.train_tokens_per_s]
    return Speed(
        train=median(trained) if trained else None,
        evaluation=median(speed.eval_tokens_per_s or 0 for speed in known),
        load_s=median(speed.load_s for speed in known),
        keeps_features=any(run.training.feature_cache for run in runs),
    )


def study_seconds(methods: Sequence[str], seeds: int, work: Work, known: Mapping[str, Speed]) -> float | None:
    """Return how long every method with every seed takes; one of unknown speed is taken for the slowest known.

    None where no speed is known.
    """
    if not known:
        return None
    slowest = max(work.seconds(speed) for speed in known.values())
    return seeds * sum(work.seconds(known[method]) if method in known else slowest for method in methods)
