"""The engine for Slurm: workers on other nodes, each a local engine; claims in the store share the runs among them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UsageError
from bench.execution import node
from bench.machine import facts
from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.execution.results import Results
    from bench.execution.slots import Placing
    from bench.job import Job
    from bench.machine.facts import Device, Dtype

_POLL_S, _SQUEUE_S = 0.5, 5.0
_WARNING_S = 30
"""So long before its time is up a worker is told, to end its run and go back into the queue."""
_FAREWELL_S = 10.0
"""So long workers have to leave by themselves, which takes them a second or two."""
_LAST_BYTES = 1500
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")

_Count = Annotated[int, Field(ge=1)]


class Options(BaseModel):
    """What each worker asks Slurm for: sbatch's options of these names. `cluster` local tries it without Slurm."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cluster: Literal["slurm", "local"] = "slurm"
    time: _Count = 60
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    mem: str | None = None
    cpus_per_task: _Count | None = None
    gpus_per_node: Annotated[int, Field(ge=0)] | None = None
    setup: list[str] | None = None
    additional_parameters: dict[str, Any] | None = None


@dataclass(frozen=True)
class Settings:
    """So many workers, what each asks Slurm for, and how each places runs on its node."""

    placing: Placing
    workers: int
    options: Options

    def hardware(self, device: Device | Literal["auto"], dtype: Dtype | Literal["auto"]) -> tuple[Device, Dtype]:
        """Return the nodes' device and precision. Raises UsageError where they aren't known, and without Slurm."""
        self._look_for_slurm()
        found: Device = ("cuda" if self.options.gpus_per_node else "cpu") if device == "auto" else device
        if found == "cuda" and dtype == "auto":
            raise UsageError(
                "--engine slurm: whether the nodes' GPUs multiply bf16 can't be seen from here; add --dtype bf16 (A100 "
                "and newer) or --dtype fp32"
            )
        return found, facts.resolve_dtype(dtype, found)

    def _look_for_slurm(self) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UsageError(
                "--engine slurm needs submitit, which isn't installed: pip install 'peft-bench[slurm]'"
            ) from None
        if self.options.cluster != "slurm":
            return
        for name in COMMANDS:
            if shutil.which(name) is None:
                raise UsageError(f"--engine slurm: no {name} here; run this on a node that can submit Slurm jobs")
        asked = _slurm("scontrol", "ping")
        if asked.returncode:
            said = next(iter((asked.stdout + asked.stderr).splitlines()), "nothing")
            raise UsageError(f"--engine slurm: Slurm can't be reached; `scontrol ping` said: {said}")

    @contextmanager
    def open(self, results: Results, timeout_s: float | None) -> Iterator[Slurm]:
        """Return the engine; left early, its jobs are cancelled."""
        engine = Slurm(self, results, timeout_s)
        try:
            yield engine
            engine.dismiss()
        finally:
            engine.cancel()


class Worker:
    """What a Slurm job calls: a worker's process, which ends with the job. Where time is up, Slurm queues it again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.here = folder, Path.cwd()

    def __call__(self) -> int:
        """Work until all is done; return the exit code."""
        with subprocess.Popen([sys.executable, "-m", node.__name__, str(self.folder)], cwd=self.here) as process:
            try:
                return process.wait()
            finally:  # submitit leaves this way when Slurm says that time is up
                process.terminate()

    def checkpoint(self) -> Any:  # noqa: ANN401
        """Return what is to be queued again: what was done is in the store."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Slurm:
    """Submits workers, and tells what they put into the store."""

    settings: Settings
    results: Results
    timeout_s: float | None
    _assigned: int = 0
    _workers: list[Any] = field(default_factory=list)
    _asked: tuple[float, bool] = (0.0, False)
    _seen: dict[str, int] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        """Where workers find what they are to do, and leave what they print."""
        return (self.results.owner.folder / "slurm").absolute()

    def run(self, jobs: Sequence[Job]) -> None:
        """Submit workers and wait for the records of these runs. Raises UsageError where workers end without any."""
        left = {job.spec.uid: job for job in jobs}
        self._assign(jobs, alone=False)
        before = len(left) + 1
        while left:
            alive = self._alive()
            self._look(left)
            if left and not alive:
                if len(left) == before:
                    raise UsageError(f"all workers have ended, and {len(left)} runs aren't done. {self._last_words()}")
                before = len(left)
                self._submit(len(left))
            time.sleep(_POLL_S)

    def time_alone(self, jobs: Sequence[Job]) -> None:
        """Wait until the workers have timed these, or have ended."""
        self.results.events.timing(len(jobs))
        left = {job.spec.uid: job for job in jobs}
        self._assign(jobs, alone=True)
        node.dismiss(self.folder)
        if not self._alive():
            self._submit(len(left))
        alive = True
        while left and alive:
            alive = self._alive()
            for uid, job in list(left.items()):
                record = self.results.find(uid)
                if record is not None and alone(record):
                    del left[uid]
                    self.results.records[uid] = record
                    self.results.events.timed(job, record)
            time.sleep(_POLL_S)
        for job in left.values():
            self.results.events.timed(job, None)

    def dismiss(self) -> None:
        """Give workers the time to leave by themselves; those that haven't begun are cancelled."""
        if self._workers:
            node.dismiss(self.folder)
            self._cancel("--state=PENDING")
            self._wait_until_gone()

    def cancel(self) -> None:
        """End the workers that are left, and wait a moment until they have given back what they claimed."""
        if self._workers and self._alive(now=True):
            self._cancel()
            for worker in self._workers if self._is_local else ():
                worker.cancel(check=False)
            self._wait_until_gone()

    @property
    def _is_local(self) -> bool:
        return self.settings.options.cluster == "local"

    def _assign(self, jobs: Sequence[Job], *, alone: bool) -> None:
        results = self.results
        known = {job.spec.uid: results.known[job.spec.uid] for job in jobs if job.spec.uid in results.known}
        assignment = node.Assignment(
            *(tuple(jobs), alone, results.store.folder, results.shared, results.command, known),
            *(results.adapters, self.settings.placing, self.timeout_s),
        )
        node.assign(self.folder, self._assigned, assignment)
        self._assigned += 1

    def _look(self, left: dict[str, Job]) -> None:
        """Take in which runs have begun, and the records that have come or changed since the last look."""
        with os.scandir(self.results.store.folder) as entries:
            for entry in entries:
                uid, ending = entry.name.removeprefix(".").partition(".")[0], entry.name.rpartition(".")[2]
                if uid in left and ending == "claim":
                    self._see_begun(left[uid])
                seen = uid in left and ending == "json" and self._changed(uid, entry)
                if seen and (record := self.results.news(left[uid])) is not None:
                    self._see_begun(left[uid])  # its claim may be gone before a shared folder shows it
                    self.results.take(left.pop(uid), record)

    def _see_begun(self, job: Job) -> None:
        if job.spec.uid not in self._begun:
            self._begun.add(job.spec.uid)
            self.results.events.started(job)

    def _changed(self, uid: str, entry: os.DirEntry[str]) -> bool:
        try:
            at = entry.stat().st_mtime_ns
        except FileNotFoundError:  # it was damaged, and a worker has just set it aside
            return False
        before, self._seen[uid] = self._seen.get(uid), at
        return before != at

    def _submit(self, most: int) -> None:
        import submitit

        count = min(self.settings.workers, most)
        try:
            executor = submitit.AutoExecutor(self.folder, cluster=self.settings.options.cluster)
            executor.update_parameters(**self._parameters())
            with executor.batch():
                self._workers = [executor.submit(Worker(self.folder)) for _ in range(count)]
        except (submitit.core.utils.FailedJobError, RuntimeError, ValueError, subprocess.CalledProcessError) as error:
            said = " ".join(str(error).split())
            raise UsageError(f"--engine slurm: the workers can't be submitted: {said}") from error
        self._asked = (time.monotonic(), True)
        workers = "1 worker" if count == 1 else f"{count} workers"
        self.results.events.said(f"submitted {workers}" + ("" if self._is_local else f" to Slurm, job {self._job}"))

    def _parameters(self) -> dict[str, Any]:
        plain = {"cpus_per_task", "gpus_per_node"}
        given = self.settings.options.model_dump(exclude_none=True, exclude={"cluster", "time", *plain})
        shared = self.settings.options.model_dump(exclude_none=True, include=plain)
        own = {f"slurm_{name}": value for name, value in given.items()}
        own["slurm_signal_delay_s"] = _WARNING_S
        return {"name": "bench", "timeout_min": self.settings.options.time, **shared, **own}

    @property
    def _job(self) -> str:
        """The number of the array that the workers are."""
        return str(self._workers[0].job_id).partition("_")[0]

    def _alive(self, *, now: bool = False) -> bool:
        """Tell whether a worker runs or waits, as seen lately. Not every cluster keeps accounts for sacct."""
        if not self._workers:
            return False
        if self._is_local:
            return any(not worker.done() for worker in self._workers)
        at, alive = self._asked
        if now or time.monotonic() > at + _SQUEUE_S:
            said = _slurm("squeue", "--noheader", "--format=%i", f"--jobs={self._job}")
            gone = said.returncode != 0 and "Invalid job id" in said.stderr
            alive = bool(said.stdout.strip()) or (said.returncode != 0 and not gone)
            self._asked = (time.monotonic(), alive)
        return alive

    def _cancel(self, *which: str) -> None:
        if not self._is_local:
            _slurm("scancel", "--quiet", *which, self._job)

    def _wait_until_gone(self) -> None:
        until = time.monotonic() + _FAREWELL_S
        while self._alive(now=True) and time.monotonic() < until:
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        files = [path for path in self.folder.glob("*.err") if path.stat().st_size]
        if not files:
            return "They said nothing."
        said = max(files, key=lambda path: path.stat().st_mtime).read_bytes()[-_LAST_BYTES:]
        return f"The last of them said:\n{said.decode(errors='replace').strip()}"


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
