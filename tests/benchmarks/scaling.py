"""What several runs at once are worth: python tests/benchmarks/scaling.py local, or slurm, or ray

Each figure is a ratio of two sides that ran right after each other on one machine, or a time that is counted from the
records. A quiet machine is needed; `--runs` and `--steps` make it short, to try it.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.machine import cores
from bench.store.files import Store

if TYPE_CHECKING:
    from bench.store.record import Record

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import ray_cluster  # noqa: E402
import slurm_cluster  # noqa: E402
from commands import add_package, environment  # noqa: E402
from small import save_model, write_texts  # noqa: E402

KILLED = 2
COUNTED = """
import os
from pathlib import Path
from typing import ClassVar

import methods
import torch


class Counted(methods.Method):
    name: ClassVar[str] = "counted"
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    learning_rate: methods.LearningRate = 1e-3

    def adapt(self, model, plan):
        with Path(os.environ["NOTES"]).open("a") as notes:
            notes.write(f"{torch.initial_seed()} {os.getpid()} {os.getppid()}\\n")
        return model
"""
"""A method that notes of each run its seed, its process, and the worker's server that this is forked from.

It may do so twice, as it is applied a second time where a figure needs that.
"""

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def main() -> None:
    """Measure what an engine is worth."""


@app.command()
def local(
    jobs: Annotated[int, typer.Option(min=2, help="Runs at once, and the cores to have.")] = 2,
    runs: Annotated[int, typer.Option(min=2, help="Runs of each study.")] = 12,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of each run.")] = 200,
) -> None:
    """Several runs at once and two studies side by side on this machine, each against one after the other."""
    if len(cores.usable()) < jobs:
        raise typer.BadParameter(f"there are {len(cores.usable())} cores that may be used")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        one = _wait([_start(work / "one", runs, steps, "--jobs", "1", "--threads", str(jobs))], work)
        several = _wait([_start(work / "several", runs, steps, "--jobs", str(jobs), "--threads", "1")], work)
        both = _wait([_start(work / f"beside-{side}", runs, steps, "--threads", str(jobs)) for side in "ab"], work)
        found = [_records(work / name) for name in ("one", "several")]
        rate = _runs_per_hour(found[1]) / _runs_per_hour(found[0])
        gaps = _gaps(found[0])
    table = Table(title=f"{runs} runs of {steps} steps, {jobs} cores; seconds of each side: {one:.0f}, {several:.0f}")
    for name in ("figure", "measured", "wanted"):
        table.add_column(name)
    wanted = "at least 1" if jobs < 16 else "at least 6"
    table.add_row(f"runs an hour, --jobs {jobs} over one at a time with {jobs} threads", f"{rate:.2f}", wanted)
    table.add_row("two studies side by side over one after the other", f"{both / (2 * one):.2f}", "at most 1.1")
    table.add_row("time between two runs", _seconds(gaps), "under 0.3 s")
    Console().print(table)


@app.command()
def slurm(
    runs: Annotated[int, typer.Option(min=10, help="Runs of the study, each as small as can be.")] = 1000,
    workers: Annotated[int, typer.Option(min=KILLED + 1, help="Workers, of which two are killed.")] = 4,
) -> None:
    """Many tiny runs through a real Slurm of one node that is started here: none is lost or done twice."""
    if missing := slurm_cluster.missing():
        raise typer.BadParameter(missing)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cluster:
        work = Path(folder)
        with slurm_cluster.cluster(Path(cluster)) as variables:
            study = _start_tiny(work, runs, variables, "--engine", "slurm", "--workers", str(workers))
            for number in range(KILLED):
                _kill_one(study, work / "store", (number + 1) * runs // (KILLED + 2))
            killed = time.time()
            seconds = _wait([study], work)
        records = _records(work / "store")
        begun = list(dict.fromkeys((work / "notes").read_text().splitlines()))
    _tell(
        f"{runs} tiny runs through Slurm, {workers} workers, {KILLED} killed; {seconds:.0f} s",
        runs,
        records,
        begun,
        killed,
    )


@app.command()
def ray(
    runs: Annotated[int, typer.Option(min=10, help="Runs of the study, each as small as can be.")] = 1000,
) -> None:
    """Many tiny runs on a real Ray cluster of three nodes that is started here: none is lost or done twice.

    A process that attends to a run is killed, and later a node, in whose place another comes.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told = {"PYTHONPATH": str(work / "site"), "NOTES": str(work / "notes")}
        with ray_cluster.cluster(**told) as nodes:
            study = _start_tiny(work, runs, {}, *nodes.options)
            _wait_for_records(study, work / "store", runs // 4)
            nodes.running()[0].kill()
            _wait_for_records(study, work / "store", runs // 2)
            nodes.kill()
            nodes.add()
            killed = time.time()
            seconds = _wait([study], work)
        records = _records(work / "store")
        begun = [line.split() for line in (work / "notes").read_text().splitlines()]
    _tell(f"{runs} tiny runs on Ray, 2 of 3 nodes do runs; {seconds:.0f} s", runs, records, begun, killed)


def _wait_for_records(study: subprocess.Popen[bytes], store: Path, count: int) -> None:
    """Return as soon as so many records are there. Raises RuntimeError where the study ends before."""
    while len(list(store.glob("*.json"))) < count:
        if study.poll() is not None:
            raise RuntimeError("the study ended before a node could be killed")
        time.sleep(0.1)


def _start_tiny(work: Path, runs: int, variables: dict[str, str], *engine: str) -> subprocess.Popen[bytes]:
    """Start a study of one step a run on the suite's small texts and backbone."""
    write_texts(work / "texts")
    save_model("gpt2", work / "model")
    (work / "site").mkdir()
    add_package(work / "site", "counted_method", COUNTED, "counted = counted_method:Counted")
    told = environment(NOTES=str(work / "notes"), BENCH_CORES_DIR=str(work / "cores"), **variables)
    told["PYTHONPATH"] += os.pathsep + str(work / "site")
    command = [sys.executable, "-m", "bench", "run", "--methods", "counted", "--max-steps", "1", "--threads", "1"]
    command += ["--model", str(work / "model"), "--data", str(work / "texts"), "--device", "cpu", "--dtype", "fp32"]
    command += ["--seeds", ",".join(map(str, range(runs))), "--no-baseline", "--no-timing"]
    return subprocess.Popen(
        [*command, "--results", str(work / "store"), *engine], cwd=work, env=told, stdout=subprocess.DEVNULL
    )


def _kill_one(study: subprocess.Popen[bytes], store: Path, after: int) -> None:
    """Kill a worker as soon as so many records are there. Raises RuntimeError where the study ends before."""
    while len(list(store.glob("*.json"))) < after or not (alive := slurm_cluster.workers(store)):
        if study.poll() is not None:
            raise RuntimeError("the study ended before a worker could be killed")
        time.sleep(0.1)
    for process in [alive[0], *alive[0].children(recursive=True)]:
        process.kill()


def _tell(title: str, runs: int, records: list[Record], begun: list[str], killed: float) -> None:
    """Print how many runs were lost or done twice, and the time between two runs of a worker since the last was killed.

    Until then there may be more workers than cores, which they wait for.
    """
    servers = {line.split()[0]: line.split()[2] for line in begun}  # a run that was begun again is the later worker's
    again = len(begun) - len(servers)
    of_worker = defaultdict(list)
    for record in [record for record in records if _begin(record) > killed]:
        of_worker[servers[str(record.seed)]].append(record)
    gaps = [gap for each in of_worker.values() for gap in _gaps(each)]
    table = Table(title=title)
    for name in ("figure", "measured", "wanted"):
        table.add_column(name)
    lost = runs - sum(record.status == "ok" for record in records)
    table.add_row("runs lost", str(lost), "0")
    table.add_row("runs begun again, which a killed worker had under way", str(again), f"at most {KILLED}")
    table.add_row("time between two runs of a worker", _seconds(gaps), "under 0.3 s")
    Console().print(table)
    raise typer.Exit(1 if lost or again > KILLED else 0)


def _start(store: Path, runs: int, steps: int, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench", "run", "--preset", "demo", "--methods", "lora", "--set", "lora.alpha=32"]
    command += ["--seeds", ",".join(map(str, range(runs))), "--max-steps", str(steps), "--device", "cpu"]
    command += ["--no-baseline", "--no-timing", "--results", str(store), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def _wait(studies: list[subprocess.Popen[bytes]], work: Path) -> float:
    """Return how many seconds it takes until all are over. Raises RuntimeError where one went wrong."""
    begin = time.monotonic()
    if any(study.wait() for study in studies):
        raise RuntimeError(f"a study went wrong; its store was in {work}")
    return time.monotonic() - begin


def _records(store: Path) -> list[Record]:
    return sorted(Store(store).read().records, key=lambda record: record.created_at)


def _begin(record: Record) -> float:
    return datetime.fromisoformat(record.created_at).timestamp()


def _end(record: Record) -> float:
    return _begin(record) + record.wall_s


def _runs_per_hour(records: list[Record]) -> float:
    return 3600 * len(records) / (max(map(_end, records)) - _begin(records[0]))


def _gaps(records: list[Record]) -> list[float]:
    """Return the seconds between each run's end and the next one's beginning, where one runs at a time."""
    return [_begin(after) - _end(before) for before, after in itertools.pairwise(records)]


def _seconds(gaps: list[float]) -> str:
    return f"{statistics.median(gaps):.2f} s, at most {max(gaps):.2f} s"


if __name__ == "__main__":
    app()
