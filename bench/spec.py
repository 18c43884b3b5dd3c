"""What to run: a study unfolds into run specs, and a run spec has an identity, its uid."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

import methods
from bench.errors import UsageError
from bench.store.record import SCHEMA, BackboneSource, DataSource, Preset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROTOCOL = 4
"""Raised when a change to the training or evaluation code changes results, so that old records aren't reused."""


LARGEST_SEED = 2**32 - 1

CORE = ("frozen", "head", "lora", "ia3", "prefix")
"""The methods of a study that is told nothing else, the cheapest first."""

_FORMER_CORE = "card"
"""What the group `core` was called once. It still works, with a hint."""


def expand(chosen: Sequence[str]) -> tuple[str, ...]:
    """Return the methods that a person chose: a group's name stands for its members that aren't named already.

    Groups are `all`, `core`, and each family of methods.
    """
    found = [name for name in chosen if not _is_group(name)]
    for group in chosen:
        if _is_group(group):
            found += [name for name in members(group) if name not in found]
    return tuple(found)


def renamed(chosen: Sequence[str]) -> str | None:
    """Return a hint where a group is called by its former name; None where none is."""
    return f"--methods {_FORMER_CORE} is now called --methods core" if _FORMER_CORE in chosen else None


def is_name(name: str) -> bool:
    """Return whether a method or a group is called so."""
    return name in methods.names() or _is_group(name)


def _is_group(name: str) -> bool:
    return name in ("all", "core", _FORMER_CORE) or (name not in methods.names() and name in methods.families())


def members(group: str) -> Sequence[str]:
    """Return the methods of a group; `all` begins with the core, and leaves out what can't be loaded."""
    if group in ("core", _FORMER_CORE):
        return CORE
    families = methods.families()
    if group == "all":
        return [*CORE, *sorted(name for family in families.values() for name in family if name not in CORE)]
    return families[group]


class Spec(BaseModel):
    """A frozen value; `not_identity` names the fields that don't determine a run's result."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    not_identity: ClassVar[frozenset[str]] = frozenset()

    def identity(self) -> dict[str, Any]:
        """Return the fields that determine the result, nested specs likewise."""
        names = sorted(set(type(self).model_fields) - self.not_identity)
        return {name: _identity(getattr(self, name)) for name in names}


def _identity(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Spec):
        return value.identity()
    return {key: _identity(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _digest(identity: dict[str, Any]) -> str:
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class BackboneRef(Spec):
    """Which pretrained model: `revision` is the commit on the Hub, else the hash of the folder's content."""

    not_identity = frozenset({"name", "source", "folder"})
    name: str
    source: BackboneSource
    revision: str
    folder: str


class DataRef(Spec):
    """Which splits, told by the fingerprint of their texts, labels and membership."""

    not_identity = frozenset({"name", "source", "revision"})
    name: str
    source: DataSource
    revision: str | None
    fingerprint: str


class TrainingSpec(Spec):
    """How every method of the study is trained; device and dtype are resolved, never "auto".

    With `select_epoch` a run is tested as it was after the epoch that was best on the validation split, by
    `select_metric`, by which a trial is judged, too.
    """

    not_identity = frozenset({"feature_cache"})
    epochs: int = Field(gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    batch_size: int = Field(gt=0)
    max_length: int = Field(gt=0)
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    dtype: Literal["fp32", "bf16"]
    device: Literal["cpu", "cuda"]
    select_epoch: bool = False
    select_metric: str = "accuracy"
    feature_cache: bool = True

    def identity(self) -> dict[str, Any]:
        """Likewise; a run that is tested after its last epoch is what it was before there was a choice of one."""
        usual = {"select_epoch": False, "select_metric": "accuracy"}
        return {name: value for name, value in super().identity().items() if (name, value) not in usual.items()}


class Variant(Spec):
    """One method with one full set of hyperparameters."""

    method: str
    hyperparameters: dict[str, Any]

    def build(self) -> methods.Method:
        """Return the method itself. Raises methods.MethodError for a bad hyperparameter."""
        return methods.get(self.method)(**self.hyperparameters)

    @property
    def label(self) -> str:
        """A short name that tells the variants of a sweep apart: the method and what differs from its defaults."""
        defaults = methods.get(self.method)().hyperparameters()
        swept = set(methods.get(self.method).sweep)
        shown = {k: v for k, v in self.hyperparameters.items() if k in swept or v != defaults.get(k)}
        return " ".join([self.method, *(f"{key}={value}" for key, value in shown.items())])


@dataclass(frozen=True)
class Configured:
    """A method with settings that were read from files: hyperparameters as JSON has them; others keep their default."""

    method: str
    values: Mapping[str, Any]
    files: tuple[str, ...]


class RangeSpec(Spec):
    """From where to where a field was searched, evenly or evenly in logarithms."""

    low: float
    high: float
    log: bool


class TrialSpec(Spec):
    """That a run is a trial of a search, which is never tested: which one, and of which space, by field.

    The run's seed is the search's. `optimised` trials depend on what those before them found.
    """

    trial: int = Field(ge=0)
    space: dict[str, RangeSpec]
    optimised: bool = False


class RunSpec(Spec):
    """One method with one set of hyperparameters and one seed on one backbone and one set of splits."""

    not_identity = frozenset({"preset"})
    variant: Variant
    seed: int
    preset: Preset
    backbone: BackboneRef
    data: DataRef
    training: TrainingSpec
    search: TrialSpec | None = None
    protocol: int = PROTOCOL
    schema_version: int = SCHEMA

    def identity(self) -> dict[str, Any]:
        """Likewise; a run that is no trial is what it was before there were searches."""
        found = super().identity()
        return found if self.search is not None else {name: value for name, value in found.items() if name != "search"}

    @property
    def uid(self) -> str:
        """The first 16 hex digits of the SHA-256 of the identity's canonical JSON."""
        return _digest(self.identity())

    @property
    def variant_uid(self) -> str:
        """The uid that it has with seed 0: runs that differ in their seed alone share it."""
        return self.model_copy(update={"seed": 0}).uid

    @property
    def one_pass(self) -> str | None:
        """What it has in common with the runs that can be trained in one pass with it; None: it can't be with any."""
        free = self.variant.build().free_in_one_pass
        if not free:
            return None
        shared = self.identity()
        for name in free:
            del shared["variant"]["hyperparameters"][name]
        if self.search is not None:
            del shared["search"]["trial"]
        return _digest(shared)

    @property
    def label(self) -> str:
        """The variant and the seed, for people."""
        if self.search is not None:
            return f"{self.variant.label} trial={self.search.trial} search-seed={self.seed}"
        return f"{self.variant.label} seed={self.seed}"


def parse_sweeps(settings: Iterable[str], chosen: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Read `METHOD.FIELD=V1,V2` settings into {method: {field: values}}.

    Raises UsageError where a setting isn't of that form or sweeps a method that isn't chosen, and MethodError for an
    unknown field or a value that the field can't take.
    """
    sweeps: dict[str, dict[str, list[Any]]] = {}
    for setting in settings:
        target, equals, text = setting.partition("=")
        name, dot, field = target.partition(".")
        if not (equals and dot and name and field and text):
            raise UsageError(f"--set {setting}: expected METHOD.FIELD=VALUE[,VALUE…], e.g. lora.alpha=8,32,128")
        if name not in chosen:
            methods.get(name)
            raise UsageError(f"--set {setting}: {name!r} isn't among --methods {','.join(chosen)}; add it there")
        fields = sweeps.setdefault(name, {})
        if field in fields:
            raise UsageError(f"--set {setting}: {name}.{field} is set twice; give all its values in one --set")
        fields[field] = _distinct(methods.get(name).parse_values(field, text))
    return sweeps


def _distinct(values: Iterable[Any]) -> list[Any]:
    seen: dict[str, Any] = {}
    for value in values:
        seen.setdefault(repr(value), value)
    return list(seen.values())


@dataclass(frozen=True)
class LearningRates:
    """A preset's learning rates: those `chosen` for its backbone, by method; others keep their default."""

    chosen: Mapping[str, float] = field(default_factory=dict)

    def of(self, method: type[methods.Method]) -> float:
        """Return the method's learning rate."""
        return self.chosen.get(method.name, method().learning_rate)


def variants(
    chosen: Sequence[str],
    sweeps: Mapping[str, Mapping[str, Sequence[Any]]],
    learning_rates: LearningRates,
) -> list[Variant]:
    """Unfold methods and sweeps into variants: a method's own sweep holds where its field isn't set.

    `learning_rates` stand in for the methods' own defaults.
    """
    return [variant for variant, _ in unfolded(chosen, (), sweeps, learning_rates)]


def unfolded(
    chosen: Sequence[str],
    configured: Sequence[Configured],
    sweeps: Mapping[str, Mapping[str, Sequence[Any]]],
    learning_rates: LearningRates,
) -> list[tuple[Variant, tuple[str, ...]]]:
    """Return each variant once, with the files that it was read from.

    Sweeps take the place of what files say, as of a method's defaults; `learning_rates` don't.
    """
    asked = [
        *((name, dict(methods.get(name).sweep), ()) for name in chosen),
        *((one.method, {field: (value,) for field, value in one.values.items()}, one.files) for one in configured),
    ]
    found: dict[str, tuple[Variant, tuple[str, ...]]] = {}
    for name, told, files in asked:
        method = methods.get(name)
        rate = told.get("learning_rate", (learning_rates.of(method),))
        grid = {**told, "learning_rate": rate, **sweeps.get(name, {})}
        for values in itertools.product(*grid.values()):
            built = method(**dict(zip(grid, values, strict=True)))
            variant = Variant(method=name, hyperparameters=built.hyperparameters())
            _, before = found.get(repr(variant), (variant, ()))
            found[repr(variant)] = variant, tuple(dict.fromkeys([*before, *files]))
    return list(found.values())


class Study(Spec):
    """The grid of runs that one command asks for."""

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    preset: Preset
    backbone: BackboneRef
    data: DataRef
    training: TrainingSpec

    def runs(self) -> list[RunSpec]:
        """Every variant with every seed; seeds outermost, so that a study cut short has whole comparisons."""
        return [self.run(v, seed) for seed in self.seeds for v in self.variants]

    def run(self, variant: Variant, seed: int, search: TrialSpec | None = None) -> RunSpec:
        """One run on what the whole study is on."""
        return RunSpec(
            variant=variant,
            seed=seed,
            preset=self.preset,
            backbone=self.backbone,
            data=self.data,
            training=self.training,
            search=search,
        )
