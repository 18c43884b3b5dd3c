"""What several runs at once are worth: python tests/benchmarks/scaling.py local

Both sides of each ratio run right after each other on one machine, which has to be quiet; five minutes on two cores.
`--runs` and `--steps` make it short, to try it. It prints the table of docs/scaling.md.
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

from bench.machine import cores, facts
from bench.store.files import Store

if TYPE_CHECKING:
    from bench.store.record import Record

ROOT = Path(__file__).resolve().parents[2]
WANTED = {2: "at least 1", 16: "at least 6"}
"""Of so many runs at once, over one at a time."""
RUNS_EACH = 4

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
    rows.append((figure, f"{gap / run:.3f} ({gap:.2f} s, {max(gaps):.2f} s at the most)", "under 0.3 s"))
    print(f"{facts.processor()}, {there} cores; {number} runs a study, LoRA on the demo's texts, {steps} steps each\n")
    print("| figure | measured | wanted |\n| --- | ---: | ---: |")
    for cells in rows:
        print(f"| {' | '.join(cells)} |")


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


if __name__ == "__main__":
    app()
