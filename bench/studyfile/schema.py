"""What may stand in a study file. Names and values are the command line's, without the dashes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from bench.data import SPLITS, DataOptions
from bench.execution.engine import Name  # noqa: TC001
from bench.resume import Rerun  # noqa: TC001
from bench.spec import LARGEST_SEED
from bench.store.metrics import METRICS
from bench.tracking import Name as Tracker  # noqa: TC001


def _listed(value: object) -> object:
    """One value is a list of one."""
    return value if isinstance(value, list) else [value]


def _named(value: object) -> object:
    """Texts by their name alone have no settings of their own."""
    return {"source": value} if isinstance(value, str) else value


def _one_or_two(value: list[str]) -> list[str]:
    if len(value) > 2 or len(set(value)) < len(value):
        raise PydanticCustomError("columns", "expected a column, or two different ones for a pair")
    return value


def _at_once(value: object) -> object:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("jobs", "expected a whole number of at least 1, or auto")


def _text_or_not(value: object) -> object:
    if isinstance(value, str):
        return Path(value)
    if isinstance(value, bool):
        return value
    raise PydanticCustomError("forgetting", "expected a file's name, or true or false")


Whole = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED)]
Truth = Annotated[bool, Field(strict=True)]
Listed = BeforeValidator(_listed)
Some = Field(min_length=1)
Duration = Annotated[str, Field(pattern=r"^\d*[1-9]\d*(\.\d+)?[smh]?$", coerce_numbers_to_str=True)]


class Part(BaseModel):
    """A part of the file: a key that isn't known is a mistake, and one without a value is as if it weren't there."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SplitSources(Part):
    """For each split a file, or a split that the data has; those that aren't named are made."""

    train: str
    validation: str | None = None
    test: str | None = None


class Texts(Part):
    """The texts of a task, with the settings that are theirs alone."""

    source: str
    text: Annotated[list[str], Listed, Some, AfterValidator(_one_or_two)] | None = None
    label: str | None = None
    group: str | None = None
    document: str | None = None
    splits: SplitSources | None = None
    sample: Whole | None = None
    category: Annotated[list[str], Listed, Some] | None = None
    train_size: Annotated[list[Whole], Listed, Some] | None = None

    @property
    def reading(self) -> DataOptions:
        """How they are to be read."""
        return DataOptions(
            text=tuple(self.text) if self.text else None,
            label=self.label,
            group=self.group,
            document=self.document,
            splits={split: source for split in SPLITS if (source := getattr(self.splits, split, None))},
            sample=self.sample,
        )


def _metric(value: str) -> str:
    if value not in METRICS:
        raise PydanticCustomError("metric", "expected one of {known}", {"known": ", ".join(METRICS)})
    return value


class Searching(Part):
    """How `bench tune` searches, which `bench run` doesn't do. A `space` is METHOD.FIELD: LOW..HIGH[:log]."""

    trials: Whole | None = None
    budget: Duration | None = None
    search_seeds: Annotated[list[Seed], Listed, Some] | None = None
    space: dict[str, str] | None = None
    select_epoch: Truth | None = None
    select_metric: Annotated[str, AfterValidator(_metric)] | None = None
    optimise: Truth | None = None


class StudyFile(Part):
    """A study of every method with every value and seed, on all texts and with all backbones.

    What is left out is as on the command line.
    """

    preset: Literal["full", "demo"] | None = None
    data: Annotated[list[Annotated[Texts, BeforeValidator(_named)]], Listed, Some] | None = None
    model: Annotated[list[str], Listed, Some] | None = None
    methods: Annotated[list[str], Listed, Some] | None = None
    settings: dict[str, Annotated[list[Any], Listed, Some]] | None = Field(default=None, alias="set")
    seeds: Annotated[list[Seed], Listed, Some] | None = None
    baseline: Truth | None = None
    forgetting: Annotated[Path | bool, PlainValidator(_text_or_not)] | None = None
    epochs: Whole | None = None
    max_steps: Whole | None = None
    batch_size: Whole | None = None
    max_length: Whole | None = None
    dtype: Literal["auto", "fp32", "bf16"] | None = None
    feature_cache: Truth | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    jobs: Annotated[int | Literal["auto"], PlainValidator(_at_once)] | None = None
    threads: Whole | None = None
    runs_per_gpu: Whole | None = None
    timing: Truth | None = None
    engine: Name | None = None
    workers: Whole | None = None
    engine_set: dict[str, Any] | None = None
    results: Path | None = None
    rerun: Rerun | None = None
    timeout: Duration | None = None
    checkpoint: Literal["auto", "on", "off"] | None = None
    save_adapters: Path | None = None
    report_to: Annotated[list[Tracker], Listed, Some] | None = None
    tune: Searching | None = None
