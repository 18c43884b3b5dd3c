"""How many runs at once, and with how many threads each."""

from __future__ import annotations

import math
import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import psutil

from bench.errors import UsageError
from bench.execution import child
from bench.machine import cores, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

    from bench.job import Job
    from bench.machine.facts import Device

_STEPS, _WARM_UP = 15, 5
_PATIENCE_S = 60.0
_WORTH = 1.05
"""What takes so many times as long isn't worth the memory of more runs at once."""
_MEMORY_SHARE = 0.7


@dataclass(frozen=True)
class Slots:
    """Where a study's runs are placed: so many at once, each with its threads, on `cores` and on GPUs' places."""

    at_once: int
    threads: int
    cores: cores.Cores


@dataclass(frozen=True)
class Placing:
    """What was asked for: so many runs at once, each with its threads, and on CUDA so many on each GPU.

    `timing`: where several run at once, one of each variant is run again by itself.
    """

    jobs: int | Literal["auto"] = 1
    threads: int | None = None
    per_gpu: int = 1
    timing: bool = True

    def slots(self, device: Device) -> Slots:
        """Return where runs go on this machine, one at a time where that is still to be chosen.

        Raises UsageError where more is asked for than there is.
        """
        return slots(1 if self.jobs == "auto" else self.jobs, self.threads, self.per_gpu, device)


def slots(jobs: int | None, threads: int | None, per_gpu: int, device: Device) -> Slots:
    """Check what was asked for against the machine; `jobs` None: as many as there are places, which is for GPUs.

    Raises UsageError where more is asked for than there is.
    """
    numbers = cores.usable()
    gpus = facts.gpus() if device == "cuda" else ()
    if device == "cpu" and per_gpu > 1:
        raise UsageError("--runs-per-gpu is for runs on CUDA, and these are on the CPU; leave it out")
    places = min(len(gpus) * per_gpu, len(numbers)) if gpus else len(numbers)
    at_once = places if jobs is None else jobs
    has = f"{_count(len(numbers), 'core')} that may be used"
    if at_once > places:
        if gpus:
            has = f"{_count(len(gpus), 'GPU')} with {_count(per_gpu, 'run')} each, and {has}"
        raise UsageError(f"--jobs {at_once}: this machine has {has}; take --jobs {places} at the most, or --jobs auto")
    each = threads or facts.threads(at_once)
    if at_once * each > len(numbers):
        raise UsageError(
            f"--jobs {at_once} with --threads {each}: this machine has {has}; take "
            f"--threads {len(numbers) // at_once} at the most"
        )
    return Slots(at_once, each, cores.Cores(numbers, gpus, per_gpu))


def chosen(
    asked: Placing, jobs: Sequence[Job], device: Device, say: Callable[[str], object], wait: Callable[[], object]
) -> Slots:
    """Return where these runs go; `--jobs auto` measures that on a CPU, and says what it found.

    `wait` is called where other studies have the cores to measure with.
    """
    if asked.jobs != "auto":
        return asked.slots(device)
    if device == "cuda":
        found, why = slots(None, asked.threads, asked.per_gpu, device), f"{asked.per_gpu} on each GPU"
    else:
        numbers = cores.usable()
        say("measuring how many runs at once are quickest")
        with cores.Cores(numbers).wait(len(numbers), tell=wait):
            measured = rates(jobs, numbers, asked.threads)
        timed = len({job.spec.variant_uid for job in jobs if job.spec.search is None}) if asked.timing else 0
        found = slots(quickest(measured, len(jobs), timed), asked.threads, asked.per_gpu, device)
        why = ", ".join(f"{count} at once: {rate:.1f} steps/s" for count, rate in measured.items())
        if measured and timed:
            why += f"; {_count(len(jobs), 'run')}, and {timed} to time alone if several run at once"
    how = f"{_count(found.at_once, 'run')} at once, {_count(found.threads, 'thread')} each"
    say(f"--jobs auto: {how} ({why or 'there was nothing to measure'}).")
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def rates(found: Sequence[Job], numbers: tuple[int, ...], threads: int | None) -> dict[int, float]:
    """Return steps a second of all runs together, by how many run at once, as measured here with one of the jobs.

    Tried are 1, 2, 4, … runs and as many as there are places, as far as memory allows, on their shares of the cores
    `numbers`, with `threads` or one a core. {} where there is nothing to choose or nothing that trains by steps, and
    where that fails.
    """
    most = min(len(numbers) // (threads or 1), len(found))
    job = next((job for job in found if not job.spec.variant.build().fixed_features), None)
    measured: dict[int, float] = {}
    if job is None or most == 1:
        return measured
    peak = 0
    for count in sorted({*(2**k for k in range(most.bit_length())), most}):
        if count * peak > _MEMORY_SHARE * psutil.virtual_memory().total:
            break
        each = threads or len(numbers) // count
        tried = _measured(job, [numbers[k * each : (k + 1) * each] for k in range(count)])
        if not tried:
            return {}
        measured[count] = sum(1 / seconds for seconds, _ in tried)
        peak = max(resident for _, resident in tried)
    return measured


def quickest(measured: dict[int, float], runs: int, timed: int) -> int:
    """Return how many runs at once get so many done soonest, the fewest of those that are nearly as quick.

    `timed` of them are run again one at a time, unless all are. `measured` are steps a second of all runs together, by
    how many run at once; 1 where nothing was measured.
    """

    def duration(count: int) -> float:
        """In seconds for each step that a run takes."""
        rounds = math.ceil(runs / count)
        again = timed / measured[1] if count > 1 else 0.0
        return rounds * count / measured[count] + again

    least = min(map(duration, measured), default=0.0)
    return min((count for count in measured if duration(count) <= _WORTH * least), default=1)


def _measured(job: Job, shares: Sequence[tuple[int, ...]]) -> list[tuple[float, int]]:
    """Train on each share of the cores at once; return a step's seconds and resident bytes of each, [] on failure."""
    child.warm_up()
    context = child.context()
    barrier = context.Barrier(len(shares))
    few = min(_STEPS, job.spec.training.max_steps or _STEPS)
    training = job.spec.training.model_copy(update={"max_steps": few})
    short = replace(job, spec=job.spec.model_copy(update={"training": training}), checkpoint=None, adapter=None)
    processes, results = [], []
    for share in shares:
        result, sender = context.Pipe(duplex=False)
        placed = replace(short, cores=share, threads=len(share))
        processes.append(context.Process(target=_measure, args=(placed, barrier, sender), daemon=True))
        child.start(processes[-1])
        sender.close()
        results.append(result)
    try:
        return [result.recv() for result in results] if all(result.poll(_PATIENCE_S) for result in results) else []
    except (EOFError, OSError):
        return []
    finally:
        for process, result in zip(processes, results, strict=True):
            process.kill()
            process.join()
            result.close()


def _measure(job: Job, barrier: Barrier, result: Connection) -> None:
    """Be the target of a process that is timed."""
    from bench.execution import worker
    from bench.machine import measure
    from bench.training.run import Run

    worker.settle(os.open(os.devnull, os.O_WRONLY))
    cores.pin(job.cores)
    seconds = Run(job, lambda *_: None).step_s(lambda: barrier.wait(_PATIENCE_S))
    result.send((statistics.median(seconds[min(_WARM_UP, len(seconds) - 1) :]), measure.resident_bytes()))
