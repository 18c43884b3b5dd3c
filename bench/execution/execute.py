"""The local engine: a study's runs on this machine, some at once, each in a fresh process on cores of its own."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import connection
from typing import TYPE_CHECKING, Literal

from bench.execution import slots
from bench.execution.child import Child
from bench.job import Failure, Found, Outcome
from bench.machine import facts
from bench.machine.cores import QUEUE_S
from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.execution.results import Results
    from bench.job import Job, Progress
    from bench.machine.cores import Lease
    from bench.machine.facts import Device, Dtype
    from bench.store.record import Environment, Record, Speed

_POLL_S = 0.5
"""How soon it is seen that a run took too long, and what other studies have done."""
_IN_ONE_PASS = {"cpu": 4, "cuda": 8}
"""So many runs at the most are trained in one pass: on a CPU more overrun its caches (docs/speed.md)."""


@dataclass(frozen=True)
class Local:
    """What was asked for of this machine."""

    placing: slots.Placing

    def hardware(self, device: Device | Literal["auto"], dtype: Dtype | Literal["auto"]) -> tuple[Device, Dtype]:
        """Return this machine's device and precision. Raises UsageError for more than there is of it."""
        found = facts.resolve_device(device)
        self.placing.slots(found)
        return found, facts.resolve_dtype(dtype, found)

    @contextmanager
    def open(self, results: Results, timeout_s: float | None) -> Iterator[Execution]:
        """Return the engine."""
        yield Execution(results, self.placing, timeout_s)


@dataclass
class _Running:
    """A run under way, or several that are trained in one pass: their process, what it holds of the machine, and the
    most others that it met there."""

    jobs: list[Job]
    child: Child
    lease: Lease
    created: datetime
    begin: float
    neighbours: int = 0


@dataclass
class Execution:
    """Runs some jobs at a time, as many as `placing` says, and keeps each result as it comes.

    Whatever a run's process does, the study goes on. KeyboardInterrupt ends the runs under way, leaves no record of
    them, and passes through.
    """

    results: Results
    placing: slots.Placing
    timeout_s: float | None
    _slots: slots.Slots = field(init=False)
    _alone: slots.Slots = field(init=False)
    _running: list[_Running] = field(default_factory=list)
    _rest_until: float = 0.0
    _at_most: dict[str, int] = field(default_factory=dict)
    """With how many runs at the most one is trained in one pass, by uid, where that failed with more."""
    _disturbed: bool = False
    """Whether what runs keep for each other, in the scratch folder, may come from one that wasn't alone."""

    def run(self, jobs: Sequence[Job]) -> None:
        """Do what nobody else does, then wait for what others do, and take over what they leave.

        Raises UsageError where a record can't be written or another study has taken this one for dead.
        """
        device, events = jobs[0].spec.training.device, self.results.events
        self._slots = slots.chosen(self.placing, jobs, device, events.said, lambda: events.waiting([]))
        self._alone = self._slots_alone(device)
        waiting = [replace(job, threads=self._slots.threads) for job in jobs]
        try:
            while waiting or self._running:
                while waiting and self._begin_one(waiting):
                    pass
                if waiting or self._running:
                    for run, results in self._attend(begins=bool(waiting)):
                        waiting += self._keep(run, results)
        finally:
            self._end_all()

    def time_alone(self, jobs: Sequence[Job]) -> None:
        """Run each again with all cores to itself, and put the speed and the memory of that into its record.

        The jobs have a scratch folder of their own. A run that fails, that met others nevertheless, that another study
        is at, or whose record is of another machine, leaves that as it is.
        """
        self._slots = self._alone = self._slots_alone(jobs[0].spec.training.device)
        self._disturbed = False
        events = self.results.events
        try:
            events.timing(len(jobs))
            for job in jobs:
                placed = replace(job, threads=self._slots.threads, checkpoint=None, adapter=None)
                events.timed(job, self._timed_alone(placed))
        finally:
            self._end_all()

    def _slots_alone(self, device: Device) -> slots.Slots:
        return replace(self.placing, jobs=1).slots(device)

    def _timed_alone(self, job: Job) -> Record | None:
        uid = job.spec.uid
        if not self.results.owner.claim(uid):
            return None
        gpu = job.spec.training.device == "cuda"
        try:
            if (before := self.results.find(uid)) is None or alone(before):  # another study was quicker
                return None
            machine = self._slots.cores
            lease = machine.wait(len(machine.numbers), gpu=gpu, tell=lambda: self.results.events.waiting([]))
            here = self._environment(job, lease.gpu)
            if (before.environment.cpu, before.environment.gpu) != (here.cpu, here.gpu):
                lease.release()
                return None
            self._start([job], lease)
            while not (ended := self._attend(begins=False)):
                pass
            [(run, [result])] = ended
            if not isinstance(result, Outcome) or not (speed := self._speed(run, result)).exclusive:
                return None
            return self.results.keep_times(job, before, result.model_copy(update={"speed": speed}))
        finally:
            job.predictions.unlink(missing_ok=True)
            self.results.owner.release(uid)

    def _begin_one(self, waiting: list[Job]) -> bool:
        """Begin the first run that nobody else is at, if there is room for it; take those out that others have done."""
        if len(self._running) >= self._slots.at_once or time.monotonic() < self._rest_until:
            return False
        lease = self._slots.cores.take(waiting[0].threads, gpu=waiting[0].spec.training.device == "cuda")
        if lease is None:
            self._rest_until = time.monotonic() + QUEUE_S
            if not self._running:
                self.results.events.waiting([])
            return False
        job = self.results.claim_first(waiting)
        if job is not None:
            self._start([job, *self._claim_others(job, waiting)], lease)
            return True
        lease.release()
        self._rest_until = time.monotonic() + _POLL_S
        if waiting and not self._running:
            self.results.events.waiting([(job, self.results.owner.rivals(job.spec.uid)) for job in waiting])
        return False

    def _claim_others(self, job: Job, waiting: list[Job]) -> list[Job]:
        """Claim runs to be trained in one pass with this one, and take them out of those that wait.

        They are so many that all places have the same share of such runs, as far as that goes. What failed with more
        isn't put together with what hasn't.
        """
        limit = self._at_most.get(job.spec.uid)
        alike = [other for other in waiting if _together(job, other) and self._at_most.get(other.spec.uid) == limit]
        before = set(map(id, alike))
        share = math.ceil((1 + len(alike)) / self._slots.at_once)
        most = min(share, limit or _IN_ONE_PASS[job.spec.training.device])
        found: list[Job] = []
        while len(found) < most - 1 and (other := self.results.claim_first(alike)) is not None:
            found.append(other)
        gone = before - set(map(id, alike))
        waiting[:] = [other for other in waiting if id(other) not in gone]
        return found

    def _start(self, jobs: Sequence[Job], lease: Lease) -> None:
        for job in jobs:
            self.results.events.started(job)
        lease.begin()
        placed = [replace(job, cores=lease.cores, gpu=lease.gpu) for job in jobs]
        run = _Running(placed, Child(placed, self.timeout_s), lease, datetime.now(UTC), time.monotonic())
        self._running.append(run)

    def _attend(self, *, begins: bool) -> list[tuple[_Running, list[Found | Failure]]]:
        """Listen to the runs under way for a moment; return those that are over, which hold nothing any more.

        The moment is shorter where another run `begins` as soon as there are cores.
        """
        rest = self._rest_until - time.monotonic() if begins and len(self._running) < self._slots.at_once else _POLL_S
        ready = connection.wait([each for run in self._running for each in run.child.heard_of], max(0.0, rest))
        ended = []
        for run in list(self._running):
            results = run.child.hear(ready, partial(self._progressed, run))
            if results is not None:
                run.child.close()
                run.neighbours = run.lease.neighbours()
                self._disturbed |= run.neighbours > 0
                run.lease.release()
                self._running.remove(run)
                self._rest_until = 0.0
                ended.append((run, results))
        return ended

    def _end_all(self) -> None:
        self._slots.cores.give_up()
        for run in self._running:
            run.child.close()
            run.lease.release()
            for job in run.jobs:
                self.results.owner.release(job.spec.uid)
        self._running.clear()

    def _progressed(self, run: _Running, progress: Progress) -> None:
        for job in run.jobs:
            self.results.events.progressed(job, progress)

    def _environment(self, job: Job, gpu: str | None) -> Environment:
        return facts.environment(job.spec.training.device, self.results.command, gpu)

    def _speed(self, run: _Running, outcome: Outcome) -> Speed:
        """Return the run's times, and what they are worth: whether they were taken with the machine to itself.

        One of several at once whose neighbours happened to be over has fewer threads than a run by itself has.
        """
        threads = run.jobs[0].threads
        borrowed = bool(outcome.speed.features_reused) and self._disturbed
        whole = threads == self._alone.threads
        exclusive = not run.neighbours and not borrowed and whole
        return outcome.speed.taken(exclusive=exclusive, neighbours=run.neighbours, threads=threads)

    def _keep(self, run: _Running, results: list[Found | Failure]) -> list[Job]:
        """Keep what came of each run; return those that are to be done again, in smaller parts.

        So are runs in one pass where something went wrong with all: memory ran out, or it took too long.
        """
        wall_s, environment = time.monotonic() - run.begin, self._environment(run.jobs[0], run.jobs[0].gpu)
        again = len(run.jobs) > 1 and any(isinstance(each, Failure) and each.status != "diverged" for each in results)
        try:
            for job, result in zip(run.jobs, results, strict=True):
                if again:
                    self._at_most[job.spec.uid] = len(run.jobs) // 2
                    continue
                kept = result
                if isinstance(result, Outcome):
                    kept = result.model_copy(update={"speed": self._speed(run, result)})
                self.results.keep(job, kept, created=run.created, wall_s=wall_s, environment=environment)
        finally:
            for job in run.jobs:
                self.results.owner.release(job.spec.uid)
        return run.jobs if again else []


def _together(one: Job, other: Job) -> bool:
    """Tell whether two runs can be trained in one pass."""
    return one.one_pass is not None and (one.scratch, one.one_pass) == (other.scratch, other.one_pass)
