"""Records -> what is known of each variant over its seeds, and which variants may be compared."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from bench.stats.searches import searches
from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from bench.stats.searches import Rule, Search
    from bench.store.record import Baseline, Majority, Record, Scores

Item = TypeVar("Item")
Key = TypeVar("Key", bound="Hashable")


@dataclass(frozen=True)
class Estimate:
    """A mean over n values and their sample standard deviation (n - 1 below), None for a single value."""

    mean: float
    sd: float | None
    n: int


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Return the estimate from the values that are there, None where there is none."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    mean = statistics.fmean(known)
    return Estimate(mean, statistics.stdev(known, mean) if len(known) > 1 else None, len(known))


@dataclass(frozen=True)
class TrainingSettings:
    """How a run was trained, apart from its method: runs that differ here are never averaged."""

    epochs: int
    max_steps: int | None
    batch_size: int
    max_length: int
    learning_rate: float | None
    weight_decay: float
    warmup_share: float
    dtype: str
    device: str
    protocol: int
    tested_epoch: Rule = "last"
    selected_by: str | None = None

    @classmethod
    def of(cls, record: Record) -> TrainingSettings:
        """Read the settings; the learning rate is None where it stands among the hyperparameters."""
        training = record.training
        return cls(
            epochs=training.epochs,
            max_steps=training.max_steps,
            batch_size=training.batch_size,
            max_length=record.data.max_length,
            learning_rate=None if "learning_rate" in record.hyperparameters else training.learning_rate,
            weight_decay=training.weight_decay,
            warmup_share=training.warmup_share,
            dtype=training.dtype,
            device=training.device,
            protocol=record.protocol,
            tested_epoch="best" if training.select_epoch else "last",
            selected_by=training.select_metric if training.select_epoch else None,
        )


@dataclass(frozen=True)
class Machine:
    """What speed and memory depend on: figures of two machines are never averaged."""

    cpu: str
    gpu: str | None
    threads: int

    @classmethod
    def of(cls, record: Record) -> Machine:
        """Read the machine that a run was made on."""
        threads = record.speed.threads if record.speed else None
        return cls(record.environment.cpu, record.environment.gpu, threads or record.training.threads)


@dataclass(frozen=True)
class Summary:
    """One method with one set of hyperparameters, trained in one way, over its seeds.

    `runs` have a result, one a seed; `failed` have none, one a seed; speed, memory and time are of the runs on
    `machine`, and forgetting is of those that were measured by `text` (its SHA-256), of which there may be none.
    """

    method: str
    hyperparameters: Mapping[str, Any]
    training: TrainingSettings
    runs: tuple[Record, ...]
    failed: tuple[Record, ...]
    machine: Machine | None
    text: str | None = None

    @cached_property
    def accuracy(self) -> Estimate | None:
        """Share of the test examples that are classified right, 0 to 1."""
        return self._quality(lambda scores: scores.accuracy)

    @cached_property
    def macro_f1(self) -> Estimate | None:
        """F1 averaged over the styles, each counting the same, 0 to 1."""
        return self._quality(lambda scores: scores.macro_f1)

    def fits(self, trial: Record, rule: Rule) -> bool:
        """Whether this is what a search's trial tried, trained in the same way and judged by that epoch."""
        alike = trial.method == self.method and trial.hyperparameters == self.hyperparameters
        metric = trial.training.select_metric if rule == "best" else None
        return alike and replace(TrainingSettings.of(trial), tested_epoch=rule, selected_by=metric) == self.training

    def metric(self, name: str) -> Estimate | None:
        """A metric of the test split, by its name in the record."""
        return self._quality(lambda scores: getattr(scores, name))

    def category_accuracy(self, category: str) -> Estimate | None:
        """Accuracy within one category of the test split."""
        return self._quality(
            lambda scores: scores.per_category[category].accuracy if category in scores.per_category else None
        )

    @cached_property
    def validation_loss(self) -> dict[int, Estimate]:
        """Mean cross-entropy in nats on the validation split by epoch, for the epochs that every run has."""
        by_epoch: dict[int, list[float]] = defaultdict(list)
        for run in self.runs:
            for epoch in run.quality.epochs if run.quality else ():
                by_epoch[epoch.epoch].append(epoch.validation_loss)
        whole = {epoch: losses for epoch, losses in by_epoch.items() if len(losses) == len(self.runs)}
        return {epoch: found for epoch in sorted(whole) if (found := estimate(whole[epoch]))}

    @cached_property
    def trainable(self) -> Estimate | None:
        """Scalars that train, the classification head among them."""
        return estimate(run.parameters.trainable for run in self.runs if run.parameters)

    @cached_property
    def trainable_share(self) -> Estimate | None:
        """Scalars that train among all, 0 to 1."""
        return estimate(run.parameters.trainable / run.parameters.total for run in self.runs if run.parameters)

    @cached_property
    def adapter_bytes(self) -> Estimate | None:
        """Size of what training makes, the head included, on disk."""
        return estimate(run.parameters.adapter_bytes for run in self.runs if run.parameters)

    @cached_property
    def live_peak_bytes(self) -> Estimate | None:
        """Peak bytes of live tensors in one fixed step, the same on every machine."""
        return estimate(run.compute.live_peak_bytes for run in self.runs if run.compute)

    @cached_property
    def forgetting(self) -> Estimate | None:
        """How much worse the backbone models the text than without the method, in nats a token."""
        return estimate(map(self.forgot, self.runs))

    def forgot(self, run: Record) -> float | None:
        """The same of one run; None where it was measured by another text, or not at all."""
        found = run.forgetting
        return found.nats if found is not None and found.text_sha256 == self.text else None

    @cached_property
    def train_tokens_per_s(self) -> Estimate | None:
        """Real tokens a second in training."""
        return self._cost(lambda run: run.speed.train_tokens_per_s if run.speed else None)

    @cached_property
    def eval_tokens_per_s(self) -> Estimate | None:
        """Real tokens a second in inference on the test split."""
        return self._cost(lambda run: run.speed.eval_tokens_per_s if run.speed else None)

    @cached_property
    def peak_bytes(self) -> Estimate | None:
        """Peak memory of the whole run in bytes, the baseline included."""
        return self._cost(lambda run: run.memory.peak_bytes if run.memory else None)

    @cached_property
    def train_s(self) -> Estimate | None:
        """Seconds of training steps alone."""
        return self._cost(lambda run: run.speed.train_s if run.speed else None)

    @cached_property
    def train_joules(self) -> Estimate | None:
        """Energy of training steps alone, in joules."""
        return self._cost(lambda run: run.speed.train_joules if run.speed else None)

    def _quality(self, score: Callable[[Scores], float | None]) -> Estimate | None:
        return estimate(score(run.quality.test) for run in self.runs if run.quality)

    def _cost(self, figure: Callable[[Record], float | None]) -> Estimate | None:
        return estimate(figure(run) for run in self.timed)

    @cached_property
    def timed(self) -> tuple[Record, ...]:
        """The runs whose times and memory are worth something: on `machine`, and by themselves there."""
        return tuple(run for run in self.runs if Machine.of(run) == self.machine and alone(run))


@dataclass(frozen=True)
class Comparison:
    """Runs on the same backbone, splits and preset, summarised: best mean accuracy first, without a result last.

    `searches` are the searches for good settings on them, `optimised` those that compare nothing. Their trials are in
    no summary; where there is nothing else, they are the `records`.
    """

    records: tuple[Record, ...]
    summaries: tuple[Summary, ...]
    machine: Machine | None
    superseded: int
    searches: tuple[Search, ...] = ()
    optimised: tuple[Search, ...] = ()

    @property
    def newest(self) -> Record:
        """The record made last."""
        return self.records[-1]

    @property
    def texts(self) -> str:
        """The fingerprint of the splits that train was drawn from, its own where it is whole: the same at every train
        size."""
        return self.newest.data.drawn_from or self.newest.data.fingerprint

    @property
    def train_size(self) -> int:
        """How many passages the train split has."""
        return self.newest.data.sizes.train

    @property
    def majority(self) -> Majority:
        """The baseline that always names the train split's most frequent style."""
        return self.newest.data.majority

    @property
    def baseline(self) -> Baseline | None:
        """Logistic regression on character n-grams, as the newest record tells that knows it."""
        return next((run.data.baseline for run in reversed(self.records) if run.data.baseline), None)

    @property
    def failed(self) -> tuple[Record, ...]:
        """The runs without a result."""
        return tuple(run for summary in self.summaries for run in summary.failed)

    @property
    def results(self) -> int:
        """How many runs have a result."""
        return sum(len(summary.runs) for summary in self.summaries)


def comparisons(records: Iterable[Record]) -> list[Comparison]:
    """Part the records into those that may be compared, in the order of `newest_first`."""
    ordered = sorted(records, key=lambda record: (record.created_at, record.uid))
    return newest_first([_compare(group) for group in _grouped(ordered, _comparable).values()])


def newest_first(found: Iterable[Comparison]) -> list[Comparison]:
    """Sort comparisons: that with the newest record first, and beside it its other train sizes, the largest first."""
    groups = _grouped(sorted(found, key=lambda one: one.newest.created_at, reverse=True), whole_task).values()
    return [one for group in groups for one in sorted(group, key=lambda one: one.train_size, reverse=True)]


def whole_task(found: Comparison) -> Hashable:
    """What is the same in comparisons that differ in their train size alone."""
    record = found.newest
    return record.preset, record.backbone.name, record.backbone.source, record.backbone.revision, found.texts


def _comparable(record: Record) -> Hashable:
    backbone = record.backbone
    return record.preset, backbone.name, backbone.source, backbone.revision, record.data.fingerprint


def _compare(found: Sequence[Record]) -> Comparison:
    records = [record for record in found if record.search is None]
    groups = [_latest_by_seed(group) for group in _grouped(records, _variant).values()]
    machine = _usual_machine([run for group in groups for run in group if has_result(run) and alone(run)])
    text = _usual_text(run for group in groups for run in group if has_result(run))
    summaries = sorted((_summarise(group, machine, text) for group in groups), key=_best_first)
    superseded = len(records) - sum(map(len, groups))
    fair, optimised = (tuple(s for s in searches(found) if s.optimised == apart) for apart in (False, True))
    return Comparison(tuple(records or found), tuple(summaries), machine, superseded, fair, optimised)


def _variant(record: Record) -> Hashable:
    hyperparameters = json.dumps(record.hyperparameters, sort_keys=True)
    return record.method, hyperparameters, TrainingSettings.of(record)


def _latest_by_seed(records: Sequence[Record]) -> list[Record]:
    """Keep one run a seed: the newest with a result, else the newest."""
    kept: dict[int, Record] = {}
    for record in records:
        if has_result(record) or not has_result(kept.get(record.seed)):
            kept[record.seed] = record
    return [kept[seed] for seed in sorted(kept)]


def has_result(record: Record | None) -> bool:
    """Whether the run ended well and its test figures are there."""
    return record is not None and record.status == "ok" and record.quality is not None


def _usual_machine(runs: Sequence[Record]) -> Machine | None:
    """The machine that most of the runs were made on."""
    counted = Counter(map(Machine.of, runs)).most_common(1)
    return counted[0][0] if counted else None


def _usual_text(runs: Iterable[Record]) -> str | None:
    """The text by which most of the runs measured forgetting."""
    counted = Counter(run.forgetting.text_sha256 for run in runs if run.forgetting).most_common(1)
    return counted[0][0] if counted else None


def _summarise(records: Sequence[Record], machine: Machine | None, text: str | None) -> Summary:
    first = records[0]
    return Summary(
        method=first.method,
        hyperparameters=first.hyperparameters,
        training=TrainingSettings.of(first),
        runs=tuple(record for record in records if has_result(record)),
        failed=tuple(record for record in records if not has_result(record)),
        machine=machine,
        text=text,
    )


def _best_first(summary: Summary) -> tuple[float, str, str]:
    mean = summary.accuracy.mean if summary.accuracy else float("-inf")
    return -mean, summary.method, json.dumps(summary.hyperparameters, sort_keys=True)


def differing_hyperparameters(summaries: Iterable[Summary]) -> dict[str, list[str]]:
    """For each method, the hyperparameters whose values differ among its summaries, in the method's order."""
    by_method = _grouped(summaries, lambda summary: summary.method)
    return {method: _differing([s.hyperparameters for s in group]) for method, group in by_method.items()}


def differing_settings(summaries: Iterable[Summary]) -> list[str]:
    """The training settings whose values differ among the summaries.

    A learning rate that a method has of its own (None here) is no difference: it shows among its hyperparameters.
    """
    names = [field.name for field in fields(TrainingSettings)]
    settings = [{name: getattr(summary.training, name) for name in names} for summary in summaries]
    known = [s for s in settings if s["learning_rate"] is not None]
    differing = set(_differing([{**s, "learning_rate": None} for s in settings]))
    differing |= set(_differing([{"learning_rate": s["learning_rate"]} for s in known]))
    return [name for name in names if name in differing]


def _differing(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for mapping in mappings for name in mapping)
    return [name for name in names if len({_canonical(mapping, name) for mapping in mappings}) > 1]


def _canonical(mapping: Mapping[str, Any], name: str) -> str:
    return json.dumps(mapping[name], sort_keys=True) if name in mapping else "absent"


def alpha_sweeps(summaries: Iterable[Summary]) -> list[list[Summary]]:
    """LoRA's summaries by ascending alpha: one list for each combination of everything else with two alphas or more."""
    lora = [
        summary
        for summary in summaries
        if summary.method == "lora" and isinstance(summary.hyperparameters.get("alpha"), (int, float))
    ]
    sweeps = _grouped(lora, _apart_from_alpha).values()
    return [sorted(sweep, key=lambda summary: summary.hyperparameters["alpha"]) for sweep in sweeps if len(sweep) > 1]


def _apart_from_alpha(summary: Summary) -> Hashable:
    rest = {name: value for name, value in summary.hyperparameters.items() if name != "alpha"}
    return json.dumps(rest, sort_keys=True), summary.training


def turned_up(losses: Mapping[int, Estimate]) -> int | None:
    """The first epoch whose mean validation loss is higher than the epoch before's; None where there is none."""
    epochs = sorted(losses)
    return next((after for before, after in pairwise(epochs) if losses[after].mean > losses[before].mean), None)


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)
