"""Run a study: each run in a fresh process, forked from a server that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Protocol

from bench.job import Failure, Outcome, Progress, start
from bench.record import Record, RunError, Training

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.job import Job
    from bench.record import Backbone, Data, Environment, Status
    from bench.store import Store

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


@dataclass(frozen=True)
class Shared:
    """The parts of the record that are the same for every run of a study."""

    backbone: Backbone
    data: Data
    environment: Environment


def warm_up() -> None:
    """Start the server that runs are forked from, so that its imports overlap with what the study does meanwhile.

    The server inherits the environment as it is now: whatever it decides must be set before. Ctrl-C, which reaches the
    whole group, is kept from it and its runs: it would end the imports with a traceback.
    """
    from multiprocessing import forkserver

    _context()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.worker"])
    return context


def run_study(
    jobs: Iterable[Job], shared: Shared, store: Store, events: Events, timeout_s: float | None
) -> list[Record]:
    """Run the jobs one after the other; put each record into the store as it comes, and return them all.

    Whatever a run's process does, the study goes on. KeyboardInterrupt ends the run under way, leaves no record of
    it, and passes through.
    """
    records = []
    for job in jobs:
        events.started(job)
        record = _run(job, shared, events, timeout_s)
        predictions = job.predictions.read_bytes() if record.status == "ok" else None
        store.put(record, predictions)
        job.predictions.unlink(missing_ok=True)
        records.append(record)
        events.ended(job, record)
    return records


def _run(job: Job, shared: Shared, events: Events, timeout_s: float | None) -> Record:
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
        return Record(
            **header, status=result.status, error=result.error, backbone=shared.backbone, training=_training(job, None)
        )
    return Record(
        **header,
        status="ok",
        backbone=shared.backbone.model_copy(update={"parameters": result.backbone_parameters}),
        training=_training(job, result),
        **{name: getattr(result, name) for name in ("parameters", "quality", "speed", "memory", "compute")},
    )


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
        feature_cache=outcome.feature_cache if outcome else None,
    )


class _Child:
    """A run's process, what it says on its channel, and the end of what it prints."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tail = bytearray()
        context = _context()
        self.channel, channel = context.Pipe(duplex=False)
        self.output, output = context.Pipe(duplex=False)
        self.process = context.Process(target=start, args=(job, channel, output), daemon=True)
        self.process.start()
        channel.close()
        output.close()

    def follow(self, events: Events, timeout_s: float | None) -> Outcome | Failure:
        """Wait for the process's end, at most `timeout_s`; return what it found out or why it didn't."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        result: Outcome | Failure | None = None
        try:
            while result is None:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = connection.wait([self.channel, self.output, self.process.sentinel], left)
                if not ready:
                    return self._failure("timeout", "Timeout", f"it wasn't done after {timeout_s:g} s")
                result = self._listen(ready, events)
            self.process.join(_FAREWELL_S)
            return result
        finally:
            self.process.kill()
            self.process.join()
            self.channel.close()
            self.output.close()

    def _listen(self, ready: list[Any], events: Events) -> Outcome | Failure | None:
        if self.output in ready:
            self._read_output()
        if self.channel in ready:
            try:
                message = self.channel.recv()
            except EOFError:
                return self._died()
            if not isinstance(message, Progress):
                return message  # type: ignore[no-any-return]
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
        if code < 0:
            name = signal.Signals(-code).name
            return self._failure("failed", name, f"the run's process was ended by {name}")
        return self._failure("failed", "Exit", f"the run's process left with exit code {code} and no result")

    def _failure(self, status: Status, kind: str, message: str) -> Failure:
        while self.output.poll() and self._read_output():
            pass
        lines = self.tail.decode(errors="replace").splitlines()[-_LAST_LINES:]
        return Failure(status=status, error=RunError(type=kind, message=message, last_lines=lines))
