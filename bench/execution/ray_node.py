"""What a Ray task does on its node: one run in a process of its own, as the local engine does it, and what it says.

The task's process stays for the next run; its server, which runs are forked from, has imported everything by then.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import connection
from typing import TYPE_CHECKING

import ray

from bench.execution.child import Child
from bench.job import Failure, Found, Outcome, Progress
from bench.machine import cores, facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.execution.parcels import Parcel
    from bench.job import Job
    from bench.store.record import Environment

ALL = 0
_DYING_S = 2.0
"""Where it is the node that dies, this process does so within this time, before it blames the run."""
_POLL_S = 0.5
"""How often a run's progress is told, and how soon it is seen that it took too long or that others came."""


@dataclass(frozen=True)
class Begun:
    """The run has its cores, and begins, on this node."""

    host: str
    environment: Environment


@dataclass(frozen=True)
class Waiting:
    """Other studies have the node's cores."""


@dataclass(frozen=True)
class Ended:
    """How the run ended, when it began, how long it took, and the files that it left, by their names in its scratch."""

    result: Found | Failure
    created: datetime
    wall_s: float
    files: dict[str, bytes]


@dataclass(frozen=True)
class Task:
    """A run for a node that shares no folder with the study: what the run reads, and what the study's machine is.

    A job with ALL for its threads has as many as it gets cores.
    """

    job: Job
    texts: Parcel
    backbone: Parcel
    timeout_s: float | None
    here: Environment


def attend(task: Task) -> Iterator[Waiting | Begun | Progress | Ended]:
    """Do the run, and tell of it; where the task is cancelled, or its process dies, the run ends too."""
    vars(sys.modules["__main__"]).pop("__file__", None)  # else each run's process imports Ray's worker for nothing
    job = _placed(task)
    assigned = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
    machine = cores.Cores(cores.usable())
    threads = job.threads or min(assigned, len(machine.numbers))
    environment = facts.environment(job.spec.training.device, task.here.command).model_copy(
        update={"git_commit": task.here.git_commit, "git_dirty": task.here.git_dirty}
    )
    if (lease := machine.take(threads)) is None:
        yield Waiting()
        lease = machine.wait(threads, tell=lambda: None)
    with lease:
        yield Begun(os.uname().nodename, environment)
        child = Child([replace(job, threads=threads, cores=lease.cores)], task.timeout_s)
        created, begin = datetime.now(UTC), time.monotonic()
        neighbours, looked, news = 0, 0.0, list[Progress]()
        results: list[Found | Failure] | None = None
        try:
            while results is None:
                results = child.hear(connection.wait(child.heard_of, _POLL_S), news.append)
                if results is not None or time.monotonic() > looked + _POLL_S:
                    looked = time.monotonic()
                    neighbours = max(neighbours, machine.runs() - 1)
                    for number, progress in enumerate(news, start=1):
                        if number == len(news) or progress.epoch is not None:
                            yield progress
                    news.clear()
        finally:
            child.close()
    wall_s = time.monotonic() - begin
    [result] = results
    if isinstance(result, Failure) and result.error.type == "SIGKILL":
        time.sleep(_DYING_S)
    if isinstance(result, Outcome):
        alone = not neighbours and not result.speed.features_reused and assigned >= _all_cpus()
        speed = result.speed.taken(exclusive=alone, neighbours=neighbours, threads=threads)
        result = result.model_copy(update={"speed": speed})
        yield Ended(result, created, wall_s, _taken(job))
    else:
        yield Ended(result, created, wall_s, {})


def _placed(task: Task) -> Job:
    """Return the job as it is on this node: with its folders here, and the GPU that Ray gave it."""
    backbone = task.job.spec.backbone.model_copy(update={"folder": str(task.backbone.unpacked())})
    spec = task.job.spec.model_copy(update={"backbone": backbone})
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES") if spec.training.device == "cuda" else None
    return replace(task.job.within(task.texts.unpacked()), spec=spec, checkpoint=None, gpu=gpu)


def _all_cpus() -> float:
    """How many processors this node has, by Ray's count: who holds them all has no other task beside it."""
    here = ray.get_runtime_context().get_node_id()
    return next((float(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["NodeID"] == here), 0.0)


def _taken(job: Job) -> dict[str, bytes]:
    """Take away what the run left for the study: its predictions, and its adapter where one was asked for."""
    left = [job.predictions] if job.predictions.exists() else []
    if job.adapter is not None and job.adapter.is_dir():
        left += [path for path in job.adapter.rglob("*") if path.is_file()]
    found = {str(path.relative_to(job.scratch)): path.read_bytes() for path in left}
    job.predictions.unlink(missing_ok=True)
    if job.adapter is not None:
        shutil.rmtree(job.adapter, ignore_errors=True)
    return found


def put_down(files: dict[str, bytes], scratch: Path) -> None:
    """Write what a run left on its node into the study's scratch folder."""
    for name, content in files.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
