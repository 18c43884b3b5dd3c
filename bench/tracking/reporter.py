"""A tracker as the study sees it: it is told things, and nobody waits for it.

A thread hands what is told to a process of the tracker's own, which comes after runs. Where that fails or
doesn't answer, it is ended, and told nothing more.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bench.tracking import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.tracking.installed import Name

LIMIT_S = 60.0
"""So long a tracker has for each thing that it is told, and to start."""
_QUIET = {
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}


class Reporter:
    """Takes what is to be told, in order. `say` is given a line where the tracker is there, and where it is given up.

    `store` is where the records are.
    """

    def __init__(self, name: Name, store: Path, say: Callable[[str], None]) -> None:
        self.name, self.store, self.say = name, store, say
        self.begun, self.over = threading.Event(), False
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        # here and not in the thread: the environment is changed for moments, when runs are started
        self._process = subprocess.Popen(
            [sys.executable, "-m", process.__name__, name, str(store.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_QUIET},
            start_new_session=True,  # Ctrl-C is the study's, and what the tracker starts can be ended with it
        )
        self._thread = threading.Thread(target=self._serve, name=f"reports to {name}", daemon=True)
        self._thread.start()

    def tell(self, message: dict[str, Any]) -> None:
        """Have the tracker told it, in its turn."""
        if not self.over:
            self._messages.put(message)

    def close(self, patience_s: float) -> None:
        """Return when the tracker has been told all, or after so many seconds."""
        self._messages.put(None)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._give_up(f"it hasn't taken everything {patience_s:g} s after the last run")
            self._thread.join()

    def _serve(self) -> None:
        try:
            place = self._answer()
            self.say(f"Reporting to {self.name}: {place}")
            self.begun.set()
            while (message := self._messages.get()) is not None:
                self._send(message)
                self._answer()
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._give_up(f"it didn't end within {LIMIT_S:g} s")
        except _Trouble as trouble:
            self._give_up(str(trouble))
        finally:
            self._end()
            self.begun.set()

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            raise _Trouble("its process has ended") from None

    def _answer(self) -> str:
        """Return what the tracker answers. Raises _Trouble where it says that it failed, or nothing."""
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], LIMIT_S)[0]:
            raise _Trouble(f"it didn't answer for {LIMIT_S:g} s")
        line = stdout.readline()
        if not line:
            raise _Trouble("its process has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise _Trouble(answer["error"])
        return str(answer["said"])

    def _give_up(self, why: str) -> None:
        """Say it once, and end the process."""
        if not self.over:
            self.over = True
            self.say(f"Warning: nothing more is reported to {self.name}: {why}. The records are in {self.store}.")
        self._end()

    def _end(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class _Trouble(Exception):
    """Why a tracker is given up."""
