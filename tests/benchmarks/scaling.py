"""What several runs at once are worth: python tests/benchmarks/scaling.py local, or slurm, or ray

Both sides of each ratio run right after each other on one machine, which has to be quiet; five minutes on two cores.
`--runs` and `--steps` make it short, to try it. It prints the table of docs/scaling.md.
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
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.machine import cores, facts
from bench.store.files import Store

if TYPE_CHECKING:
    from bench.store.record import Record

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import ray_cluster  # noqa: E402
import slurm_cluster  # noqa: E402
from commands import add_package, environment  # noqa: E402
from small import save_model, write_texts  # noqa: E402

WANTED = {2: "at least 1", 16: "at least 6"}
"""Of so many runs at once, over one at a time."""
RUNS_EACH = 4
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
    jobs: Annotated[
        str | None, typer.Option(metavar="N,…", help="Runs at once. Default: 2, 4, 8, … as far as there are cores.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=2, help=f"Runs of each study. Default: {RUNS_EACH} for each at once.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of each run.")] = 60,
) -> None:
    """Several runs at once and two studies side by side on this machine, each against one after the other."""
    there = len(cores.usable())
    tried = [int(part) for part in jobs.split(",")] if jobs else [2**k for k in range(1, there.bit_length())]
    if not tried or max(tried) > there:
        raise typer.BadParameter(f"there are {there} cores that may be used")
    number = runs or RUNS_EACH * max(tried)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        alone_s = _wait([_start(work / "one", number, steps, 1, there)], work)
        one = _records(work / "one")
        for count in tried:
            _wait([_start(work / f"{count}", number, steps, count, there // count)], work)
            ratio = _runs_per_hour(_records(work / f"{count}")) / _runs_per_hour(one)
            figure = f"runs an hour, `--jobs {count}` over one at a time with {there} threads"
            rows.append((figure, f"{ratio:.2f}", WANTED.get(count, "")))
        both_s = _wait([_start(work / f"beside-{side}", number, steps, 1, there) for side in "ab"], work)
    rows.append(("two studies side by side over one after the other", f"{both_s / (2 * alone_s):.2f}", "at most 1.1"))
    gaps = _gaps(one)
    gap, run = statistics.median(gaps), statistics.median(record.wall_s for record in one)
    figure = f"time between two runs of a worker over a run of {run:.1f} s"
    rows.append((figure, f"{gap / run:.3f} ({_seconds(gaps)})", "under 0.3 s"))
    _print(f"{there} cores; {number} runs a study, LoRA on the demo's texts, {steps} steps each", rows)


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

    A process that attends to a run is killed, and later one of the two nodes that do runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        told: dict[str, Any] = {"PYTHONPATH": str(work / "site"), "NOTES": str(work / "notes")}
        with ray_cluster.cluster(**told) as nodes:
            study = _start_tiny(work, runs, {}, *nodes.options)
            _wait_for_records(study, work / "store", runs // 4)
            nodes.running()[0].kill()
            _wait_for_records(study, work / "store", runs // 2)
            nodes.kill()
            killed = time.time()
            seconds = _wait([study], work)
        records = _records(work / "store")
        begun = list(dict.fromkeys((work / "notes").read_text().splitlines()))
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
    lost = runs - sum(record.status == "ok" for record in records)
    rows = [
        ("runs lost", str(lost), "0"),
        ("runs begun again, which a killed worker had under way", str(again), f"at most {KILLED}"),
        ("time between two runs of a worker", _seconds(gaps), "under 0.3 s"),
    ]
    _print(title, rows)
    raise typer.Exit(1 if lost or again > KILLED else 0)


def _start(store: Path, runs: int, steps: int, jobs: int, threads: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench", "run", "--preset", "demo", "--methods", "lora", "--set", "lora.alpha=32"]
    command += ["--seeds", ",".join(map(str, range(runs))), "--max-steps", str(steps), "--device", "cpu"]
    command += ["--jobs", str(jobs), "--threads", str(threads)]
    command += ["--no-baseline", "--no-timing", "--results", str(store)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def _wait(studies: list[subprocess.Popen[bytes]], work: Path) -> float:
    """Return how many seconds it takes until all are over. Raises RuntimeError where one went wrong."""
    begin = time.monotonic()
    codes = [study.wait() for study in studies]
    if any(codes):
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


def _print(title: str, rows: list[tuple[str, str, str]]) -> None:
    print(f"{facts.processor()}; {title}\n")
    for cells in [("figure", "measured", "wanted"), ("---", "---:", "---:"), *rows]:
        print(f"| {' | '.join(cells)} |")


def _seconds(gaps: list[float]) -> str:
    return f"{statistics.median(gaps):.2f} s, at most {max(gaps):.2f} s"


if __name__ == "__main__":
    app()
