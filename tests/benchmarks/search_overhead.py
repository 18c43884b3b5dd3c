"""What a trial of a search takes beside training and validation: python tests/benchmarks/search_overhead.py

Searches on the demo's backbone with a few short texts and a single step, so that nearly all of a trial is overhead.
A trial's own time is its `wall_s` less its `train_s`; the validation of a few short passages counts as its own, and of
the processor time the step does too. Other programs on the machine lengthen the time, but hardly the processor time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.data import load_open_authors
from bench.model.backbone import EMBEDDED
from bench.store.files import Store

if TYPE_CHECKING:
    from bench.store.record import Record

ROOT = Path(__file__).resolve().parents[2]
PASSAGES, TOKENS = 2, 16
"""So many of each style in each split, and the length that they are cut to."""
_LOOK_S = 0.02


def main(
    methods: Annotated[str, typer.Option(help="The methods to search, separated by commas.")] = "head,lora",
    trials: Annotated[int, typer.Option(min=1, help="Trials of each, beside the default.")] = 8,
) -> None:
    """Print each method's median over its trials; each one's first also makes what later ones find."""
    table = Table(title=f"A trial beside training and validation, median of {trials}")
    for name in ("method", "seconds", "processor seconds", "wanted"):
        table.add_column(name)
    for method in methods.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found, processor = search(method, trials, Path(folder))
        own = [_own_s(record) for record in found[1:]]
        median = statistics.median(processor[1 : trials + 1])
        table.add_row(method, f"{statistics.median(own):.2f}", f"{median:.2f}", "under 0.3")
    Console().print(table)


def search(method: str, trials: int, work: Path) -> tuple[list[Record], list[float]]:
    """Return a search's trials in order, and the processor time of each run.

    Raises RuntimeError where the study goes wrong.
    """
    texts, store = work / "texts", work / "store"
    texts.mkdir()
    for split, rows in load_open_authors().frames.items():
        few = rows.groupby("style").head(PASSAGES)[["text", "style", "category"]]
        few.to_json(texts / f"{split}.jsonl", orient="records", lines=True)
    command = [sys.executable, "-m", "bench", "tune", "--model", str(EMBEDDED), "--data", str(texts)]
    command += ["--methods", method, "--trials", str(trials), "--seeds", "1", "--device", "cpu", "--threads", "1"]
    command += ["--max-steps", "1", "--max-length", str(TOKENS)]
    study = subprocess.Popen([*command, "--no-baseline", "--results", str(store)], cwd=ROOT, stdout=subprocess.DEVNULL)
    processor = _processor_s(study)
    if study.wait():
        raise RuntimeError(f"the search of {method} went wrong")
    records = [record for record in Store(store).read().records if record.search]
    return sorted(records, key=lambda record: record.search.trial if record.search else 0), processor


def _processor_s(study: subprocess.Popen[bytes]) -> list[float]:
    """Watch a study to its end; return the processor time of each run, in order.

    The server that runs are forked from knows the time of its children that have ended. The last, which are final runs,
    may be missed.
    """
    found, before = [], 0.0
    while study.poll() is None:
        so_far = _of_ended_runs(study.pid)
        if so_far > before:
            found.append(so_far - before)
            before = so_far
        time.sleep(_LOOK_S)
    return found


def _of_ended_runs(study: int) -> float:
    try:
        servers = [each for each in psutil.Process(study).children() if "forkserver" in " ".join(each.cmdline())]
        times = [each.cpu_times() for each in servers]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(each.children_user + each.children_system for each in times)


def _own_s(record: Record) -> float:
    """Return the seconds of a trial that aren't training; a pass that an earlier one made is none of them."""
    speed = record.speed
    if speed is None or speed.train_s is None:
        raise RuntimeError(f"trial {record.uid} has no result")
    reused = speed.features_s if speed.features_reused and speed.features_s else 0.0
    return record.wall_s - (speed.train_s - reused)


if __name__ == "__main__":
    typer.run(main)
