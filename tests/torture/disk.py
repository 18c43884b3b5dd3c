"""A disk that is full after so many bytes, for each such number; then the same command with room."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from workshop import QUIET, litter

from bench import cli
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workshop import Tally, Workshop

SEEDS = 1
ROOM = 2**26
_LOOK_S = 0.001


@dataclass(frozen=True)
class Disk:
    """A folder on a disk that can be made to end at so many bytes (None: at more than enough)."""

    folder: Path
    end_at: Callable[[int | None], object]
    used: Callable[[], int]

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)


def disk(work: Workshop, tally: Tally) -> None:
    """End the disk at `times` sizes, evenly from nothing to what the study needs: at every write, when those suffice.

    The studies are called in this process, which saves the imports; their runs are processes as ever.
    """
    os.environ |= {**QUIET, "NOTES": str(work.folder / "notes")}
    sys.path.append(str(work.folder / "site"))
    with _tmpfs() if os.geteuid() == 0 else _largest_file(work.folder) as found:
        store = found.folder / "store"
        needed = _needed(work, found, store)
        for number in range(1, tally.times + 1):
            found.end_at(max(1, needed * number // tally.times))
            code, said = _call(work, store)
            found.end_at(None)
            lost = _lost_when_full(store, code, said)
            code, said = _call(work, store)
            lost += [said[-2000:]] if code else work.wrong(store, SEEDS)
            shutil.rmtree(store)
            tally.count(f"with {number}/{tally.times} of {needed} bytes: {what}" for what in lost)


def _lost_when_full(store: Path, code: int, said: str) -> list[str]:
    """Name what a study did wrong that found the disk full."""
    explained = (code == 2) == ("bench: " in said) and "Traceback" not in said
    wrong = [] if explained else [f"it left with {code}: {said[-3000:]}"]
    contents = Store(store).read()
    wrong += [f"{path.name}: {reason}" for path, reason in contents.unreadable]
    return wrong + [what for what in litter(store) if ".checkpoints" not in what or ".part" in what]


def _call(work: Workshop, store: Path) -> tuple[int, str]:
    """Call the study; return its exit code and what it said."""
    said = io.StringIO()
    sys.argv = ["bench", *work.arguments(store, SEEDS), "--save-adapters", str(store / "adapters")]
    try:
        with redirect_stdout(said), redirect_stderr(said):
            cli.main()
    except SystemExit as left:
        return int(left.code or 0), said.getvalue()
    raise AssertionError("a command always leaves by SystemExit")


def _needed(work: Workshop, found: Disk, store: Path) -> int:
    """Return how many bytes an undisturbed study uses at most, as far as an observer sees."""
    most, over = 0, threading.Event()

    def observe() -> None:
        nonlocal most
        while not over.wait(_LOOK_S):
            with suppress(FileNotFoundError):
                most = max(most, found.used())

    observer = threading.Thread(target=observe)
    observer.start()
    code, said = _call(work, store)
    over.set()
    observer.join()
    assert code == 0, said
    shutil.rmtree(store)
    return most


@contextmanager
def _tmpfs() -> Iterator[Disk]:
    """A small disk of its own, which counts in pages."""
    with tempfile.TemporaryDirectory() as name:

        def mount(*options: str) -> None:
            subprocess.run(["mount", *options], check=True)

        mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", name)
        try:
            yield Disk(
                Path(name),
                lambda size: mount("-o", f"remount,size={size or ROOM}", name),
                lambda: shutil.disk_usage(name).used,
            )
        finally:
            subprocess.run(["umount", name], check=True)


@contextmanager
def _largest_file(folder: Path) -> Iterator[Disk]:
    """For want of the right to mount one: no file may be larger, which the kernel holds against each process."""

    def limit(size: int | None) -> None:
        me = psutil.Process()
        for process in [me, *me.children()]:
            process.rlimit(psutil.RLIMIT_FSIZE, (size or psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))

    place = folder / "disk"
    try:
        yield Disk(place, limit, lambda: max((path.stat().st_size for path in place.rglob("*")), default=0))
    finally:
        limit(None)
