"""The engine for Ray: each run is a task on some node of a cluster, and this process alone writes the store."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.errors import UsageError
from bench.execution import parcels, ray_node
from bench.execution.parcels import Parcel
from bench.execution.ray_node import Begun, Ended, Task
from bench.job import Failure, Progress
from bench.machine import facts
from bench.model import backbone
from bench.store.record import RunError, alone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.execution.results import Results
    from bench.job import Job
    from bench.machine.facts import Device
    from bench.store.record import Environment, Record, Status

TRIES = 3
"""So often a run is begun whose node or worker is lost."""
_POLL_S = 0.5
_PATIENCE_S = 60.0
"""So long the study waits for a node that can do its runs, after the last one is gone."""
_FAREWELL_S = 10.0
_LOST = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.TaskCancelledError,
)
_SAME = ("python", "torch", "transformers", "peft")
"""What is to be of one version everywhere, as results depend on it."""


def room(asked: Mapping[str, float]) -> int:
    """Return how many runs the cluster's nodes can do at once that each ask for so much of Ray's resources."""
    return sum(_fits(node, asked) for node in _nodes())


def check(asked: Mapping[str, float]) -> None:
    """Raise UsageError where no node has what a run asks for."""
    if not room(asked):
        has = "; ".join(sorted({_words(node["Resources"]) for node in _nodes()}))
        raise UsageError(
            f"--engine ray: no node of the cluster has what a run asks for, {_words(asked)}: they have {has}. Change "
            "--threads or --device, or add nodes"
        )


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _fits(node: dict[str, Any], asked: Mapping[str, float]) -> int:
    return min(int(node["Resources"].get(name, 0) / count) for name, count in asked.items())


def _words(resources: Mapping[str, float]) -> str:
    counts = [(resources.get(name, 0), name) for name in ("CPU", "GPU")]
    return " and ".join(f"{count:g} {name}{'' if count == 1 else 's'}" for count, name in counts if count or name == "CPU")


@dataclass
class _Running:
    """A run that was given to the cluster, when, and the stream of what its task says."""

    job: Job
    messages: Any
    created: datetime
    begin: float
    begun: Begun | None = None


@dataclass
class Ray:
    """Gives the cluster as many runs at once as its nodes have room for, and keeps each result as it comes.

    A run whose node is lost is begun again, up to TRIES times in all. `asked` is what a run asks for, by its device.
    """

    results: Results
    asked: Mapping[Device, Mapping[str, float]]
    timeout_s: float | None
    _parcels: dict[str, Parcel] = field(default_factory=dict)
    _running: list[_Running] = field(default_factory=list)
    _lost: dict[str, int] = field(default_factory=dict)
    _shown: set[str] = field(default_factory=set)
    _rest_until: float = 0.0
    _room_at: float = 0.0

    def __post_init__(self) -> None:
        """Note what this machine's records would say."""
        self._here = facts.environment("cpu", self.results.shared.command)

    def run(self, jobs: Sequence[Job]) -> None:
        """Do what nobody else does, then wait for what others do, and take over what they leave.

        Raises UsageError where a record can't be written, another study has taken this one for dead, no node is left
        that can do a run, or a node differs in what results depend on.
        """
        asked = self.asked[jobs[0].spec.training.device]
        check(asked)
        self.results.events.said(_rooms(len(_nodes()), room(asked)))
        waiting = [replace(job, threads=int(asked["CPU"])) for job in jobs]
        while waiting or self._running:
            while waiting and self._begin_one(waiting, asked):
                pass
            for run, ended in self._attend(begins=bool(waiting)):
                if ended is None:
                    waiting.insert(0, run.job)
                else:
                    self._keep(run, ended)

    def time_alone(self, jobs: Sequence[Job]) -> None:
        """Run each again with a node to itself, the same one while it lives, and put down its speed and its memory.

        A run that fails, that met others nevertheless, or that another study is at, leaves the record as it is.
        """
        self.results.events.timing(len(jobs))
        threads = 0 if ... else ...

    def leave(self) -> None:
        """End the runs under way, and remove from the nodes what the study has unpacked there."""
