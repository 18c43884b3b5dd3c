"""What happens inside a run's own process. Importing this imports all that a run needs, and does nothing else."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING

import torch
import transformers

from bench import train
from bench.job import Failure, Progress
from bench.record import RunError, Status
from bench.run import Run

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from bench.job import Job


def main(job: Job, channel: Connection, output: Connection) -> None:
    """Run the job in a fresh process: what it prints goes to `output`, what it finds out to `channel`.

    The channel carries any number of Progress, then one Outcome or Failure.
    """
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the study decides what ends
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    def watch(phase: str, done: int, total: int, loss: float | None = None) -> None:
        channel.send(Progress(phase, done, total, loss))

    try:
        channel.send(Run(job, watch).outcome())
    except Exception as error:
        channel.send(_failure(error))


def _end_with_the_study() -> None:
    """Leave at once when the study's process has died: nobody waits for the outcome."""
    study = parent_process()
    if study is not None:
        connection.wait([study.sentinel])
        os._exit(1)


def _failure(error: Exception) -> Failure:
    status: Status = "failed"
    if isinstance(error, train.Diverged):
        status = "diverged"
    elif _out_of_memory(error):
        status = "oom"
    lines = "".join(traceback.format_exception(error)).splitlines()
    return Failure(status=status, error=RunError(type=type(error).__name__, message=str(error), last_lines=lines[-20:]))


def _out_of_memory(error: Exception) -> bool:
    """torch tells a CPU that is out of memory by a RuntimeError of the allocator's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
