"""What becomes of what runs find out: records, made and put into the store as each run ends. All engines share it."""

from __future__ import annotations

import errno
import hashlib
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UsageError
from bench.execution.timed import timed
from bench.job import Failure
from bench.store.record import Record, RecordError, Search, Training

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from bench.job import Found, Job, Outcome, Progress
    from bench.store.claims import Owner
    from bench.store.files import Store
    from bench.store.record import Backbone, Data, Environment


_FIGURES = ("parameters", "speed", "memory", "compute", "forgetting", "notes")
"""What a record has as the run found it."""


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

    def said(self, line: str) -> None:
        """Be told what the engine does, in a line for a person."""

    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None:
        """Be told which runs others are at, and who they are; without any, that other studies hold the cores."""


@dataclass(frozen=True)
class Shared:
    """What is the same in the record of every run of a task, wherever it ran."""

    backbone: Backbone
    data: Data


@dataclass
class Results:
    """A study's results, as they come, in `records`. `known` are the records, by uid, that the store had before.

    `shared` is by the name of the scratch folder that a task's jobs have; `command` is what was typed. `adapters` is
    where adapters are kept, None where nobody asked for them.
    """

    shared: Mapping[str, Shared]
    command: str
    store: Store
    owner: Owner
    events: Events
    known: Mapping[str, Record]
    adapters: Path | None
    records: dict[str, Record] = field(default_factory=dict)

    def find(self, uid: str) -> Record | None:
        """Return the record that the store has of a run; None where it has none, or a damaged one."""
        try:
            return self.store.find(uid)
        except RecordError:
            return None

    def claim_first(self, waiting: list[Job]) -> Job | None:
        """Claim the first of these runs that nobody else is at; take it, and those that others have done, out of them.

        Return None where there is none.
        """
        for job in list(waiting):
            if self.owner.claim(job.spec.uid):
                waiting.remove(job)
                if not self.done_by_another(job):
                    return job
                self.owner.release(job.spec.uid)
            elif self.done_by_another(job):
                waiting.remove(job)
        return None

    def done_by_another(self, job: Job) -> bool:
        """Take the record that another process has put down since this study looked; tell whether there is one."""
        record = self.news(job)
        if record is not None:
            self.take(job, record)
        return record is not None

    def news(self, job: Job) -> Record | None:
        """Return the record that another process has put down since this study looked, where there is one."""
        record = self.find(job.spec.uid)
        before = self.known.get(job.spec.uid)
        return None if record is not None and before is not None and before.checksum == record.checksum else record

    def take(self, job: Job, record: Record) -> None:
        """Take a record that is in the store for the run's, and tell of it."""
        self.records[record.uid] = record
        self.events.ended(job, record)

    def keep(
        self, job: Job, result: Found | Failure, *, created: datetime, wall_s: float, environment: Environment
    ) -> None:
        """Put down the record of a run that this study has claimed, as it `created` it and where it ran.

        The run's predictions, and the adapter where one is kept, lie where the job says. Raises UsageError where it
        can't be written or another study has taken this one for dead.
        """
        shared = self.shared[job.scratch.name]
        header: dict[str, Any] = {
            "protocol": job.spec.protocol,
            "uid": job.spec.uid,
            "created_at": created.isoformat(timespec="milliseconds"),
            "wall_s": wall_s,
            "method": job.spec.variant.method,
            "hyperparameters": job.spec.variant.hyperparameters,
            "seed": job.spec.seed,
            "preset": job.spec.preset,
            "data": shared.data,
            "environment": environment,
        }
        self._put(job, *_record(header, shared.backbone, job, result))

    def keep_times(self, job: Job, before: Record, outcome: Outcome) -> Record:
        """Put the speed and the memory of a run that was timed by itself into its record; return that.

        Raises UsageError likewise.
        """
        first = self.store.predictions_path(before.uid).read_bytes()
        record = timed(before, first, outcome, job.predictions.read_bytes())
        self.owner.check(record.uid)
        with self._writing(job):
            self.store.put(record, first)
        self.records[record.uid] = record
        return record

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


def _record(
    header: dict[str, Any], backbone: Backbone, job: Job, result: Found | Failure
) -> tuple[Record, bytes | None]:
    """Return the run's record and, where it went well, its predictions."""
    if isinstance(result, Failure):
        failed = Record(
            **header,
            status=result.status,
            error=result.error,
            backbone=backbone,
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
        backbone=backbone.model_copy(update={"parameters": result.backbone_parameters}),
        training=_training(job, result),
        resolved=result.resolved or None,
        quality=quality,
        search=_search(job, result),
        **{name: getattr(result, name, None) for name in _FIGURES},
    )
    return record, predictions


def _search(job: Job, outcome: Found | None) -> Search | None:
    """Return the record's search part; None where the run is no trial."""
    if job.spec.search is None:
        return None
    return Search(**job.spec.search.model_dump(), epochs=outcome.validation if outcome else None)


def _training(job: Job, outcome: Found | None) -> Training:
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
        float32_matmul=outcome.float32_matmul if outcome else None,
        gpu=job.gpu,
    )
