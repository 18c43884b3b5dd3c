"""Who computes on this machine at this moment: each run is told of every other that it meets, however short that is."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from filelock import FileLock, Timeout


def acquired(lock: FileLock) -> bool:
    """Take the lock if it is free, and tell whether it was."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


class Register:
    """The runs that compute, in a folder that all studies on this machine share.

    A run has a lock, which the kernel frees with its holder, and beside it a file that others write into: whoever
    enters tells all who are there how many others each of them now has. At no other time do others become more, so the
    largest of these numbers is the most that a run has met.
    """

    _counter = itertools.count()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._door = FileLock(folder / "register.lock", poll_interval=0.001)
        """Only who has it enters, leaves or looks, so that two who enter at once see each other."""

    def enter(self) -> Entry:
        """Be counted, until the entry is left or this process ends."""
        with self._door:
            present = self._present()
            lock = FileLock(self.folder / f"run-{os.getpid()}-{next(self._counter)}.lock")
            lock.acquire(blocking=False)
            for run in (*present, lock):
                with _neighbours(run).open("a", encoding="ascii") as told:
                    told.write(f"{len(present)}\n")
        return Entry(lock, self._door)

    def runs(self) -> int:
        """Return how many there are at this moment."""
        with self._door:
            return len(self._present())

    def _present(self) -> list[FileLock]:
        """Return the locks that others hold; those of killed runs are removed."""
        held = []
        for path in self.folder.glob("run-*.lock"):
            lock = FileLock(path)
            if acquired(lock):
                _remove(lock)
            else:
                held.append(lock)
        return held


class Entry:
    """One run's place in the register."""

    def __init__(self, lock: FileLock, door: FileLock) -> None:
        self._lock, self._door = lock, door

    def neighbours(self) -> int:
        """Return the most other runs at once that this one has met so far."""
        with self._door:
            return max(map(int, _neighbours(self._lock).read_text(encoding="ascii").split()))

    def leave(self) -> None:
        """Be counted no more."""
        with self._door:
            _remove(self._lock)


def _neighbours(lock: FileLock) -> Path:
    return Path(lock.lock_file).with_suffix(".neighbours")


def _remove(lock: FileLock) -> None:
    """Remove a run's files and free its lock; whoever is killed within leaves a free lock, which the next removes."""
    _neighbours(lock).unlink(missing_ok=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
