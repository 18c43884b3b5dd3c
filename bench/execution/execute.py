"""The local engine: a study's runs on this machine, some at once, each in a fresh process on cores of its own."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UsageError
from bench.execution.child import Child
from bench.job import Failure
from bench.store.record import Record, RecordError, Search, Speed, Training

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.job import Job, Outcome, Progress
    from bench.machine.cores import Cores, Lease
    from bench.store.claims import Owner
    from bench.store.files import Store
    from bench.store.record import Backbone, Data, Environment

_POLL_S = 0.5
_QUEUE_S = 0.05
"""How soon cores that became free are seen."""


class Events(Protocol):
    """Whoever shows a study to a person."""

    def started(self, job: Job) -> None:
        """Be told that a run begins."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """Be told how far a run under way is."""

    def ended(self, job: Job, record: Record) -> None:
        """Be told a run's result, which is on the disk already."""

    def timed(self, job: Job, record: Record) -> None:
        """Be told the figures of a run that was timed alone."""

    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None:
        """Be told which runs others are at, and who they are; without any, that other studies hold the cores."""


@dataclass(frozen=True)
class Shared:
    """The parts of the record that are the same for every run of a study."""

    backbone: Backbone
    data: Data
    environment: Environment


@dataclass
class _Running:
    """A run under way: its process, what it holds of the machine, and the most others that it has met there."""

    job: Job
    child: Child
    lease: Lease
    created: datetime
    begin: float
    neighbours: int = 0


@dataclass
class Execution:
    """Runs `at_once` jobs at a time and puts each record into the store as it comes.

    Whatever a run's process does, the study goes on. KeyboardInterrupt ends the runs under way, leaves no record of
    them, and passes through. `known` are the records, by uid, that the store had before.
    """

    shared: Shared
    store: Store
    owner: Owner
    events: Events
    known: Mapping[str, Record]
    timeout_s: float | None
    adapters: Path | None
    cores: Cores
    at_once: int = 1
    records: dict[str, Record] = field(default_factory=dict)
    _running: list[_Running] = field(default_factory=list)

    def run(self, jobs: Iterable[Job]) -> dict[str, Record]:
        """Do what nobody else does, then wait for what others do, and take over what they leave; records by uid.

        Raises UsageError where a record can't be written or another study has taken this one for dead.
        """
        waiting = list(jobs)
        try:
            while waiting or self._running:
                if not self._begin_one(waiting):
                    for run, result in self._attend():
                        self._keep(run, result)
        finally:
            self._end_all()
        return self.records

    def time_alone(self, jobs: Iterable[Job]) -> None:
        """Run each again with all cores to itself, and put the speed and the memory of that into its record.

        A run that fails or that another study is at leaves the record as it is.
        """
        try:
            for job in jobs:
                if not self.owner.claim(job.spec.uid):
                    continue
                while (
                    lease := self.cores.take(len(self.cores.numbers), gpu=job.spec.training.device == "cuda")
                ) is None:
                    self.events.waiting([])
                    time.sleep(_QUEUE_S)
                self._start(replace(job, checkpoint=None, adapter=None), lease)
                while not (ended := self._attend()):
                    pass
                for run, result in ended:
                    self._keep_times(run, result)
        finally:
            self._end_all()

    def _begin_one(self, waiting: list[Job]) -> bool:
        """Begin the first run that nobody else is at, if there is room for it; take those out that others have done."""
        if not waiting or len(self._running) >= self.at_once:
            return False
        job = waiting[0]
        lease = self.cores.take(job.threads, gpu=job.spec.training.device == "cuda")
        if lease is None:
            if not self._running:
                self.events.waiting([])
            return False
        for job in list(waiting):
            if self.owner.claim(job.spec.uid):
                waiting.remove(job)
                if self._done_by_another(job):
                    self.owner.release(job.spec.uid)
                    continue
                self._start(job, lease)
                return True
            if self._done_by_another(job):
                waiting.remove(job)
        lease.release()
        if waiting and not self._running:
            self.events.waiting([(job, self.owner.rivals(job.spec.uid)) for job in waiting])
            time.sleep(_POLL_S)
        return False

    def _start(self, job: Job, lease: Lease) -> None:
        self.events.started(job)
        placed = replace(job, cores=lease.cores, gpu=lease.gpu)
        run = _Running(job, Child(placed, self.timeout_s), lease, datetime.now(UTC), time.monotonic())
        self._running.append(run)
        self._look_around()

    def _attend(self) -> list[tuple[_Running, Outcome | Failure]]:
        """Listen to the runs under way for a moment; return those that are over, which hold nothing any more."""
        if not self._running:
            time.sleep(_QUEUE_S)
            return []
        heard_of = [each for run in self._running for each in run.child.heard_of]
        ready = connection.wait(heard_of, _QUEUE_S if len(self._running) < self.at_once else _POLL_S)
        self._look_around()
        ended = []
        for run in list(self._running):
            result = run.child.hear(ready, partial(self.events.progressed, run.job))
            if result is not None:
                run.child.close()
                run.lease.release()
                self._running.remove(run)
                ended.append((run, result))
        return ended

    def _look_around(self) -> None:
        for run in self._running:
            run.neighbours = max(run.neighbours, self.cores.neighbours(run.lease))

    def _end_all(self) -> None:
        self.cores.give_up()
        for run in self._running:
            run.child.close()
            run.lease.release()
            self.owner.release(run.job.spec.uid)
        self._running.clear()

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

    def _keep(self, run: _Running, result: Outcome | Failure) -> None:
        try:
            self._put(run.job, *_record(run, result, self.shared))
        finally:
            self.owner.release(run.job.spec.uid)

    def _keep_times(self, run: _Running, result: Outcome | Failure) -> None:
        """Put the figures into the record that the store has, where there still is one and this run went well."""
        try:
            before = self.store.find(run.job.spec.uid)
        except RecordError:
            before = None
        try:
            if before is not None and not isinstance(result, Failure):
                timed = before.model_copy(update={"speed": _speed(run, result), "memory": result.memory})
                self.owner.check(before.uid)
                with self._writing(run.job):
                    self.store.put(timed, self.store.predictions_path(before.uid).read_bytes())
                self.records[timed.uid] = timed
                self.events.timed(run.job, timed)
        finally:
            run.job.predictions.unlink(missing_ok=True)
            self.owner.release(run.job.spec.uid)

    def _put(self, job: Job, record: Record, predictions: bytes | None) -> None:
        self.owner.check(record.uid)
        with self._writing(job):
            if record.status == "ok" and job.adapter is not None and self.adapters is not None:
                move(job.adapter, self.adapters / record.uid)
            self.store.set_aside(self.store.record_path(record.uid))
            self.store.put(record, predictions)
        job.predictions.unlink(missing_ok=True)
        # a run that failed otherwise may go better next time, and goes on from its checkpoint
        if job.checkpoint is not None and record.status in ("ok", "diverged"):
            job.checkpoint.unlink(missing_ok=True)
        self.records[record.uid] = record
        self.events.ended(job, record)

    @contextmanager
    def _writing(self, job: Job) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"the result of {job.spec.label} can't be written to {self.store.folder}: {error.strerror}; the "
                "records that were there are untouched; free some space and run the same command again"
            ) from error


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


def _record(run: _Running, result: Outcome | Failure, shared: Shared) -> tuple[Record, bytes | None]:
    """Return the run's record and, where it went well, its predictions."""
    job = run.job
    header: dict[str, Any] = {
        "protocol": job.spec.protocol,
        "uid": job.spec.uid,
        "created_at": run.created.isoformat(timespec="milliseconds"),
        "wall_s": time.monotonic() - run.begin,
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
        speed=_speed(run, result),
        **{name: getattr(result, name) for name in ("parameters", "memory", "compute", "notes")},
    )
    return record, predictions


def _speed(run: _Running, outcome: Outcome) -> Speed:
    """Return the run's times, and what they are worth: whether it had the machine to itself."""
    alone = {"exclusive": not run.neighbours, "neighbours": run.neighbours, "threads": run.job.threads}
    return outcome.speed.model_copy(update=alone)


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
