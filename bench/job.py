"""What a study's process and a run's process say to each other; importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.store.record import Compute, Epoch, Forgetting, Memory, Parameters, Part, Quality, RunError, Speed, Status

if TYPE_CHECKING:
    from pathlib import Path

    from bench.spec import RunSpec


_LONGEST = 2000


@dataclass(frozen=True)
class Job:
    """One run for one process. `scratch` is its task's folder, for what runs share and leave to each other.

    `adapter` is where the run leaves its adapter, and `checkpoint` where it leaves what it needs to go on, after each
    epoch of at least `checkpoint_after_s` seconds; None where nobody asked for it. The engine says with how many
    `threads` it runs. `cores` and `gpu`, what CUDA_VISIBLE_DEVICES is to be, are its own while it runs; none of either:
    the run isn't kept to any. `task` names the texts and the backbone to a person where the study has several. Runs of
    a task with the same `one_pass` can be trained in one pass; None: this one is to be trained by itself.
    """

    spec: RunSpec
    styles: tuple[str, ...]
    scratch: Path
    adapter: Path | None
    threads: int = 1
    checkpoint: Path | None = None
    checkpoint_after_s: float = 0.0
    cores: tuple[int, ...] = ()
    gpu: str | None = None
    task: str = ""
    one_pass: str | None = None

    @property
    def label(self) -> str:
        """The task, the variant and the seed, for people."""
        return " · ".join(filter(None, (self.task, self.spec.label)))

    @property
    def predictions(self) -> Path:
        """Where the run leaves its predictions for the store."""
        return self.scratch / f"{self.spec.uid}.parquet"

    def within(self, scratch: Path) -> Job:
        """Return the same job where it is given another scratch folder, with the same in it."""
        return replace(self, scratch=scratch, adapter=self.adapter and scratch / self.adapter.name)


def examples_path(scratch: Path) -> Path:
    """Where a study tells its runs of the test examples: a row each, in the split's order. Trials aren't told."""
    return scratch / "examples.parquet"


def storable(text: str) -> str:
    """Return text that UTF-8 can hold, whatever file names are in it, and no more of it than anybody reads."""
    return text[:_LONGEST].encode(errors="backslashreplace").decode()


class Found(Part):
    """What a run found out: the parts of its record that the study couldn't know before, but for what it took.

    A trial of a search has no quality, but `validation` after each epoch.
    """

    backbone_parameters: int
    steps: int
    padding_share: float | None
    feature_cache: bool
    laid_out: int
    float32_matmul: str
    resolved: dict[str, Any]
    parameters: Parameters
    quality: Quality | None
    validation: list[Epoch] | None = None
    compute: Compute | None = None
    forgetting: Forgetting | None = None
    notes: tuple[str, ...] = ()


class Outcome(Found):
    """The same with what it took, which nobody knows of a run that was trained in one pass with others."""

    speed: Speed
    memory: Memory


class Failure(Part):
    """Why a run has no outcome."""

    status: Status
    error: RunError


@dataclass(frozen=True)
class Trained:
    """What a run has found out when training and evaluation are over: it stands even where no Outcome follows."""

    outcome: Outcome


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` steps of a phase, and the training loss there; the `epoch` that has ended."""

    phase: str
    done: int
    total: int
    loss: float | None
    epoch: Epoch | None = None
