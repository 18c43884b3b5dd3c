"""What several runs at once are worth: python tests/benchmarks/scaling.py local

Each figure is a ratio of two sides that ran right after each other on one machine, or a time that is counted from the
records. A quiet machine is needed; `--runs` and `--steps` make it short, to try it.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
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
    median, most = statistics.median(gaps), max(gaps)
    table.add_row("time between two runs", f"{median:.2f} s, at most {most:.2f} s", "under 0.3 s")
    Console().print(table)


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


if __name__ == "__main__":
    app()
