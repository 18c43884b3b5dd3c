"""The commands as a person starts them, and packages of methods as an installer leaves them."""

from __future__ import annotations

import gc
import io
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import report
from bench import cli

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
BENCH = [sys.executable, "-m", "bench"]
TWO_CORES = [
    *(sys.executable, "-c"),
    "from bench import cli; from bench.machine import cores; cores.usable = lambda: (1000, 1001); cli.main()",
]
"""The same on a machine that has two cores, which no process can be kept to."""


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, with the project importable from any folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **changes}


def bench(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bench` with its output piped, as a process of its own."""
    return subprocess.run(
        [*BENCH, *arguments], cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=300
    )


class Terminal:
    """A command in a session of its own, on a terminal 100 wide whose screen and keyboard are here."""

    def __init__(self, command: list[str], cwd: Path, **variables: str) -> None:
        self._keyboard, screen = pty.openpty()
        termios.tcsetwinsize(screen, (30, 100))
        # the session's leader takes the first terminal that it opens for its own, whose Ctrl-C it gets
        shell = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(screen)]
        told = environment(TERM="xterm-256color", **variables)
        self.process = subprocess.Popen([*shell, *command], cwd=cwd, env=told, start_new_session=True, stdin=screen)
        os.close(screen)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C, which interrupts every process in the foreground."""
        os.write(self._keyboard, b"\x03")

    @property
    def shown(self) -> str:
        """All that the screen was sent so far, escape sequences included."""
        return self._shown.decode(errors="replace")

    def wait(self) -> None:
        """Take in the rest, which ends with the last process that has the terminal open."""
        self._reader.join()

    def _read(self) -> None:
        with suppress(OSError):  # so Linux says that nobody has the terminal open any more
            while piece := os.read(self._keyboard, 2**16):
                self._shown += piece
        os.close(self._keyboard)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command in this process, which saves the imports; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def here(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `bench …` or `report.py …` in this process with its output piped, which saves the imports."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    main = {"bench": cli.main, "report.py": report.main}[command[0]]
    code = 0
    with pytest.MonkeyPatch.context() as patch, chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [*command])
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        finally:
            gc.enable()  # which a report does without
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(command, code, *said)


def add_package(folder: Path, package: str, code: str, points: str) -> None:
    """Put a package of methods with its entry points into a folder, as an installer would."""
    (folder / f"{package}.py").write_text(code, encoding="utf-8")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[bench.methods]\n{points}\n", encoding="utf-8")


def wait_until(happened: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as it has happened; raise AssertionError when it hasn't within so many seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
