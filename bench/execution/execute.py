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
from bench.machine.cores import QUEUE_S
from bench.store.record import Record, RecordError, Search, Speed, Training, alone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.job import Job, Outcome, Progress
    from bench.machine.cores import Cores, Lease
    from bench.store.claims import Owner
    from bench.store.files import Store
    from bench.store.record import Backbone, Data, Environment

_POLL_S = 0.5
"""How soon it is seen that a run took too long, that others came, and what other studies have done."""


class Events(Protocol):
    """Whoever shows a study to a person."""

    def started(self, job: Job) -> None:
        """Be told that a run begins."""

    def progressed(self, job: Job, progress: Progress) -> None:
        """Be told how far a run under way is."""

    def ended(self, job: Job, record: Record) -> None:
        """Be told a run's result, which is on the disk already."""

    def timing(self, runs: int) -> None:
        """Be told that so many runs are to be timed by themselves."""

    def timed(self, job: Job, record: Record | None) -> None:
        """Be told the record with the figures of a run that was timed by itself; None where there are none."""

    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None:
        """Be told which runs others are at, and who they are; without any, that other studies hold the cores."""


@dataclass(frozen=True)
class Shared:
    """The parts of the record that are the same for every run of a task."""

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

    `shared` is by the jobs' scratch folder: those of one task have one.

    Whatever a run's process does, the study goes on. KeyboardInterrupt ends the runs under way, leaves no record of
    them, and passes through. `known` are the records, by uid, that the store had before.
    """

    shared: Mapping[Path, Shared]
    store: Store
    owner: Owner
    events: Events
    known: Mapping[str, Record]
    timeout_s: float | None
    adapters: Path | None
    cores: Cores
    at_once: int
    records: dict[str, Record] = field(default_factory=dict)
    _running: list[_Running] = field(default_factory=list)
    _rest_until: float = 0.0
    _looked_at: float = 0.0
    _disturbed: bool = False
    """Whether what runs keep for each other, in the scratch folder, may come from one that wasn't alone."""

    def run(self, jobs: Iterable[Job]) -> None:
        """Do what nobody else does, then wait for what others do, and take over what they leave.

        Raises UsageError where a record can't be written or another study has taken this one for dead.
        """
        waiting = list(jobs)
        try:
            while waiting or self._running:
                while waiting and self._begin_one(waiting):
                    pass
                if waiting or self._running:
                    for run, result in self._attend(begins=bool(waiting)):
                        self._keep(run, result)
        finally:
            self._end_all()

    def time_alone(self, jobs: Sequence[Job]) -> None:
        """Run each again with all cores to itself, and put the speed and the memory of that into its record.

        The jobs have a scratch folder of their own. A run that fails, that met others nevertheless, or that another
        study is at, leaves the record as it is.
        """
        self._disturbed = False
        try:
            self.events.timing(len(jobs))
            for job in jobs:
                self.events.timed(job, self._timed_alone(replace(job, checkpoint=None, adapter=None)))
        finally:
            self._end_all()

    def _timed_alone(self, job: Job) -> Record | None:
        uid = job.spec.uid
        if not self.owner.claim(uid):
            return None
        gpu = job.spec.training.device == "cuda"
        try:
            lease = self.cores.wait(len(self.cores.numbers), gpu=gpu, tell=lambda: self.events.waiting([]))
            if (before := self._found(uid)) is None or alone(before):  # another study was quicker
                lease.release()
                return None
            self._start(job, lease)
            while not (ended := self._attend(begins=False)):
                pass
            [(run, result)] = ended
            if isinstance(result, Failure) or not (speed := self._speed(run, result)).exclusive:
                return None
            timed = before.model_copy(update={"speed": speed, "memory": result.memory})
            self.owner.check(uid)
            with self._writing(job):
                self.store.put(timed, self.store.predictions_path(uid).read_bytes())
            self.records[uid] = timed
            return timed
        finally:
            job.predictions.unlink(missing_ok=True)
            self.owner.release(uid)

    def _begin_one(self, waiting: list[Job]) -> bool:
        """Begin the first run that nobody else is at, if there is room for it; take those out that others have done."""
        if len(self._running) >= self.at_once or time.monotonic() < self._rest_until:
            return False
        lease = self.cores.take(waiting[0].threads, gpu=waiting[0].spec.training.device == "cuda")
        if lease is None:
            self._rest_until = time.monotonic() + QUEUE_S
            if not self._running:
                self.events.waiting([])
            return False
        for job in list(waiting):
            if self.owner.claim(job.spec.uid):
                waiting.remove(job)
                if not self._done_by_another(job):
                    self._start(job, lease)
                    return True
                self.owner.release(job.spec.uid)
            elif self._done_by_another(job):
                waiting.remove(job)
        lease.release()
        self._rest_until = time.monotonic() + _POLL_S
        if waiting and not self._running:
            self.events.waiting([(job, self.owner.rivals(job.spec.uid)) for job in waiting])
        return False

    def _start(self, job: Job, lease: Lease) -> None:
        self.events.started(job)
        placed = replace(job, cores=lease.cores, gpu=lease.gpu)
        run = _Running(job, Child(placed, self.timeout_s), lease, datetime.now(UTC), time.monotonic())
        self._running.append(run)
        self._look_around()

    def _attend(self, *, begins: bool) -> list[tuple[_Running, Outcome | Failure]]:
        """Listen to the runs under way for a moment; return those that are over, which hold nothing any more.

        The moment is shorter where another run `begins` as soon as there are cores.
        """
        rest = self._rest_until - time.monotonic() if begins and len(self._running) < self.at_once else _POLL_S
        ready = connection.wait([each for run in self._running for each in run.child.heard_of], max(0.0, rest))
        if time.monotonic() > self._looked_at + _POLL_S:
            self._look_around()
        ended = []
        for run in list(self._running):
            result = run.child.hear(ready, partial(self.events.progressed, run.job))
            if result is not None:
                self._look_around()
                run.child.close()
                run.lease.release()
                self._running.remove(run)
                self._rest_until = 0.0
                ended.append((run, result))
        return ended

    def _look_around(self) -> None:
        others = self.cores.runs() - 1
        for run in self._running:
            run.neighbours = max(run.neighbours, others)
        self._disturbed |= others > 0
        self._looked_at = time.monotonic()

    def _end_all(self) -> None:
        self.cores.give_up()
        for run in self._running:
            run.child.close()
            run.lease.release()
            self.owner.release(run.job.spec.uid)
        self._running.clear()

    def _speed(self, run: _Running, outcome: Outcome) -> Speed:
        """Return the run's times, and what they are worth: whether they were taken with the machine to itself."""
        borrowed = bool(outcome.speed.features_reused) and self._disturbed
        worth = {"exclusive": not run.neighbours and not borrowed, "neighbours": run.neighbours}
        return outcome.speed.model_copy(update={**worth, "threads": run.job.threads})

    def _found(self, uid: str) -> Record | None:
        try:
            return self.store.find(uid)
        except RecordError:
            return None

    def _done_by_another(self, job: Job) -> bool:
        """Take the record that another study has put down since this one looked."""
        record = self._found(job.spec.uid)
        before = self.known.get(job.spec.uid)
        if record is None or (before is not None and before.checksum == record.checksum):
            return False
        self.records[record.uid] = record
        self.events.ended(job, record)
        return True

    def _keep(self, run: _Running, result: Outcome | Failure) -> None:
        try:
            self._put(run.job, *self._record(run, result))
        finally:
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

    def _record(self, run: _Running, result: Outcome | Failure) -> tuple[Record, bytes | None]:
        """Return the run's record and, where it went well, its predictions."""
        job, shared = run.job, self.shared[run.job.scratch]
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
            speed=self._speed(run, result),
            **{name: getattr(result, name) for name in ("parameters", "memory", "compute", "notes")},
        )
        return record, predictions

    @contextmanager
    def _writing(self, job: Job) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"the result of {job.label} can't be written to {self.store.folder}: {error.strerror}; the "
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
        select_metric=None if spec.select_metric == "accuracy" else spec.select_metric,
        feature_cache=outcome.feature_cache if outcome else None,
        laid_out=outcome.laid_out if outcome else None,
    )
