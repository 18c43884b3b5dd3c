"""The engine for Ray: each run is a task on some node of a cluster, and this process alone writes the store."""

from __future__ import annotations

import time
from collections import Counter
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
from bench.execution.ray_node import Begun, Ended, Task, Waiting
from bench.job import Failure, Outcome, storable
from bench.machine import facts
from bench.model import backbone
from bench.store.record import RunError, alone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.execution.results import Results
    from bench.execution.slots import Placing
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


def wanted(placing: Placing, device: Device) -> dict[str, float]:
    """Return what a run asks for, in Ray's words: as many CPUs as it has threads, and with CUDA its share of a GPU."""
    cpus = {"CPU": float(placing.threads or 1)}
    return {**cpus, "GPU": 1 / placing.per_gpu} if device == "cuda" else cpus


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
    counts = {name: resources.get(name, 0) for name in ("CPU", "GPU") if name == "CPU" or name in resources}
    return " and ".join(f"{count:g} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


@dataclass
class _Running:
    """A run that was given to the cluster, when, and what its task says: a stream of messages."""

    job: Job
    messages: Any
    created: datetime
    begin: float
    environment: Environment


@dataclass
class Ray:
    """Gives the cluster as many runs at once as its nodes have room for, and keeps each result as it comes.

    A run whose node is lost is begun again, up to TRIES times in all, and as often where it is timed again.
    """

    results: Results
    placing: Placing
    timeout_s: float | None
    _running: list[_Running] = field(default_factory=list)
    _parcels: dict[str, Parcel] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _losses: Counter[str] = field(default_factory=Counter)
    _shown: set[str] = field(default_factory=set)
    _asked: Mapping[str, float] = field(default_factory=dict)
    _room: int = 0
    _room_at: float = 0.0
    _looked_at: float = 0.0
    _rest_until: float = 0.0

    def __post_init__(self) -> None:
        """Note what is the same in the environment of all records, and what has to be."""
        self._here = facts.environment("cpu", self.results.command)

    def run(self, jobs: Sequence[Job]) -> None:
        """Do what nobody else does, then wait for what others do, and take over what they leave.

        Raises UsageError where a record can't be written, another study has taken this one for dead, no node is left
        that can do a run, or a node differs in what results depend on.
        """
        self._look(wanted(self.placing, jobs[0].spec.training.device))
        nodes = len(_nodes())
        here = f"{nodes} {'node' if nodes == 1 else 'nodes'}, room for {self._room}"
        self.results.events.said(f"Ray: {here} {'run' if self._room == 1 else 'runs'} at once")
        waiting = [replace(job, threads=int(self._asked["CPU"])) for job in jobs]
        while waiting or self._running:
            while waiting and self._begin_one(waiting):
                pass
            for run, ended in self._attend():
                if ended is None:
                    self.results.owner.release(run.job.spec.uid)
                    waiting.insert(0, run.job)
                else:
                    self._keep(run, ended)

    def time_alone(self, jobs: Sequence[Job]) -> None:
        """Run each again with a node to itself, the same one while it lives, and put down its speed and its memory.

        A run that fails, that met others nevertheless, that was first made on another processor or GPU, or that
        another study is at, leaves the record as it is.
        """
        self._look(wanted(self.placing, jobs[0].spec.training.device))
        self.results.events.timing(len(jobs))
        for job in jobs:
            placed = replace(job, threads=self.placing.threads or ray_node.ALL, adapter=None)
            self.results.events.timed(job, self._timed_alone(placed))

    def leave(self) -> None:
        """End the runs under way, and remove from the nodes what only this study has unpacked there."""
        for run in self._running:
            with suppress(ray.exceptions.RayError):
                ray.cancel(run.messages, force=True)
            self.results.owner.release(run.job.spec.uid)
        self._running.clear()
        if self._names:
            removals = [_task(parcels.remove, {}, node).remote(sorted(self._names)) for node in _nodes()]
            ray.wait(removals, num_returns=len(removals), timeout=_FAREWELL_S)

    def _timed_alone(self, job: Job) -> Record | None:
        uid = job.spec.uid
        if not self.results.owner.claim(uid):
            return None
        try:
            if (before := self.results.find(uid)) is None or alone(before):  # another study was quicker
                return None
            ended = None
            del self._losses[uid]
            while ended is None:
                self._start(job, self._largest())
                while not (over := self._attend()):
                    pass
                [(run, ended)] = over
            made, here = before.environment, run.environment
            result = ended.result
            if (
                not isinstance(result, Outcome)
                or not result.speed.exclusive
                or (made.cpu, made.gpu) != (here.cpu, here.gpu)
            ):
                return None
            ray_node.put_down(ended.files, job.scratch)
            return self.results.keep_times(job, before, result)
        finally:
            job.predictions.unlink(missing_ok=True)
            self.results.owner.release(uid)

    def _largest(self) -> dict[str, Any]:
        """Return the node with the most CPUs of those that can do a run, the same each time."""
        while not (able := [node for node in _nodes() if _fits(node, self._asked)]):
            self._attend()
        return max(able, key=lambda node: (node["Resources"]["CPU"], node["NodeID"]))

    def _begin_one(self, waiting: list[Job]) -> bool:
        """Give the cluster the first run that nobody else is at, if there is room; take out those others have done."""
        if time.monotonic() < self._rest_until or len(self._running) >= self._room:
            return False
        job = self.results.claim_first(waiting)
        if job is not None:
            self._start(job)
            return True
        self._rest_until = time.monotonic() + _POLL_S
        if waiting and not self._running:
            self.results.events.waiting([(job, self.results.owner.rivals(job.spec.uid)) for job in waiting])
        return False

    def _start(self, job: Job, whole: dict[str, Any] | None = None) -> None:
        """Give the cluster a run; where it is to be timed, with a `whole` node and a folder there to itself."""
        asked, name = self._asked, f"{self.results.owner.name}-{job.scratch.name}"
        texts = self._packed(name, [path for path in sorted(job.scratch.iterdir()) if path.is_file()])
        if whole is not None:
            texts = replace(texts, name=f"{name}-{job.spec.uid}-{self._losses[job.spec.uid]}")
            asked = {kind: whole["Resources"]["CPU"] if kind == "CPU" else 1.0 for kind in asked}
        self._names.add(texts.name)
        ref = job.spec.backbone
        model = self._packed(f"backbone-{ref.revision}", backbone.files(Path(ref.folder)))
        attend = _task(ray_node.attend, asked, whole, num_returns="streaming")
        messages = attend.remote(Task(job, texts, model, self.timeout_s, self._here))
        self._running.append(_Running(job, messages, datetime.now(UTC), time.monotonic(), self._here))

    def _packed(self, name: str, files: Sequence[Path]) -> Parcel:
        if name not in self._parcels:
            self._parcels[name] = Parcel.of(name, files)
        return self._parcels[name]

    def _attend(self) -> list[tuple[_Running, Ended | None]]:
        """Listen to the cluster for a moment; return the runs that are over, with None where one is to begin again.

        Raises UsageError where no node can do a run for a while, and where one can't do it as it should.
        """
        if time.monotonic() > self._looked_at + _POLL_S:
            self._look(self._asked)
        if not self._running:
            time.sleep(_POLL_S)
            return []
        ready, _ = ray.wait([run.messages for run in self._running], timeout=_POLL_S, fetch_local=False)
        over: list[tuple[_Running, Ended | None]] = []
        for run in [run for run in self._running if run.messages in ready]:
            try:
                message = ray.get(next(run.messages))
            except ray.exceptions.OutOfMemoryError:
                over.append((run, _ended(run, "oom", "OutOfMemoryError", "Ray ended it: its node's memory ran out")))
            except ray.exceptions.TaskUnschedulableError:  # the node that it was for was gone before it began
                time.sleep(_POLL_S)
                over.append((run, None))
            except _LOST as error:
                over.append((run, self._lost(run, error)))
            except ray.exceptions.RayError as error:  # perhaps of a node that is dying
                if self._lost(run, error) is not None:
                    raise UsageError(f"--engine ray: a node can't do runs: {_line(error)}") from error
                over.append((run, None))
            else:
                if isinstance(message, Ended):
                    over.append((run, message))
                elif isinstance(message, Begun):
                    self._began(run, message)
                elif not isinstance(message, Waiting):
                    self.results.events.progressed(run.job, message)
                elif not self._shown:
                    self.results.events.waiting([])
        for run, ended in over:
            self._running.remove(run)
            self._rest_until = 0.0
            if ended is not None:
                self._shown.discard(run.job.spec.uid)
        return over

    def _look(self, asked: Mapping[str, float]) -> None:
        """See how much room there is. Raises UsageError where there is none, at first or for a while."""
        now, self._asked = time.monotonic(), asked
        self._room, self._looked_at = room(asked), now
        if self._room:
            self._room_at = now
        elif now > self._room_at + _PATIENCE_S or not self._room_at:
            check(asked)

    def _began(self, run: _Running, message: Begun) -> None:
        run.environment = message.environment
        for name in _SAME:
            there, here = getattr(message.environment, name), getattr(self._here, name)
            if there != here:
                raise UsageError(
                    f"--engine ray: the node {message.host} has {name} {there}, and this machine {here}, so results "
                    "wouldn't compare; install the same there, or leave that node out"
                )
        if run.job.spec.uid not in self._shown:
            self._shown.add(run.job.spec.uid)
            self.results.events.started(run.job)

    def _lost(self, run: _Running, error: Exception) -> Ended | None:
        uid = run.job.spec.uid
        self._losses[uid] += 1
        if self._losses[uid] < TRIES:
            return None
        said = f"its node or its worker was lost {TRIES} times; at last: {_line(error)}"
        return _ended(run, "failed", type(error).__name__, said)

    def _keep(self, run: _Running, ended: Ended) -> None:
        try:
            ray_node.put_down(ended.files, run.job.scratch)
            self.results.keep(
                *(run.job, ended.result), created=ended.created, wall_s=ended.wall_s, environment=run.environment
            )
        finally:
            self.results.owner.release(run.job.spec.uid)


def _task(function: Any, asked: Mapping[str, float], node: dict[str, Any] | None, **options: Any) -> Any:  # noqa: ANN401
    """Return what gives the cluster a call of the function, on one node where it is named. Ray doesn't try it again."""
    options |= {"num_cpus": asked.get("CPU", 0), "num_gpus": asked.get("GPU", 0), "max_retries": 0}
    if node is not None:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(function).options(**options)


def _ended(run: _Running, status: Status, kind: str, message: str) -> Ended:
    """Say of a run how it ended, where its node says nothing."""
    failure = Failure(status=status, error=RunError(type=kind, message=storable(message), last_lines=[]))
    return Ended(failure, run.created, time.monotonic() - run.begin, {})


def _line(error: Exception) -> str:
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
