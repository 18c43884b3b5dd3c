"""The machine's cores, dealt out among all of this user's runs on it: a core computes for one run at a time.

Two processes that each believe they have all cores take far longer than one after the other, since their threads wait
for each other by spinning. So before a run begins, its study takes as many cores as the run has threads, by locks that
the kernel frees when their holder dies. Studies of one user see each other through a folder of their own, or any who
have the same BENCH_CORES_DIR; other users, and containers with another such folder, are not seen.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import psutil
from filelock import FileLock

from bench.machine import cgroups
from bench.machine.register import Register, acquired

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bench.machine.register import Entry

Named = TypeVar("Named", int, str)

QUEUE_S = 0.05
"""How soon cores that became free are seen by who waits for them."""
_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def usable() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may use: one logical processor of each physical core.

    Its affinity and its control groups' quota limit them. Where the system tells no numbers, they count from 0.
    """
    found = _allowed()
    return found[: max(1, int(cgroups.processors() or len(found)))]


def _allowed() -> tuple[int, ...]:
    """Return one logical processor of each physical core that the affinity allows."""
    logical = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    found = {_siblings(number): number for number in reversed(logical)}
    return tuple(sorted(found.values())[: psutil.cpu_count(logical=False)])


def _siblings(number: int) -> str:
    try:
        return Path(_SIBLINGS.format(number)).read_text(encoding="ascii").strip()
    except OSError:
        return str(number)


def pin(numbers: tuple[int, ...]) -> None:
    """Keep this process, and the threads that it will start, on these cores, where the system can do that.

    Where a quota allows fewer cores than the affinity, the numbers mean nothing: every container would take the first.
    """
    quota = cgroups.processors()
    if numbers and hasattr(os, "sched_setaffinity") and (quota is None or quota >= len(_allowed())):
        with suppress(OSError):  # a core that was taken offline, or out of the group, meanwhile
            os.sched_setaffinity(0, numbers)


class Lease:
    """What one run holds: `cores`, and on a GPU a place there. `gpu` is what CUDA_VISIBLE_DEVICES has to be.

    It counts as a run from `begin` on; within a `with`, all the time.
    """

    def __init__(self, cores: tuple[int, ...], gpu: str | None, held: tuple[FileLock, ...], register: Register) -> None:
        self.cores, self.gpu = cores, gpu
        self._held, self._register = held, register
        self._entry: Entry | None = None

    def begin(self) -> None:
        """Be counted: who only looks for something to do is nobody's neighbour."""
        self._entry = self._register.enter()

    def neighbours(self) -> int:
        """Return the most other runs at once that there have been on the machine since this one began."""
        return self._entry.neighbours() if self._entry else 0

    def release(self) -> None:
        """Give everything back."""
        if self._entry:
            self._entry.leave()
        for lock in self._held:
            lock.release()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Cores:
    """Deals out the cores `numbers`, and on a GPU `per_gpu` places on each of `gpus`, to one run after the other.

    A study that finds too few free stands at the head of its cores' queues until it has them: nobody gets one of these
    cores before it, and a study that has just given some back can't take them again at once. Who is kept to other cores
    doesn't wait for it.
    """

    def __init__(
        self, numbers: tuple[int, ...], gpus: tuple[str, ...] = (), per_gpu: int = 1, folder: Path | None = None
    ) -> None:
        self.numbers, self.gpus, self.per_gpu = numbers, gpus, per_gpu
        self.folder = folder or _folder()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._queues = [self._lock(f"queue-{number}") for number in sorted(numbers)]
        self._register = Register(self.folder)

    def take(self, count: int, *, gpu: bool = False) -> Lease | None:
        """Return a lease of `count` cores (of all there are, where that is fewer), or None where they aren't free yet.

        Whoever was told None asks again soon, until a lease, or else has to `give_up`.
        """
        # in order, and what it has of them it keeps, so that of two who share some cores one gets all
        if not all(queue.is_locked or acquired(queue) for queue in self._queues):
            return None
        wanted = min(count, len(self.numbers))
        cores = self._free({f"core-{number}": number for number in self.numbers}, wanted)
        of_job = os.environ.get("SLURM_JOB_ID", "")  # each job of Slurm has GPUs of its own, and calls the first 0
        places = {f"gpu-{of_job}-{name.replace('/', '-')}-{k}": name for k in range(self.per_gpu) for name in self.gpus}
        place = self._free(places, 1) if gpu else []
        held = tuple(lock for lock, _ in [*cores, *place])
        if len(cores) < wanted or (gpu and not place):
            for lock in held:
                lock.release()
            return None
        self.give_up()
        return Lease(
            tuple(number for _, number in cores), next((name for _, name in place), None), held, self._register
        )

    def wait(self, count: int, *, gpu: bool = False, tell: Callable[[], object]) -> Lease:
        """Return a lease as soon as there is one; `tell` is called where that isn't at once."""
        try:
            if (lease := self.take(count, gpu=gpu)) is None:
                tell()
            while lease is None:
                time.sleep(QUEUE_S)
                lease = self.take(count, gpu=gpu)
            return lease
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Leave the queues."""
        for queue in self._queues:
            queue.release()

    def runs(self) -> int:
        """Return how many runs there are on the machine at this moment, this study's own among them."""
        return self._register.runs()

    def _free(self, names: dict[str, Named], wanted: int) -> list[tuple[FileLock, Named]]:
        found: list[tuple[FileLock, Named]] = []
        for name, what in names.items():
            if len(found) == wanted:
                break
            lock = self._lock(name)
            if acquired(lock):
                found.append((lock, what))
        return found

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / f"{name}.lock")


def _folder() -> Path:
    """Return where this user's studies on this machine meet; not in /run/user, which goes when the user logs out."""
    chosen = os.environ.get("BENCH_CORES_DIR")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"peft-bench-{os.getuid()}"
