"""The record: the result of one run as one JSON document, version 1 of the schema.

The names are a contract that reports, gates and other people's scripts read. Units are in the names. What doesn't
apply to a run is null, never 0.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.store.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = 1

Status = Literal["ok", "failed", "oom", "timeout", "diverged"]
BackboneSource = Literal["hub", "local", "embedded", "random"]
DataSource = Literal["hub", "local", "embedded"]
Preset = Literal["full", "demo", "custom"]


class Part(BaseModel):
    """A part of the record: strict about its names, so that a typing error can't become a silent null."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RunError(Part):
    """Why a run has no result: the exception's type (or the signal's name), what it said, its last lines."""

    type: str
    message: str
    last_lines: list[str] = []


class Backbone(Part):
    """The pretrained model under the method; `revision` is a commit on the Hub, else a hash of the content."""

    name: str
    source: BackboneSource
    revision: str
    parameters: int | None = None
    new_parts: list[str] | None = Field(
        default=None, description="parts that its weights lack: the same for every seed at first, trained with the head"
    )
    stripped_prefix: str | None = Field(default=None, description="what the names of all its weights began with")


class Majority(Part):
    """What always naming the train split's most frequent style would score on the test split."""

    style: str
    accuracy: float
    macro_f1: float


class Baseline(Part):
    """Logistic regression on character n-grams, fitted to train passages, C chosen on validation, scored on test."""

    accuracy: float
    macro_f1: float
    C: float = Field(description="the inverse strength of its L2 penalty")
    passages: int = Field(description="train passages that it was fitted to: not all of a huge split")
    fit_s: float = Field(description="n-grams, every fit, and the choice of C")


class Sizes(Part):
    """Passages in each split."""

    train: int
    validation: int
    test: int


class Data(Part):
    """The splits, the same for every method. `revision` is a commit on the Hub, else null."""

    name: str
    source: DataSource
    revision: str | None
    fingerprint: str
    styles: list[str]
    categories: list[str]
    sizes: Sizes
    max_length: int
    majority: Majority
    baseline: Baseline | None = Field(default=None, description="null where it wasn't asked for, or failed")
    duplicates: int = Field(description="texts that stand in more than one split")
    repeated: Sizes | None = Field(default=None, description="passages whose text stands earlier in the same split")
    truncated: int | None = Field(default=None, description="passages longer than max_length tokens")
    notes: list[str] | None = Field(default=None, description="what was warned of: styles that a split lacks, say")
    label: str | None = Field(default=None, description="the column of the labels, called styles here; null: style")
    group: str | None = Field(
        default=None, description="the column of the categories; null: category, or none where there are no categories"
    )
    drawn_from: str | None = Field(
        default=None, description="fingerprint of the splits that --train-size drew train from; null: train is whole"
    )


class Training(Part):
    """How the run was trained: all that is the same for every method, and what was resolved on the machine."""

    epochs: int
    max_steps: int | None
    steps: int | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float
    dtype: Literal["fp32", "bf16"]
    device: str
    threads: int
    padding_share: float | None = None
    feature_cache: bool | None = None
    select_epoch: bool | None = Field(
        default=None, description="true where the test figures are of the best epoch on the validation split"
    )
    select_metric: str | None = Field(
        default=None, description="by which metric trials, or epochs, are chosen, where it isn't accuracy"
    )
    laid_out: int | None = Field(default=None, description="frozen linear layers that were computed from a layout")
    float32_matmul: str | None = Field(
        default=None, description="torch's float32_matmul_precision when training was over: highest, so never TF32"
    )
    gpu: str | None = Field(
        default=None, description="what CUDA_VISIBLE_DEVICES calls the GPU that the run had; null on the CPU"
    )


class Parameters(Part):
    """Counts of scalars, and the adapter's size on disk in bytes."""

    trainable: int
    total: int
    adapter_bytes: int | None


class CategoryScores(Part):
    """Scores over the test passages of one category."""

    accuracy: float
    macro_f1: float
    examples: int


class StyleScores(Part):
    """Scores of one style: the share of its test passages that were recognised, and its F1 among all of them."""

    accuracy: float
    f1: float
    examples: int


class Scores(Part):
    """Scores of the last epoch, or of the one that was selected, on the test split; the loss is the mean cross-entropy
    in nats.

    Of two styles, `rarer_style` is the one with fewer train passages. What isn't defined is null: with more styles, or
    where the test split lacks one of the two.
    """

    accuracy: float
    macro_f1: float
    loss: float
    per_category: dict[str, CategoryScores]
    per_style: dict[str, StyleScores]
    calibration_error: float | None = Field(default=None, description="expected, over 15 bins of equal width")
    rarer_style: str | None = None
    rarer_f1: float | None = None
    roc_auc: float | None = None
    average_precision: float | None = Field(default=None, description="of the rarer style")


class Epoch(Part):
    """One pass over the train split; the validation figures are taken at its end. Epoch 0 is before training."""

    epoch: int
    train_loss: float | None
    validation_loss: float
    validation_accuracy: float
    validation_score: float | None = Field(
        default=None, description="the metric that selects, where it isn't accuracy: training.select_metric"
    )

    @property
    def selecting(self) -> float:
        """The figure of the metric that selects."""
        return self.validation_accuracy if self.validation_score is None else self.validation_score


def goodness(epoch: Epoch, metric: str) -> float:
    """Return the figure of the metric that selects, with the sign by which more is better."""
    return epoch.selecting if METRICS[metric].larger_is_better else -epoch.selecting


def best_validated(epochs: Sequence[Epoch], metric: str = "accuracy") -> Epoch:
    """Return the best epoch on the validation split: by the metric, then by loss, then the earliest."""
    return max(epochs, key=lambda epoch: (goodness(epoch, metric), -epoch.validation_loss, -epoch.epoch))


class Quality(Part):
    """How well it classifies. `predictions` is the name of the parquet file beside the record, and its SHA-256."""

    test: Scores
    epochs: list[Epoch]
    best_epoch: int
    predictions: str
    predictions_sha256: str | None = None


class Searched(Part):
    """From where to where a hyperparameter was searched, evenly or evenly in logarithms."""

    low: float
    high: float
    log: bool


class Search(Part):
    """A trial of a search for good settings: trained and validated, never tested. The run's seed is the search's.

    Trial 0 is the default. `epochs` is null where the run has no result. `optimised`: Optuna chose what to try, by what
    earlier trials found.
    """

    trial: int
    space: dict[str, Searched]
    optimised: bool = False
    epochs: list[Epoch] | None = None


class Speed(Part):
    """Seconds and real tokens a second: padding never counts. Training is training steps only."""

    load_s: float
    train_s: float | None = None
    train_joules: float | None = Field(
        default=None,
        description="energy of the same: of the processor's packages, on CUDA of the GPU; null where the machine "
        "doesn't tell, and where the run wasn't alone",
    )
    train_tokens_per_s: float | None = None
    train_samples_per_s: float | None = None
    step_s_median: float | None = None
    step_s_p95: float | None = None
    warmup_steps: int | None = None
    warmup_s: float | None = None
    features_s: float | None = None
    features_reused: bool | None = None
    matmul_share: float | None = None
    eval_s: float | None = None
    eval_tokens_per_s: float | None = None
    eval_samples_per_s: float | None = None
    eval_merged_tokens_per_s: float | None = None
    exclusive: bool | None = Field(
        default=None,
        description="whether no other run was on the machine, and it had a lone run's threads; null: long ago",
    )
    neighbours: int | None = Field(default=None, description="the most other runs at once on the machine meanwhile")
    threads: int | None = Field(default=None, description="with which these times were taken")

    def taken(self, *, exclusive: bool, neighbours: int, threads: int) -> Speed:
        """Return the same with what it is worth. What neighbours took can't be told from the run's own energy."""
        worth = {"exclusive": exclusive, "neighbours": neighbours, "threads": threads}
        return self.model_copy(update=worth if exclusive else {**worth, "train_joules": None})


class Memory(Part):
    """Peaks in bytes, each phase's own and the baseline included."""

    peak_bytes: int
    load_peak_bytes: int | None = None
    train_peak_bytes: int | None = None
    eval_peak_bytes: int | None = None
    baseline_bytes: int | None = None
    kind: Literal["rss", "cuda_allocated"]
    reserved_bytes: int | None = None


class Compute(Part):
    """Deterministic figures of one fixed step."""

    live_peak_bytes: int
    flops: int
    operators: int


class Forgetting(Part):
    """How well the backbone models a text that no run trains on: mean cross-entropy in nats a token.

    `before` is without the method, `after` with it as it was trained; so many `tokens` of the text are predicted.
    """

    text_sha256: str
    tokens: int
    before: float
    after: float

    @property
    def nats(self) -> float:
        """How much worse it models the text: after minus before."""
        return self.after - self.before


class Environment(Part):
    """Where the run was made. `gpu` and `gpu_memory_bytes` are of the card that it had; there were so many `gpus`."""

    python: str
    torch: str
    transformers: str
    peft: str
    platform: str
    cpu: str
    gpu: str | None
    gpu_memory_bytes: int | None = None
    gpus: int | None = None
    cuda: str | None = Field(default=None, description="the version that torch was built for")
    cudnn: str | None = None
    driver: str | None = Field(default=None, description="the NVIDIA driver's version, where the kernel tells it")
    git_commit: str | None
    git_dirty: bool | None
    command: str


class Record(Part):
    """The result of one run."""

    schema_version: int = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    protocol: int = Field(description="raised when a change to the training code changes results")
    uid: str
    status: Status
    error: RunError | None = None
    created_at: str = Field(description="UTC, ISO 8601")
    wall_s: float
    method: str
    hyperparameters: dict[str, Any]
    resolved: dict[str, Any] | None = Field(
        default=None, description="hyperparameters that were left to the model's sizes, with the values used"
    )
    seed: int
    preset: Preset
    backbone: Backbone
    data: Data
    training: Training
    parameters: Parameters | None = None
    quality: Quality | None = None
    search: Search | None = Field(default=None, description="of a trial of a search, which has no quality")
    speed: Speed | None = Field(default=None, description="null where it was trained in one pass with other runs")
    memory: Memory | None = Field(default=None, description="likewise")
    compute: Compute | None = None
    forgetting: Forgetting | None = Field(
        default=None, description="null where it wasn't asked for, and where the backbone is no causal language model"
    )
    notes: list[str] = Field(
        default=[],
        description="a line for each figure of a good run that is null as it failed, and for predictions that differed "
        "when it was timed again",
    )
    environment: Environment
    checksum: str | None = None


class RecordError(ValueError):
    """A document that can't be read as a record: damaged, foreign, or of a newer schema."""


class ForeignDocument(RecordError):
    """A whole JSON document that doesn't claim to be a record: it carries no uid."""


def checksum(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's canonical JSON (sorted keys, no spaces) without its checksum field."""
    body = {key: value for key, value in document.items() if key != "checksum"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def dumps(record: Record) -> str:
    """Return the record as indented JSON with its checksum."""
    document = record.model_dump(mode="json", by_alias=True)
    document["checksum"] = checksum(document)
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def loads(text: str | bytes) -> Record:
    """Read a record. Raises RecordError for anything that isn't a whole record of a schema known here."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or "uid" not in document:
            raise ForeignDocument("not a record: no uid")
        if document.get("schema") != SCHEMA:
            raise RecordError(f"its schema is {document.get('schema')!r}, and this version reads {SCHEMA}")
        if document.get("checksum") != checksum(document):
            raise RecordError("its checksum doesn't match: the file was changed or damaged")
        return Record.model_validate(document)
    except (ValidationError, UnicodeError, ValueError, RecursionError) as error:
        if isinstance(error, RecordError):
            raise
        what = "not JSON" if isinstance(error, json.JSONDecodeError) else "not a record of this schema"
        raise RecordError(f"{what}: {error}") from error


def alone(run: Record) -> bool:
    """Tell whether a run had the machine to itself, as those had that don't say it: only then do its times compare.

    One with a result and no times was trained in one pass with others.
    """
    return run.status != "ok" if run.speed is None else run.speed.exclusive is not False
