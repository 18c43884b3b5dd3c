"""What a study does is told to its trackers, beside the view that a person has of it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bench.tracking import reports
from bench.tracking.installed import check
from bench.tracking.reporter import LIMIT_S, Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from bench.execution.results import Events
    from bench.job import Job, Progress
    from bench.store.record import Epoch, Record
    from bench.tracking.installed import Name

_INTERRUPTED_S = 10.0
"""So long a study that is ended early waits for its trackers."""


class Trackers:
    """The trackers of a study, which are started with its first run. Left, they have been told all or are given up.

    Raises UsageError for one that isn't installed.
    """

    def __init__(self, names: Sequence[Name]) -> None:
        check(names)
        self.names = names
        self._reporters: list[Reporter] = []
        self._view: Events | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        until = time.monotonic() + (LIMIT_S if kind is None else _INTERRUPTED_S)
        for reporter in self._reporters:
            reporter.close(max(0.0, until - time.monotonic()))

    def beside(self, view: Events, store: Path) -> Events:
        """Return what tells the view and the trackers. They have started, or are given up: no run's time has that."""
        if not self.names:
            return view
        self._view = view
        if not self._reporters:
            self._reporters = [Reporter(name, store, self._say) for name in self.names]
            for reporter in self._reporters:
                reporter.begun.wait()
        return _Both(view, self._reporters)

    def _say(self, line: str) -> None:
        if self._view is not None:
            self._view.said(line)


@dataclass
class _Told:
    """A run that trackers know, and the last epoch that they were told."""

    run: reports.Run
    epoch: int = -1


@dataclass
class _Both:
    """Tells a view all, and trackers of the runs that this study sees begin. What another study did it leaves alone."""

    view: Events
    reporters: Sequence[Reporter]
    _told: dict[str, _Told] = field(default_factory=dict)
    _timing: bool = False

    def started(self, job: Job) -> None:
        self.view.started(job)
        if not self._timing and job.spec.uid not in self._told:  # one that was lost, or ran out of memory, goes again
            self._told[job.spec.uid] = told = _Told(reports.begun(job))
            self._tell("begin", told.run)

    def progressed(self, job: Job, progress: Progress) -> None:
        self.view.progressed(job, progress)
        told = self._told.get(job.spec.uid)
        if told is not None and progress.epoch is not None and not self._timing:
            self._tell_epochs(told, [progress.epoch])

    def ended(self, job: Job, record: Record) -> None:
        self.view.ended(job, record)
        if (told := self._told.get(job.spec.uid)) is not None:
            self._tell_epochs(told, reports.epochs(record))
            self._tell_end(told.run, record)

    def timing(self, runs: int) -> None:
        self._timing = True
        self.view.timing(runs)

    def timed(self, job: Job, record: Record | None) -> None:
        self.view.timed(job, record)
        if record is not None and (told := self._told.get(job.spec.uid)) is not None:
            self._tell_end(told.run, record, again=True)

    def said(self, line: str) -> None:
        self.view.said(line)

    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None:
        self.view.waiting(jobs)

    def _tell_epochs(self, told: _Told, epochs: Sequence[Epoch]) -> None:
        """Tell those that weren't told: a run that goes on elsewhere, or from a checkpoint, begins with some again."""
        for epoch in epochs:
            if epoch.epoch > told.epoch:
                told.epoch = epoch.epoch
                self._tell("epoch", told.run, number=epoch.epoch, figures=reports.validated(epoch))

    def _tell_end(self, run: reports.Run, record: Record, *, again: bool = False) -> None:
        figures, facts = reports.found_out(record, run.parameters)
        self._tell("end", run, status=record.status, figures=figures, facts={} if again else facts)

    def _tell(self, verb: str, run: reports.Run, **what: Any) -> None:  # noqa: ANN401
        for reporter in self.reporters:
            reporter.tell({"verb": verb, "run": asdict(run), **what})
