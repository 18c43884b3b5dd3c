"""Run a study: each run in a fresh process, forked from a server that has imported everything once."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UsageError
from bench.execution import oom, sockets
from bench.job import Failure, Outcome, Trained
from bench.store.record import Record, RecordError, RunError, Search, Training

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from bench.job import Job, Progress
    from bench.store.claims import Owner
    from bench.store.files import Store
    from bench.store.record import Backbone, Data, Environment, Status

RUN_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "JOBLIB_MULTIPROCESSING": "0",  # else scikit-learn's import leaves semaphores that Python warns of at the end
    "THP_MEM_ALLOC_ENABLE": "1",  # large tensors in huge pages where Linux has them: fewer page faults
}
"""What a run's process finds in its environment beside the user's own."""

_POLL_S = 0.5
_FAREWELL_S = 5.0
_LAST_LINES = 20
_LAST_BYTES = 16_384
_READ_BYTES = 65_536


class Events(Protocol):
    """Whoever shows a study to a person."""

    def started(self, job: Job) -> None:
        """Be told that a run begins."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """Be told how far the run under way is."""

    def ended(self, job: Job, record: Record) -> None:
        """Be told a run's result, which is on the disk already."""

    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None:
        """Be told which runs others are at, and who they are."""


@dataclass(frozen=True)
class Shared:
    """The parts of the record that are the same for every run of a study."""

    backbone: Backbone
    data: Data
    environment: Environment


def warm_up() -> None:
    """Start the server that runs are forked from, so that its imports overlap with what the study does meanwhile.

    Where it runs already, nothing happens. Ctrl-C, which reaches the whole group, is kept from it and its runs: it
    would end the imports with a traceback. Raises UsageError where the system has no place for the server's socket.
    """
    from multiprocessing import forkserver, resource_tracker

    sockets.settle()
    _context()
    with _environment(RUN_ENVIRONMENT):
        resource_tracker.ensure_running()  # before: its own start ends with SIGINT let through
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.execution.worker"])
    return context


@dataclass
class Execution:
    """Runs jobs one after the other and puts each record into the store as it comes.

    Whatever a run's process does, the study goes on. KeyboardInterrupt ends the run under way, leaves no record of
    it, and passes through. `known` are the records, by uid, that the store had before.
    """

    shared: Shared
    store: Store
    owner: Owner
    events: Events
    known: Mapping[str, Record]
    timeout_s: float | None
    adapters: Path | None
    records: dict[str, Record] = field(default_factory=dict)

    def run(self, jobs: Iterable[Job]) -> dict[str, Record]:
        """Do what nobody else does, then wait for what others do, and take over what they leave; records by uid.

        Raises UsageError where a record can't be written or another study has taken this one for dead.
        """
        waiting = list(jobs)
        while waiting:
            left = [job for job in waiting if not self._settle(job)]
            if len(left) == len(waiting):
                self.events.waiting([(job, self.owner.rivals(job.spec.uid)) for job in left])
                time.sleep(_POLL_S)
            waiting = left
        return self.records

    def _settle(self, job: Job) -> bool:
        """Bring the job to a record, unless another study is at it."""
        if not self.owner.claim(job.spec.uid):
            return self._done_by_another(job)
        try:
            if not self._done_by_another(job):
                self.events.started(job)
                self._keep(job, *_run(job, self.shared, self.events, self.timeout_s))
            return True
        finally:
            self.owner.release(job.spec.uid)

    def _done_by_another(self, job: Job) -> bool:
        """Take the record that another study has put down since this one looked."""
        try:
            record = self.store.find(job.spec.uid)
        except RecordError:
            return False
        before = self.known.get(job.spec.uid)
        if record is None or (before is not None and before.checksum == record.checksum):
            return False
        self.records[record.uid] = record
        self.events.ended(job, record)
        return True

    def _keep(self, job: Job, record: Record, predictions: bytes | None) -> None:
        self.owner.check(record.uid)
        try:
            if record.status == "ok" and job.adapter is not None and self.adapters is not None:
                move(job.adapter, self.adapters / record.uid)
            self.store.set_aside(self.store.record_path(record.uid))
            self.store.put(record, predictions)
        except OSError as error:
            raise UsageError(
                f"the result of {job.spec.label} can't be written to {self.store.folder}: {error.strerror}; the "
                "records that were there are untouched; free some space and run the same command again"
            ) from error
        job.predictions.unlink(missing_ok=True)
        # a run that failed otherwise may go better next time, and goes on from its checkpoint
        if job.checkpoint is not None and record.status in ("ok", "diverged"):
            job.checkpoint.unlink(missing_ok=True)
        self.records[record.uid] = record
        self.events.ended(job, record)


def move(folder: Path, target: Path) -> None:
    """Move a folder, perhaps to another disk, so that it appears whole or not at all. Raises OSError."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(folder, part)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except shutil.Error as error:  # a list of what went wrong with each file
        raise OSError(errno.EIO, error.args[0][0][2]) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder)


def _run(job: Job, shared: Shared, events: Events, timeout_s: float | None) -> tuple[Record, bytes | None]:
    """Return the job's record and, where it went well, its predictions."""
    created, begin = datetime.now(UTC), time.monotonic()
    result = _Child(job).follow(events, timeout_s)
    header: dict[str, Any] = {
        "protocol": job.spec.protocol,
        "uid": job.spec.uid,
        "created_at": created.isoformat(timespec="milliseconds"),
        "wall_s": time.monotonic() - begin,
        "method": job.spec.variant.method,
        "hyperparameters": job.spec.variant.hyperparameters,
        "seed": job.spec.seed,
        "preset": job.spec.preset,
        "data": shared.data,
        "environment": shared.environment,
    }
    if isinstance(result, Failure):
        failed = Record(
            **header,
            status=result.status,
            error=result.error,
            backbone=shared.backbone,
            training=_training(job, None),
            search=_search(job, None),
        )
        return failed, None
    quality, predictions = result.quality, None
    if quality is not None:
        predictions = job.predictions.read_bytes()
        sha256 = hashlib.sha256(predictions).hexdigest()
        quality = quality.model_copy(update={"predictions_sha256": sha256})
    record = Record(
        **header,
        status="ok",
        backbone=shared.backbone.model_copy(update={"parameters": result.backbone_parameters}),
        training=_training(job, result),
        resolved=result.resolved or None,
        quality=quality,
        search=_search(job, result),
        **{name: getattr(result, name) for name in ("parameters", "speed", "memory", "compute", "notes")},
    )
    return record, predictions


def _search(job: Job, outcome: Outcome | None) -> Search | None:
    """Return the record's search part; None where the run is no trial."""
    if job.spec.search is None:
        return None
    return Search(**job.spec.search.model_dump(), epochs=outcome.validation if outcome else None)


def _training(job: Job, outcome: Outcome | None) -> Training:
    """Return the record's training part: what the spec says, and what the run found out."""
    spec = job.spec.training
    return Training(
        epochs=spec.epochs,
        max_steps=spec.max_steps,
        steps=outcome.steps if outcome else None,
        batch_size=spec.batch_size,
        learning_rate=job.spec.variant.hyperparameters["learning_rate"],
        weight_decay=spec.weight_decay,
        warmup_share=spec.warmup_share,
        dtype=spec.dtype,
        device=spec.device,
        threads=job.threads,
        padding_share=outcome.padding_share if outcome else None,
        select_epoch=spec.select_epoch or None,
        feature_cache=outcome.feature_cache if outcome else None,
        laid_out=outcome.laid_out if outcome else None,
    )


class _Child:
    """A run's process, what it says on its channel, and the end of what it prints."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tail = bytearray()
        self.trained: Outcome | None = None
        self.kills = oom.kills()
        warm_up()
        context = _context()
        self.channel, channel = context.Pipe(duplex=False)
        self.output, output = context.Pipe(duplex=False)
        self.process = context.Process(target=_start, args=(job, channel, output), daemon=True)
        self.process.start()
        channel.close()
        output.close()

    def follow(self, events: Events, timeout_s: float | None) -> Outcome | Failure:
        """Wait for the process's end, at most `timeout_s`; return what it found out or why it didn't.

        What training and evaluation found out stands, however the process ends after them.
        """
        result = self._result(events, timeout_s)
        if self.trained is None or not isinstance(result, Failure):
            return result
        note = f"what is measured after training is null: {result.error.type}: {result.error.message}"
        return self.trained.model_copy(update={"notes": (note,)})

    def _result(self, events: Events, timeout_s: float | None) -> Outcome | Failure:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        result: Outcome | Failure | None = None
        try:
            while result is None:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = connection.wait([self.channel, self.output, self.process.sentinel], left)
                if not ready:
                    self._end()
                    return self._failure("timeout", "Timeout", f"it wasn't done after {timeout_s:g} s")
                result = self._listen(ready, events)
            self.process.join(_FAREWELL_S)
            return result
        finally:
            self._end()
            self.channel.close()
            self.output.close()

    def _end(self) -> None:
        """End the process, and those that it started, if it hasn't ended by itself."""
        if self.process.pid is not None and self.process.is_alive():
            with suppress(ProcessLookupError):  # it has no group of its own yet
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join()

    def _listen(self, ready: list[Any], events: Events) -> Outcome | Failure | None:
        if self.output in ready:
            self._read_output()
        if self.channel in ready or (self.process.sentinel in ready and self.channel.poll()):
            try:
                message = self.channel.recv()
            except (EOFError, OSError):  # OSError: it ended within a message
                return self._died()
            if isinstance(message, Outcome | Failure):
                return message
            if isinstance(message, Trained):
                self.trained = message.outcome
            else:
                events.progressed(self.job, message)
        elif self.process.sentinel in ready:
            return self._died()
        return None

    def _read_output(self) -> bool:
        """Take in a piece of what was printed; return whether there was one. Only the end is kept."""
        piece = os.read(self.output.fileno(), _READ_BYTES)
        self.tail = (self.tail + piece)[-_LAST_BYTES:]
        return bool(piece)

    def _died(self) -> Failure:
        """Say how the process ended that had nothing more to say."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL and oom.kills() > self.kills:
            return self._failure("oom", "SIGKILL", "the kernel ended the run's process: memory ran out")
        if code < 0:
            name = signal.Signals(-code).name
            return self._failure("failed", name, f"the run's process was ended by {name}")
        return self._failure("failed", "Exit", f"the run's process left with exit code {code} and no result")

    def _failure(self, status: Status, kind: str, message: str) -> Failure:
        while self.output.poll() and self._read_output():
            pass
        lines = self.tail.decode(errors="replace").splitlines()[-_LAST_LINES:]
        return Failure(status=status, error=RunError(type=kind, message=message, last_lines=lines))


def _start(job: Job, channel: Connection, output: Connection) -> None:
    """Be the target of the run's process. The worker is imported there only: the study's process needs no torch."""
    from bench.execution import worker

    worker.main(job, channel, output)
