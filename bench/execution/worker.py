"""What happens inside a run's own process. Importing this imports all that a run needs, before runs are forked."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import re
import signal
import sys
import threading
import traceback
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING

import torch
import transformers

from bench.job import Failure, Progress, Trained, storable
from bench.machine import streams
from bench.machine.cores import pin
from bench.model import weights
from bench.store.record import RunError, Status
from bench.training import one_pass, train
from bench.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from bench.job import Job
    from bench.store.record import Epoch

weights.warm_up()

_LAST_LINES = 20
_NO_MEMORY = re.compile(r"out of memory|can(not|'t) allocate memory|ALLOC(ATION)?_FAILED", re.I)
"""Also in CUBLAS_STATUS_ALLOC_FAILED and in cuDNN's ..._HOST_ALLOCATION_FAILED and ..._DEVICE_ALLOCATION_FAILED."""


def main(jobs: Sequence[Job], channel: Connection, output: Connection) -> None:
    """Run the job in a fresh process: what it prints goes to `output`, what it finds out to `channel`.

    The channel carries any number of Progress, Trained somewhere among them, then one Outcome or Failure. Of several
    jobs, which are trained in one pass, it carries no Trained, and in the end a list: what came of each, in order; or
    one Failure where all of them failed.
    """
    job = jobs[0]
    settle(output.fileno())
    pin(job.cores)
    if job.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = job.gpu
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    def watch(phase: str, done: int, total: int, loss: float | None = None, epoch: Epoch | None = None) -> None:
        channel.send(Progress(phase, done, total, loss, epoch))

    try:
        if len(jobs) > 1:
            found = one_pass.outcomes(jobs, watch)
            channel.send([_failure(each) if isinstance(each, train.Diverged) else each for each in found])
        else:
            channel.send(Run(job, watch).outcome(trained=lambda found: channel.send(Trained(found))))
    except Exception as error:
        channel.send(_failure(error))


def settle(output: int) -> None:
    """Make this process one of its own that ends with the study; what it prints goes to the descriptor `output`."""
    gc.freeze()  # the libraries' objects stay: going through them before each phase took 0.4 s
    os.setpgid(0, 0)  # Ctrl-C doesn't reach it, the study decides; and what it starts can be ended with it
    _end_with_the_server()
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    streams.replace_unknown()  # before: Python still takes the stream for what it was, perhaps a file
    os.dup2(output, 1)
    os.dup2(output, 2)


_PR_SET_PDEATHSIG = 1


def _end_with_the_server() -> None:
    """Have the kernel end this process with the one it was forked from, which ends with the study.

    That holds even where foreign code keeps every thread of this process from running.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_the_study() -> None:
    """Leave at once, with all that this run started, when the study's process has died: nobody waits for it."""
    study = parent_process()
    if study is not None:
        connection.wait([study.sentinel])
        os.killpg(0, signal.SIGKILL)


def _failure(error: Exception) -> Failure:
    status: Status = "failed"
    if isinstance(error, train.Diverged):
        status = "diverged"
    elif out_of_memory(error):
        status = "oom"
    lines = "".join(traceback.format_exception(error)).splitlines()
    said = RunError(
        type=type(error).__name__,
        message=storable(str(error)),
        last_lines=[storable(line) for line in lines[-_LAST_LINES:]],
    )
    return Failure(status=status, error=said)


def out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, the processor's or the GPU's, be it that another exception was made of that one.

    Only torch's own allocator for CUDA has a type for it. Its allocator for the CPU, the driver and CUDA's libraries
    each have their words.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)):
        return True
    return error.__cause__ is not None and out_of_memory(error.__cause__)
