"""How long a study still takes."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bench import job
    from bench.store.record import Record


class Remaining:
    """How long a study still takes: every run as long as the ones before, as many at once as there have been.

    Runs that shared the machine are followed by one of each variant `to_time`, alone. Until the first of these is over,
    they are taken to be as long as the others, which had fewer threads: that is the most.
    """

    def __init__(self, runs: int, to_time: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.left, self.to_time = runs, set(to_time)
        self.timing_left: int | None = None
        self.begun: dict[str, float] = {}
        self.at_once = 1
        self.shared = False
        self.took: list[float] = []
        self.took_alone: list[float] = []

    def started(self, run: job.Job) -> None:
        """Be told that a run begins."""
        self.begun[run.spec.uid] = self.clock()
        self.at_once = max(self.at_once, len(self.begun))

    def ended(self, run: job.Job, record: Record) -> None:
        """Be told that it is over."""
        self.begun.pop(run.spec.uid, None)
        self.left -= 1
        self.took.append(record.wall_s)
        if record.speed is None:
            return
        if alone(record):
            self.to_time.discard(run.spec.variant_uid)
        else:
            self.shared = True

    def timing(self, runs: int) -> None:
        """Be told that so many are to be timed alone from now on."""
        self.timing_left = runs

    def timed(self, run: job.Job) -> None:
        """Be told that one of them is over."""
        if (begin := self.begun.pop(run.spec.uid, None)) is not None:
            self.took_alone.append(self.clock() - begin)
        self.timing_left = (self.timing_left or 1) - 1

    def seconds(self) -> float | None:
        """Return how long the whole still takes, None where no run tells."""
        known = self.took_alone or self.took
        if not known:
            return None
        each_alone = statistics.fmean(known)
        if self.timing_left is not None:
            return each_alone * self.timing_left - self._done(each_alone)
        each = statistics.fmean(self.took)
        together = (each * self.left - self._done(each)) / self.at_once
        return together + each_alone * (len(self.to_time) if self.shared else 0)

    def _done(self, each: float) -> float:
        """Return the seconds that runs under way have behind them, of those that each takes."""
        return sum(min(each, self.clock() - begin) for begin in self.begun.values())
