"""SIGKILL at random moments to runs, and to studies and workers from the first import on; then the same again."""

from __future__ import annotations

import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import slurm_cluster
from workshop import SEEDS

from bench.machine.cores import Cores
from bench.store.files import Store

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from workshop import Tally, Workshop

KILLS_A_STORE = 50
SEEDS_OF_SHORT = 1
WORKERS = 3
AT_ONCE = 2
"""A study spends most of its life on one core, importing or in a tiny run."""
GONE_WITHIN_S = 5.0
"""Far more than the second that a run has to end in, for machines that are busy with torture."""
SEEDS_AT_ONCE = 3
KILLS_A_PAIR = 5
TWO_AT_ONCE = ("--jobs", "2", "--timing")
CORES = (1000, 1001)
"""Those that the studies are told of."""
_LOOK_S = 0.02


def kill_runs(work: Workshop, tally: Tally) -> None:
    """Kill a run's process at a random moment of its life; the study goes on, and later does the run again."""
    draw, longest = work.draw("kill_runs"), 1.2 * work.run_s
    while tally.tried < tally.times:
        goal = min(tally.times, tally.tried + KILLS_A_STORE)
        with work.store() as store:
            while tally.tried < goal:
                study = work.start(store, SEEDS)
                _hunt(study, draw, longest, tally, goal)
                study.wait()
                tally.lose(_otherwise_failed(store))
            tally.lose(work.finish(store, SEEDS))


def _hunt(study: subprocess.Popen[bytes], draw: random.Random, longest: float, tally: Tally, goal: int) -> None:
    """Kill each new run that is still alive at its moment, until so many are booked or the study is over."""
    seen: set[psutil.Process] = set()
    while study.poll() is None and tally.tried < goal:
        for run in set(runs_of(study)) - seen:
            seen.add(run)
            try:
                run.wait(draw.uniform(0, longest))
            except psutil.TimeoutExpired:
                with suppress(psutil.NoSuchProcess):
                    run.kill()
                    tally.count()
        time.sleep(_LOOK_S)


def _otherwise_failed(store: Path) -> list[str]:
    """Name the runs that ended otherwise than well or by the kill."""
    return [
        f"{record.method} seed={record.seed} is {record.status}: {record.error}"
        for record in Store(store).read().records
        if record.error is not None and (record.status, record.error.type) != ("failed", "SIGKILL")
    ]


def runs_of(study: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of the study's runs: the children of the server that they are forked from."""
    with suppress(psutil.NoSuchProcess):
        return [run for server in psutil.Process(study.pid).children() for run in server.children()]
    return []


def kill_studies(work: Workshop, tally: Tally) -> None:
    """Kill a study at a random moment of its life, imports included, until its store is whole; then on a new one."""
    with work.store() as store:
        begin = time.monotonic()
        tally.lose(work.finish(store, SEEDS_OF_SHORT))
        life = time.monotonic() - begin
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for hand in [pool.submit(_kill_some, work, tally, life, number) for number in range(AT_ONCE)]:
            hand.result()


def _kill_some(work: Workshop, tally: Tally, life: float, number: int) -> None:
    draw = work.draw(f"kill_studies {number}")
    left = tally.times // AT_ONCE + (number < tally.times % AT_ONCE)
    while left:
        with work.store() as store:
            while left and _killed(study := work.start(store, SEEDS_OF_SHORT), draw.uniform(0, life), tally):
                left -= 1
            if study.returncode > 0:
                tally.lose([f"a study left with {study.returncode}: {(store.parent / 'said').read_text()[-2000:]}"])
            whole = study.returncode == 0
            tally.lose(work.wrong(store, SEEDS_OF_SHORT) if whole else work.finish(store, SEEDS_OF_SHORT))


def _killed(study: subprocess.Popen[bytes], moment: float, tally: Tally) -> bool:
    """Kill the study at its moment; return False where it had come to its end by then."""
    try:
        study.wait(moment)
        return False
    except subprocess.TimeoutExpired:
        runs = runs_of(study)
        study.kill()
        study.wait()
        _, alive = psutil.wait_procs(runs, GONE_WITHIN_S)
        tally.count(f"the run {run.pid} outlived its study" for run in alive)
        return True


def kill_at_once(work: Workshop, tally: Tally) -> None:
    """Kill a run, or one of two studies side by side, while each does two runs at once: no core stays taken."""
    draw = work.draw("kill_at_once")
    with work.store() as store:
        begin = time.monotonic()
        tally.lose(work.finish(store, SEEDS_AT_ONCE, *TWO_AT_ONCE))
        life = time.monotonic() - begin
    while tally.tried < tally.times:
        goal = min(tally.times, tally.tried + KILLS_A_PAIR)
        with work.store() as one, work.store() as other:
            studies = {store: work.start(store, SEEDS_AT_ONCE, *TWO_AT_ONCE) for store in (one, other)}
            while tally.tried < goal and any(study.poll() is None for study in studies.values()):
                time.sleep(draw.uniform(0, life / 2))
                store = draw.choice(list(studies))
                if _killed_one(studies[store], draw, tally) and studies[store].poll() is not None:
                    studies[store] = work.start(store, SEEDS_AT_ONCE, *TWO_AT_ONCE)
            for store, study in studies.items():
                study.wait()
                tally.lose(_otherwise_failed(store))
            tally.lose(_taken(work))
            for store in studies:
                tally.lose(work.finish(store, SEEDS_AT_ONCE, *TWO_AT_ONCE))
            tally.lose(_taken(work))


def _killed_one(study: subprocess.Popen[bytes], draw: random.Random, tally: Tally) -> bool:
    """Kill the study, or one of its runs if it has any; return False where it is over."""
    if study.poll() is not None:
        return False
    runs = runs_of(study)
    if not runs or draw.random() < 0.5:
        study.kill()
        study.wait()
        _, alive = psutil.wait_procs(runs, GONE_WITHIN_S)
        tally.count(f"the run {run.pid} outlived its study" for run in alive)
        return True
    with suppress(psutil.NoSuchProcess):
        draw.choice(runs).kill()
        tally.count()
    return True


def _taken(work: Workshop) -> list[str]:
    """Name what is taken of the machine though every study is over."""
    machine = Cores(CORES, folder=work.cores)
    lease = machine.take(len(CORES))
    machine.give_up()
    if lease is not None:
        lease.release()
    runs = machine.runs()
    return ["a core is taken"] * (lease is None) + ([f"{runs} runs are counted"] if runs else [])


def kill_workers(work: Workshop, tally: Tally) -> None:
    """Kill a worker's process at a random moment of its life; the others go on, and the study submits new ones.

    A study of which one after the other all workers were killed leaves with 2, and goes on when it is started again.
    """
    draw, longest = work.draw("kill_workers"), SEEDS * work.run_s
    with _slurm() as (options, variables):
        while tally.tried < tally.times:
            with work.store() as store:
                study, goal = work.start(store, SEEDS, *options, **variables), min(tally.times, tally.tried + WORKERS)
                _hunt_workers(study, store, draw, longest, tally, goal)
                if study.wait() not in (0, 2):
                    tally.lose([f"a study left with {study.returncode}: {(store.parent / 'said').read_text()[-2000:]}"])
                tally.lose(_otherwise_failed(store))
                again = work.start(store, SEEDS, *options, **variables)
                tally.lose([f"then it left with {again.returncode}"] if again.wait() else work.wrong(store, SEEDS))


@contextmanager
def _slurm() -> Iterator[tuple[list[str], dict[str, str]]]:
    """The engine's options, and the variables by which it is found: a real Slurm of one node where there can be one."""
    options = ["--engine", "slurm", "--workers", str(WORKERS)]
    if slurm_cluster.missing():
        yield [*options, "--engine-set", "cluster=local"], {}
        return
    with tempfile.TemporaryDirectory() as folder, slurm_cluster.cluster(Path(folder)) as variables:
        yield options, variables


def _hunt_workers(
    study: subprocess.Popen[bytes], store: Path, draw: random.Random, longest: float, tally: Tally, goal: int
) -> None:
    """Kill each worker at its moment, if it is still alive then, until so many are booked or the study is over."""
    moments: dict[psutil.Process, float] = {}
    while study.poll() is None and tally.tried < goal:
        for worker in slurm_cluster.workers(store):
            moment = moments.setdefault(worker, time.monotonic() + draw.uniform(0, longest))
            if time.monotonic() > moment:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
                    tally.count()
        time.sleep(_LOOK_S)
