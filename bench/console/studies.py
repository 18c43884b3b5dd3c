"""A study before and after it runs: its grid, its texts, how long it takes, how its runs compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from bench.console.lines import say, show, terminal
from bench.reporting import comparison
from bench.reporting.terminal import to_rich
from bench.reporting.text import clean, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bench.data import Corpus
    from bench.data.frames import Split
    from bench.spec import Variant
    from bench.store.record import Record
    from bench.store.speeds import Estimate


def grid(variants: Sequence[tuple[Variant, Sequence[str]]], seeds: Sequence[int], tasks: Sequence[str] = ("",)) -> None:
    """Print what a study would run, on each of several tasks; of each variant, the files that it was read from."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    read = any(files for _, files in variants)
    for name in ("method", "hyperparameters", "seeds"):
        table.add_column(name)
    if read:
        table.add_column("from", overflow="fold")
    for variant, files in variants:
        hyperparameters = ", ".join(f"{key}={value}" for key, value in variant.hyperparameters.items())
        origin = [Text(clean(", ".join(files)))] if read else []
        table.add_row(variant.method, Text(clean(hyperparameters)), ", ".join(map(str, seeds)), *origin)
    console = terminal()
    console.print(table)
    runs = f"{len(variants)} variants × {len(seeds)} seeds = {len(tasks) * len(variants) * len(seeds)} runs"
    if len(tasks) == 1:
        console.print(runs)
        return
    for number, task in enumerate(tasks, start=1):
        console.print(Text(f"task {number}: {clean(task)}"))
    console.print(f"{len(tasks)} tasks × {runs}")


def estimate(found: Estimate) -> None:
    """Print what a study reads and how long it takes."""
    read = ", ".join(f"{count(number)} in {split}" for split, number in found.tokens.items())
    say(f"About {count(sum(found.tokens.values()))} tokens: {read}.")
    if found.seconds is None:
        say(
            "How long a study takes isn't known: no record in results is of this backbone on this machine. "
            "One with --seeds 0 --max-steps 20 measures it."
        )
        return
    others = found.variants - found.measured
    said = f"; {others} of {found.variants} variants count as the slowest known" if others else ""
    say(f"{found.runs} runs take about {_duration(found.seconds)} here, by the speeds in results{said}.")


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{count(hours)} h {minutes} min"
    return f"{minutes} min" if minutes > 1 else f"{max(1, round(seconds))} s"


def data(corpus: Corpus, lengths: Mapping[Split, NDArray[np.int64]], backbone: str) -> None:
    """Print what was understood of a data set; `lengths` [n] are its texts' in the backbone's tokens."""
    from bench.data.overview import suggested_length
    from bench.reporting import dataset

    say(f"{corpus.name}: {corpus.understood or 'the texts that ship with the project'}")
    for note in corpus.notes:
        say(note)
    again = count(sum(corpus.repeated.values()))
    say(f"Duplicates: {count(corpus.duplicates)} texts stand in more than one split, {again} again in their own.")
    show(dataset.labels(corpus))
    show(dataset.first_rows(corpus))
    show(dataset.lengths(lengths))
    longest = suggested_length(lengths["train"])
    say(f"In tokens of {backbone}. --max-length {longest} cuts no more than one train text in a hundred.")


def summary(records: Sequence[Record], folder: Path) -> None:
    """Print how the runs compare, how many have a result, and where the records lie."""
    console = terminal()
    for heading, table in comparison(records):
        console.print()
        console.print(Text(clean(heading), style="bold"))
        console.print(to_rich(table, console.width))
    good = sum(record.status == "ok" for record in records)
    console.print(f"{good} of {len(records)} runs ok", style="green" if good == len(records) else "red")
    console.print(Text(f"Records in {clean(str(folder))}; the whole report: python report.py {clean(str(folder))}"))
