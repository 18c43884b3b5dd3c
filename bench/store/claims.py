"""Who does which run, where several studies share a store: on one machine, or on many with a shared folder.

An owner is a study's process. It has a folder `.work/<owner>` in the store, which says who it is and whose modification
time it touches again and again: its heartbeat. It claims a run by putting an empty file `.<uid>.<owner>.claim` into the
store and then looking who else has: the run is its own when all others are dead. As every owner puts down its own name
before it looks, no two can both find themselves alone; and as no file is ever taken from a living owner, no order of
events loses a claim. All that is asked of the file system is that what one has made, another sees who lists the folder
later.

An owner on this machine is dead when its process is; one on another when its heartbeat stood still while an observer
here looked STALE_BEATS times. Clocks of different machines are never compared.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

WORK = ".work"
BEAT_S = 2.0
STALE_BEATS = 10
_LOOKS, _PAUSE_S = 5, 0.02
_FACTS = "owner.json"


@dataclass(frozen=True)
class Facts:
    """Who an owner is: a process id says something only on its machine (one boot, one namespace of process ids)."""

    host: str
    machine: str | None
    pid: int
    started: str | None

    @classmethod
    def of_this_process(cls) -> Facts:
        """Return this process's facts."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _start(os.getpid()))

    @classmethod
    def read(cls, folder: Path) -> Facts | None:
        """Return what an owner's folder says, None where it doesn't say it."""
        try:
            return cls(**json.loads((folder / _FACTS).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def ended(self) -> bool:
        """Tell whether the process is known to be over; False also where this machine can't know."""
        return self.machine is not None and self.machine == _machine() and _start(self.pid) != self.started


def _machine() -> str | None:
    """Return what tells this boot of this machine, and this container's process ids, from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _start(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks since boot; None where there is none that lives."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


class Owner:
    """This process at work on a store. Entered, it has a folder and a heartbeat; left, nothing of it stays."""

    def __init__(self, store: Path, beat_s: float = BEAT_S) -> None:
        self.store, self.beat_s = store, beat_s
        host = re.sub(r"[^a-zA-Z0-9-]", "-", socket.gethostname())[:32]
        self.name = f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self.folder = store / WORK / self.name
        self._beats: dict[str, tuple[int, int]] = {}
        self._left = threading.Event()
        self._heart = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        (self.folder / _FACTS).write_text(json.dumps(asdict(Facts.of_this_process())), encoding="utf-8")
        self._clear_the_dead()
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._clear(self.name)

    def claim(self, uid: str) -> bool:
        """Make the run this owner's. False where a living owner has it."""
        if self.rivals(uid):
            return False
        token = self._token(uid)
        token.touch()
        for _ in range(_LOOKS):
            rivals = self.rivals(uid)
            if not rivals:
                return True
            if min(rivals) < self.name:  # of those that look at the same moment, the first by name stays
                break
            time.sleep(_PAUSE_S)
        token.unlink(missing_ok=True)
        return False

    def release(self, uid: str) -> None:
        """Give the run up."""
        self._token(uid).unlink(missing_ok=True)

    def check(self, uid: str) -> None:
        """Raise UsageError where the claim is gone, because this process seemed dead for a while."""
        if not self._token(uid).exists():
            raise UsageError(
                f"this study stood still for over {BEAT_S * STALE_BEATS:g} s, so another one took it for dead and took "
                "over its runs; start the same command again to join it"
            )

    def rivals(self, uid: str) -> list[str]:
        """Return the other living owners that have a claim on the run."""
        names = [path.name.split(".")[2] for path in self.store.glob(f".{uid}.*.claim")]
        return [name for name in names if name != self.name and not self._dead(name)]

    def _token(self, uid: str) -> Path:
        return self.store / f".{uid}.{self.name}.claim"

    def _dead(self, name: str) -> bool:
        folder = self.store / WORK / name
        if not folder.is_dir() or self._beats.get(name, (0, 0))[1] >= STALE_BEATS:
            return True
        facts = Facts.read(folder)
        return facts is not None and facts.ended()

    def _live(self) -> None:
        while not self._left.wait(self.beat_s):
            with suppress(OSError):
                os.utime(self.folder / _FACTS)
            with suppress(OSError):
                self._listen()
                self._clear_the_dead()

    def _listen(self) -> None:
        """Count for how many looks each other heartbeat hasn't changed."""
        for folder in (self.store / WORK).iterdir():
            beat = _last_beat(folder)
            before, stood_still = self._beats.get(folder.name, (beat, 0))
            self._beats[folder.name] = (beat, stood_still + 1 if beat == before else 0)

    def _clear_the_dead(self) -> None:
        for folder in (self.store / WORK).iterdir():
            if folder.name != self.name and self._dead(folder.name):
                self._clear(folder.name)

    def _clear(self, name: str) -> None:
        """Remove an owner's claims, then what it left half-written."""
        for token in self.store.glob(f".*.{name}.claim"):
            token.unlink(missing_ok=True)
        shutil.rmtree(self.store / WORK / name, ignore_errors=True)


def _last_beat(folder: Path) -> int:
    """Return the heartbeat's time in ns on its own clock; opening makes a network's file system ask the server."""
    try:
        with (folder / _FACTS).open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return 0
