"""The machine's cores, dealt out among all of this user's runs on it: a core computes for one run at a time.

Two processes that each believe they have all cores take far longer than one after the other, since their threads wait
for each other by spinning. So before a run begins, its study takes as many cores as the run has threads, by locks that
the kernel frees when their holder dies. Studies of one user see each other through a folder of their own; other users,
and containers with another such folder, are not seen.
"""

from __future__ import annotations

import itertools
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import psutil
from filelock import FileLock, Timeout

from bench.machine import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def usable() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may use: one logical processor of each physical core.

    Its affinity and its control groups' quota limit them. Where the system tells no numbers, they count from 0.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    seen: set[str] = set()
    found = []
    for core in allowed:
        siblings = _siblings(core)
        if siblings not in seen:
            seen.add(siblings)
            found.append(core)
    physical = psutil.cpu_count(logical=False) or len(found)
    return tuple(found[: max(1, min(physical, int(cgroups.processors() or len(found))))])


def _siblings(core: int) -> str:
    try:
        return Path(_SIBLINGS.format(core)).read_text(encoding="ascii").strip()
    except OSError:
        return str(core)


def pin(cores: tuple[int, ...]) -> None:
    """Keep this process, and the threads that it will start, on these cores, where the system can do that."""
    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # a core that was taken offline, or out of the group, meanwhile
            os.sched_setaffinity(0, cores)


@dataclass
class Lease:
    """What one run holds: cores, and on a GPU a place there. `gpu` is what CUDA_VISIBLE_DEVICES has to be."""

    cores: tuple[int, ...]
    gpu: str | None
    locks: list[FileLock] = field(repr=False)

    def release(self) -> None:
        """Give everything back."""
        for lock in self.locks:
            lock.release()
        for lock in self.locks[-1:]:  # the run's own, whose name nobody else ever takes
            Path(lock.lock_file).unlink(missing_ok=True)


class Cores:
    """Deals out the cores `numbers`, and on a GPU `per_gpu` places on each of `gpus`, to one run after the other.

    Who finds too few takes a place in the queue, which one study holds at a time, until enough are free: so nobody is
    passed over, and who has just given cores back comes after those who wait.
    """

    _counter = itertools.count()

    def __init__(
        self, numbers: tuple[int, ...], gpus: tuple[str, ...] = (), per_gpu: int = 1, folder: Path | None = None
    ) -> None:
        self.numbers, self.gpus, self.per_gpu = numbers, gpus, per_gpu
        with warnings.catch_warnings():  # that XDG_RUNTIME_DIR isn't set, as in containers
            warnings.simplefilter("ignore", RuntimeWarning)
            self.folder = folder or Path(platformdirs.user_runtime_dir("peft-bench"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._queue = self._lock("queue")

    def take(self, count: int, *, gpu: bool = False) -> Lease | None:
        """Return a lease of `count` cores (of all there are, where that is fewer), or None where they aren't free yet.

        Whoever was told None stays first in the queue until a lease, or `give_up`.
        """
        if not (self._queue.is_locked or _acquired(self._queue)):
            return None
        wanted = min(count, len(self.numbers))
        locks = self._free((f"core-{number}" for number in self.numbers), wanted)
        place = self._free((f"gpu-{name}-{k}" for k in range(self.per_gpu) for name in self.gpus), 1) if gpu else []
        if len(locks) < wanted or (gpu and not place):
            for lock in [*locks, *place]:
                lock.release()
            return None
        self._queue.release()
        own = self._lock(f"run-{os.getpid()}-{next(self._counter)}")
        own.acquire(blocking=False)
        cores = tuple(int(Path(lock.lock_file).stem.partition("-")[2]) for lock in locks)
        device = Path(place[0].lock_file).stem.split("-", 1)[1].rpartition("-")[0] if place else None
        return Lease(cores, device, [*locks, *place, own])

    def give_up(self) -> None:
        """Leave the queue."""
        self._queue.release()

    def neighbours(self, lease: Lease) -> int:
        """Return how many other runs hold cores at this moment."""
        mine = Path(lease.locks[-1].lock_file).name
        return sum(path.name != mine and self._held(path) for path in self.folder.glob("run-*.lock"))

    def _held(self, path: Path) -> bool:
        lock = FileLock(path)
        if not _acquired(lock):
            return True
        path.unlink(missing_ok=True)  # its run was killed
        lock.release()
        return False

    def _free(self, names: Iterable[str], wanted: int) -> list[FileLock]:
        locks: list[FileLock] = []
        for name in names:
            if len(locks) == wanted:
                break
            lock = self._lock(name)
            if _acquired(lock):
                locks.append(lock)
        return locks

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / f"{name}.lock")


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True
