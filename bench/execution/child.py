"""A run's process: forked from a server that has imported everything once, and listened to until it ends.

On a Mac it is a fresh one that imports for itself: Apple's libraries may not be used in a process that was forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bench.execution import oom, sockets
from bench.job import Failure, Found, Trained
from bench.machine import cuda
from bench.store.record import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess

    from bench.job import Job, Progress
    from bench.store.record import Status

RUN_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "JOBLIB_MULTIPROCESSING": "0",  # else scikit-learn's import leaves semaphores that Python warns of at the end
    "THP_MEM_ALLOC_ENABLE": "1",  # large tensors in huge pages where Linux has them: fewer page faults
    **cuda.WITHOUT_CONTEXT,  # a library that looks for a GPU while it is imported spoils CUDA for all that is forked
}
"""What a run's process finds in its environment beside the user's own."""

_FAREWELL_S = 5.0
_LAST_LINES = 20
_LAST_BYTES = 16_384
_READ_BYTES = 65_536


def warm_up() -> None:
    """Start the server that runs are forked from, so that its imports overlap with what the study does meanwhile.

    Where it runs already, or where there is none, nothing happens. Raises UsageError where the system has no place for
    the server's socket.
    """
    from multiprocessing import forkserver

    if context().get_start_method() == "forkserver":
        sockets.settle()
        with _what_a_run_finds():
            forkserver.ensure_running()


def start(process: BaseProcess) -> None:
    """Start a process that was made of `context`."""
    with _what_a_run_finds():
        process.start()


@contextmanager
def _what_a_run_finds() -> Iterator[None]:
    """Within, let a process that is started have the environment of a run.

    Ctrl-C, which reaches the whole group, is kept from it: it would end the imports with a traceback.
    """
    from multiprocessing import resource_tracker

    with _environment(RUN_ENVIRONMENT):
        resource_tracker.ensure_running()  # before: its own start ends with SIGINT let through
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def context() -> ForkServerContext | SpawnContext:
    """Return what makes processes: they are forked from a server that has imported all that a run needs, or fresh."""
    if sys.platform == "darwin":
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["bench.execution.worker"])
    return server


class Child:
    """The process of a run, or of several in one pass, what it says on its channel, and the end of what it prints."""

    def __init__(self, jobs: Sequence[Job], timeout_s: float | None) -> None:
        self.runs = len(jobs)
        self.timeout_s = timeout_s
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.over = False
        self.tail, self.prints = bytearray(), True
        self.trained: Found | None = None
        self.kills = oom.kills()
        warm_up()
        processes = context()
        self.channel, channel = processes.Pipe(duplex=False)
        self.output, output = processes.Pipe(duplex=False)
        self.process = processes.Process(target=_start, args=(jobs, channel, output), daemon=True)
        start(self.process)
        channel.close()
        output.close()

    @property
    def heard_of(self) -> list[Any]:
        """What `multiprocessing.connection.wait` waits for."""
        return [self.channel, self.process.sentinel, *([self.output] if self.prints else [])]

    def hear(self, ready: Sequence[Any], tell: Callable[[Progress], None]) -> list[Found | Failure] | None:
        """Take in what is `ready`; return what each run found out, or why it didn't, once the process is over.

        What training and evaluation found out stands, however the process of one run ends after them.
        """
        result = self._listen(ready, tell)
        if result is None and self.deadline is not None and time.monotonic() > self.deadline:
            self._end()
            result = self._failure("timeout", "Timeout", f"it wasn't done after {self.timeout_s:g} s")
        if result is None or isinstance(result, list):
            return result
        if self.trained is None or not isinstance(result, Failure):
            return [result] * self.runs
        note = f"what is measured after training is null: {result.error.type}: {result.error.message}"
        return [self.trained.model_copy(update={"notes": (note,)})]

    def close(self) -> None:
        """End the process, at once or, where it has said all, when it has ended by itself."""
        if self.over:
            self.process.join(_FAREWELL_S)
        self._end()
        self.channel.close()
        self.output.close()

    def _end(self) -> None:
        """End the process, and those that it started, if it hasn't ended by itself."""
        if self.process.pid is not None and self.process.is_alive():
            with suppress(ProcessLookupError):  # it has no group of its own yet
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join()

    def _listen(
        self, ready: Sequence[Any], tell: Callable[[Progress], None]
    ) -> list[Found | Failure] | Found | Failure | None:
        if self.output in ready:
            self._read_output()
        if self.channel in ready or (self.process.sentinel in ready and self.channel.poll()):
            try:
                message = self.channel.recv()
            except (EOFError, OSError):  # OSError: it ended within a message
                return self._died()
            if isinstance(message, Found | Failure | list):
                self.over = True
                return message
            if isinstance(message, Trained):
                self.trained = message.outcome
            else:
                tell(message)
        elif self.process.sentinel in ready:
            return self._died()
        return None

    def _read_output(self) -> bool:
        """Take in a piece of what was printed; return whether there was one. Only the end is kept."""
        piece = os.read(self.output.fileno(), _READ_BYTES)
        self.tail = (self.tail + piece)[-_LAST_BYTES:]
        self.prints = bool(piece)
        return self.prints

    def _died(self) -> Failure:
        """Say how the process ended that had nothing more to say."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL and oom.ended_by_kernel(self.kills):
            return self._failure("oom", "SIGKILL", "the kernel ended the run's process: memory ran out")
        if code < 0:
            name = signal.Signals(-code).name
            return self._failure("failed", name, f"the run's process was ended by {name}")
        return self._failure("failed", "Exit", f"the run's process left with exit code {code} and no result")

    def _failure(self, status: Status, kind: str, message: str) -> Failure:
        while self.output.poll() and self._read_output():
            pass
        lines = self.tail.decode(errors="replace").splitlines()[-_LAST_LINES:]
        return Failure(status=status, error=RunError(type=kind, message=message, last_lines=lines))


def _start(jobs: Sequence[Job], channel: Connection, output: Connection) -> None:
    """Be the target of the process. The worker is imported there only: the study's process needs no torch."""
    from bench.execution import worker

    worker.main(jobs, channel, output)
