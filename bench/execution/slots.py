"""How many runs at once, and with how many threads each."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError
from bench.execution import child
from bench.machine import cores, facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Barrier

    from bench.job import Job
    from bench.spec import TrainingSpec

_STEPS, _WARM_UP = 15, 5
_PATIENCE_S = 60.0
_WORTH = 1.05
"""So many times as many steps a second are worth the memory of more runs at once."""


@dataclass(frozen=True)
class Slots:
    """Where a study's runs are placed: so many at once, each with its threads, on `cores` and on GPUs' places."""

    at_once: int
    threads: int
    cores: cores.Cores


def slots(jobs: int | None, threads: int | None, per_gpu: int, device: Literal["cpu", "cuda"]) -> Slots:
    """Check what was asked for against the machine; `jobs` None: as many as there are places, which is for GPUs.

    Raises UsageError where more is asked for than there is.
    """
    numbers = cores.usable()
    gpus = facts.gpus() if device == "cuda" else ()
    if device == "cpu" and per_gpu > 1:
        raise UsageError("--runs-per-gpu is for runs on CUDA, and these are on the CPU; leave it out")
    places = len(gpus) * per_gpu if gpus else len(numbers)
    at_once = places if jobs is None else jobs
    if at_once > places:
        what = f"{len(gpus)} GPUs with {per_gpu} runs each" if gpus else f"{len(numbers)} cores that may be used"
        raise UsageError(f"--jobs {at_once}: there are {what}; take --jobs {places} at the most, or --jobs auto")
    each = threads or facts.threads(at_once)
    if not gpus and at_once * each > len(numbers):
        raise UsageError(
            f"--jobs {at_once} with --threads {each}: there are {len(numbers)} cores that may be used; take "
            f"--threads {max(1, len(numbers) // at_once)} at the most"
        )
    return Slots(at_once, each, cores.Cores(numbers, gpus, per_gpu))


def quickest(found: Sequence[Job], runs: int) -> dict[int, float]:
    """Return steps a second of all runs together, by how many run at once, as measured here with one of the jobs.

    Tried are 1, 2, 4, … runs with their share of the cores. {} where nothing of it trains by steps, or where it fails.
    """
    numbers = cores.usable()
    counts = [n for n in (2**power for power in range(10)) if n <= min(len(numbers), runs)]
    job = next((job for job in found if not job.spec.variant.build().fixed_features), None)
    if job is None or len(counts) < 2:
        return {}
    rates = {n: _steps_per_s(job, [numbers[k::n] for k in range(n)]) for n in counts}
    return rates if all(rates.values()) else {}


def best(rates: dict[int, float]) -> int:
    """Return the fewest runs at once than which no other number is much quicker."""
    most = max(rates.values(), default=0.0)
    return min((n for n, rate in rates.items() if rate * _WORTH >= most), default=1)


def _steps_per_s(job: Job, shares: Sequence[tuple[int, ...]]) -> float:
    """Return how many steps a second processes make together, one on each share of the cores; 0 where one fails."""
    child.warm_up()
    context = child.context()
    barrier = context.Barrier(len(shares))
    processes, results = [], []
    for share in shares:
        result, sender = context.Pipe(duplex=False)
        short = _short(job.spec.training)
        placed = replace(
            job,
            spec=job.spec.model_copy(update={"training": short}),
            cores=share,
            threads=len(share),
            checkpoint=None,
            adapter=None,
        )
        processes.append(context.Process(target=_measure, args=(placed, barrier, sender), daemon=True))
        processes[-1].start()
        sender.close()
        results.append(result)
    try:
        return float(sum(1 / result.recv() for result in results if result.poll(_PATIENCE_S)))
    except (EOFError, OSError):
        return 0.0
    finally:
        for process in processes:
            process.kill()
            process.join()


def _short(training: TrainingSpec) -> TrainingSpec:
    return training.model_copy(update={"max_steps": min(_STEPS, training.max_steps or _STEPS)})


def _measure(job: Job, barrier: Barrier, result: Connection) -> None:
    """Be the target of a process that is timed."""
    from bench.execution import worker
    from bench.training.run import Run

    worker.settle(os.open(os.devnull, os.O_WRONLY))
    cores.pin(job.cores)
    seconds = Run(job, lambda *_: None).step_s(lambda: barrier.wait(_PATIENCE_S))
    result.send(statistics.median(seconds[min(_WARM_UP, len(seconds) - 1) :]))
