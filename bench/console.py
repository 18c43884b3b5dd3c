"""What a study looks like to the person who waits for it: live on a terminal, plain lines where the output is piped."""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from bench.reporting import comparison
from bench.reporting.terminal import to_rich
from bench.reporting.text import clean, clean_lines, count
from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from bench import job
    from bench.data import Corpus
    from bench.data.frames import Split
    from bench.reporting import model as tables
    from bench.spec import Variant
    from bench.store.record import Record
    from bench.store.speeds import Estimate

_MIB = 1024**2
_PIPED_WIDTH = 160
NO_CORES = "waiting for cores: other studies of yours have them"


def _console() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough for whole tables."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)


def view(runs: int, to_time: Collection[str] = ()) -> View:
    """Return what shows a study of `runs` runs: live on a terminal, else plain lines.

    The variants `to_time`, by uid, are run again by themselves, unless one of their runs is alone anyway.
    """
    console = _console()
    return LiveView(console, runs, to_time) if console.is_terminal else View(console, runs)


class View:
    """One plain line as each run begins and ends."""

    def __init__(self, console: Console, runs: int) -> None:
        self.console, self.runs, self.done = console, runs, 0
        self.waited_for = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, run: job.Job) -> None:
        """Say nothing: the line at the run's end says all."""

    def progressed(self, run: job.Job, progress: job.Progress) -> None:
        """Say nothing."""

    def ended(self, run: job.Job, record: Record) -> None:
        """Print the run's line."""
        self.done += 1
        line = " · ".join([f"{self.done}/{self.runs}", run.label, *_figures(record)])
        self.console.print(Text(clean(line)), soft_wrap=True)

    def timing(self, runs: int) -> None:
        """Say what follows, and why."""
        which = "1 run" if runs == 1 else f"the first seed of each of {runs} variants"
        said = f"timing {which} again, with no other run beside it (--no-timing leaves that out)"
        self.console.print(Text(said), soft_wrap=True)

    def timed(self, run: job.Job, record: Record | None) -> None:
        """Print the figures of a run that was timed by itself."""
        if record is not None:
            line = " · ".join(["timed alone", run.label, *_costs(record)])
            self.console.print(Text(clean(line)), soft_wrap=True)

    def said(self, line: str) -> None:
        """Print the line."""
        self.console.print(Text(clean(line, 1000)), soft_wrap=True)

    def waiting(self, jobs: Sequence[tuple[job.Job, Sequence[str]]]) -> None:
        """Say, whenever it changes, for how many runs of whom the study waits, or that it waits for cores."""
        owners = sorted({owner for _, claims in jobs for owner in claims})
        runs = "a run" if len(jobs) == 1 else f"{len(jobs)} runs"
        said = f"waiting for {runs} of another study: {', '.join(owners)}"
        if not jobs:
            said = NO_CORES
        if (owners or not jobs) and said != self.waited_for:
            self.waited_for = said
            self.show_waiting(said)

    def show_waiting(self, said: str) -> None:
        """Print the line."""
        self.console.print(Text(clean(said)), soft_wrap=True)


class Remaining:
    """How long a study still takes: every run as long as the ones before, as many at once as there have been.

    Runs that shared the machine are followed by one of each variant `to_time`, alone. Until the first of these is over,
    they are taken to be as long as the others, which had fewer threads: that is the most.
    """

    def __init__(self, runs: int, to_time: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.left, self.to_time = runs, set(to_time)
        self.timing_left: int | None = None
        self.begun: dict[str, float] = {}
        self.at_once = 1
        self.shared = False
        self.took: list[float] = []
        self.took_alone: list[float] = []

    def started(self, run: job.Job) -> None:
        """Be told that a run begins."""
        self.begun[run.spec.uid] = self.clock()
        self.at_once = max(self.at_once, len(self.begun))

    def ended(self, run: job.Job, record: Record) -> None:
        """Be told that it is over."""
        self.begun.pop(run.spec.uid, None)
        self.left -= 1
        self.took.append(record.wall_s)
        if record.speed is None:
            return
        if alone(record):
            self.to_time.discard(run.spec.variant_uid)
        else:
            self.shared = True

    def timing(self, runs: int) -> None:
        """Be told that so many are to be timed alone from now on."""
        self.timing_left = runs

    def timed(self, run: job.Job) -> None:
        """Be told that one of them is over."""
        if (begin := self.begun.pop(run.spec.uid, None)) is not None:
            self.took_alone.append(self.clock() - begin)
        self.timing_left = (self.timing_left or 1) - 1

    def seconds(self) -> float | None:
        """Return how long the whole still takes, None where no run tells."""
        known = self.took_alone or self.took
        if not known:
            return None
        each_alone = statistics.fmean(known)
        if self.timing_left is not None:
            return each_alone * self.timing_left - self._done(each_alone)
        each = statistics.fmean(self.took)
        together = (each * self.left - self._done(each)) / self.at_once
        return together + each_alone * (len(self.to_time) if self.shared else 0)

    def _done(self, each: float) -> float:
        """Return the seconds that runs under way have behind them, of those that each takes."""
        return sum(min(each, self.clock() - begin) for begin in self.begun.values())


class _RemainingColumn(ProgressColumn):
    """The time that the whole study still takes, on the line of what isn't over."""

    def __init__(self, remaining: Remaining) -> None:
        super().__init__()
        self.remaining = remaining

    def render(self, task: Task) -> Text:
        """Write it as hours, minutes and seconds."""
        seconds = self.remaining.seconds()
        if task.finished:
            return Text("")
        left = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        return Text(f"left {left}", style="progress.remaining")


class LiveView(View):
    """A table that grows as runs end, over the progress of the study and of each run under way."""

    def __init__(self, console: Console, runs: int, to_time: Collection[str] = ()) -> None:
        super().__init__(console, runs)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self.remaining = Remaining(runs, to_time)
        self.study = Progress(*columns, TimeElapsedColumn(), _RemainingColumn(self.remaining), console=console)
        self.run = Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[loss]}"), console=console)
        self.table = _results_table()
        self.all_runs = self.all_timed = self.study.add_task("study", total=runs)
        self.under_way: dict[str, TaskID] = {}
        self.waited = self.run.add_task("", total=None, loss="", visible=False)
        self.live = Live(Group(self.table, self.study, self.run), console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.update(self.table, refresh=True)
        self.live.stop()

    def started(self, run: job.Job) -> None:
        """Show that the run is under way."""
        self.remaining.started(run)
        self.run.update(self.waited, visible=False)
        self.under_way[run.spec.uid] = self.run.add_task(clean(run.label), total=None, loss="")

    def progressed(self, run: job.Job, progress: job.Progress) -> None:
        """Move the run's bar."""
        loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
        description = f"{clean(run.label)} · {progress.phase}"
        self.run.update(
            self.under_way[run.spec.uid],
            description=description,
            completed=progress.done,
            total=progress.total,
            loss=loss,
        )

    def show_waiting(self, said: str) -> None:
        """Show it where the runs under way are."""
        self.run.update(self.waited, description=clean(said), visible=True)

    def ended(self, run: job.Job, record: Record) -> None:
        """Add the run's row."""
        self._gone(run)
        self.done += 1
        self.remaining.ended(run, record)
        self.study.advance(self.all_runs)
        self.table.add_row(Text(clean(run.label)), *(Text(clean(cell)) for cell in _cells(record)))

    def timing(self, runs: int) -> None:
        """Show how many there are beside the study's progress."""
        self.remaining.timing(runs)
        self.all_timed = self.study.add_task("timing alone", total=runs)

    def timed(self, run: job.Job, record: Record | None) -> None:
        """Add a row for the run that was timed by itself."""
        self._gone(run)
        self.remaining.timed(run)
        self.study.advance(self.all_timed)
        if record is not None:
            cells = _cells(record)
            self.table.add_row(Text(clean(f"{run.label}, timed alone")), *(Text(clean(cell)) for cell in cells))

    def _gone(self, run: job.Job) -> None:
        task = self.under_way.pop(run.spec.uid, None)
        if task is not None:  # another study's run was never under way here
            self.run.remove_task(task)


def _results_table() -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run")
    for name in ("accuracy", "macro-F1", "train tok/s", "test tok/s", "peak MiB", "wall s"):
        table.add_column(name, justify="right")
    table.add_column("")
    return table


def _cells(record: Record) -> list[str]:
    """The run's row: figures where there are any, and what went wrong where something did."""
    quality, speed, memory = record.quality, record.speed, record.memory
    epochs = record.search.epochs if record.search else None
    accuracy = f"{quality.test.accuracy:.1%}" if quality else "–"
    trouble = "; ".join(record.notes) if record.error is None else f"{record.status}: {record.error.message}"
    return [
        f"validation {epochs[-1].validation_accuracy:.1%}" if epochs else accuracy,
        f"{quality.test.macro_f1:.1%}" if quality else "–",
        f"{speed.train_tokens_per_s:,.0f}" if speed and speed.train_tokens_per_s else "–",
        f"{speed.eval_tokens_per_s:,.0f}" if speed and speed.eval_tokens_per_s else "–",
        f"{memory.peak_bytes / _MIB:,.0f}" if memory else "–",
        f"{record.wall_s:.1f}",
        trouble,
    ]


def _figures(record: Record) -> list[str]:
    accuracy, macro_f1, _, _, _, wall, trouble = _cells(record)
    if record.status != "ok":
        return [trouble, f"{wall} s"]
    missing = [trouble] if trouble else []
    costs = _costs(record)
    if record.search is not None:
        return [accuracy, *costs, f"{wall} s"]
    return [f"accuracy {accuracy}", f"macro-F1 {macro_f1}", *costs, f"{wall} s", *missing]


def _costs(record: Record) -> list[str]:
    _, _, train, test, peak, _, _ = _cells(record)
    trained = [] if train == "–" else [f"train {train} tok/s"]
    tested = [] if test == "–" else [f"test {test} tok/s"]
    return [*trained, *tested, f"{peak} MiB"]


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal, while it lasts, how far something is: what is given back is told how many of how many."""
    console = _console()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def say(line: str) -> None:
    """Print a line."""
    _console().print(Text(clean(line, 1000)), soft_wrap=True)


def busy(what: str) -> AbstractContextManager[object]:
    """Show within what is being done: on a terminal as long as it lasts, else as a line."""
    console, said = _console(), Text(clean(what))
    if console.is_terminal:
        return console.status(said)
    console.print(said, soft_wrap=True)
    return nullcontext()


def show(table: tables.Table) -> None:
    """Print a table."""
    console = _console()
    console.print(to_rich(table, console.width))


def warn(title: str, text: str) -> None:
    """Show on the error stream what nobody may miss."""
    Console(stderr=True).print(Panel(Text(clean_lines(text)), title=title, border_style="yellow", expand=False))


def grid(variants: Sequence[Variant], seeds: Sequence[int], tasks: Sequence[str] = ("",)) -> None:
    """Print what a study would run, on each of several tasks."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("method", "hyperparameters", "seeds"):
        table.add_column(name)
    for variant in variants:
        hyperparameters = ", ".join(f"{key}={value}" for key, value in variant.hyperparameters.items())
        table.add_row(variant.method, Text(clean(hyperparameters)), ", ".join(map(str, seeds)))
    console = _console()
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
    console = _console()
    for heading, table in comparison(records):
        console.print()
        console.print(Text(clean(heading), style="bold"))
        console.print(to_rich(table, console.width))
    good = sum(record.status == "ok" for record in records)
    console.print(f"{good} of {len(records)} runs ok", style="green" if good == len(records) else "red")
    console.print(Text(f"Records in {clean(str(folder))}; the whole report: python report.py {clean(str(folder))}"))


def catalogue(methods: Sequence[Mapping[str, Any]]) -> None:
    """Print by family what each described method trains, its defaults and its paper, and then what can't take part."""
    console = _console()
    able = [method for method in methods if "family" in method]
    for family in sorted({method["family"] for method in able}):
        console.print(Text(family, style="bold underline"))
        for method in able:
            if method["family"] == family:
                console.print(Text(f"{method['name']}", style="bold"), _described(method))
        console.print()
    others = [method for method in methods if "family" not in method]
    if others:
        console.print(Text("can't run", style="bold underline"))
    for method in others:
        why = clean(method.get("error") or method["unable"], 1000)
        console.print(Text.assemble((method["name"], "bold"), "  ", (why, "red" if "error" in method else "")))


def _range(field: str, found: Mapping[str, Any]) -> str:
    why = f" ({found['why']})" if found["why"] else ""
    return f"{field} {found['low']:g}..{found['high']:g}{':log' if found['log'] else ''}{why}"


def _described(method: Mapping[str, Any]) -> Table:
    """Lay out one method; hyperparameters that are off or left to peft go without saying."""
    shown = {key: value for key, value in method["defaults"].items() if value not in (None, False)}
    bounded = [f"{key} as the layers allow, up to {most}" for key, most in method["at_most"].items()]
    defaults = ", ".join([*(f"{key}={value}" for key, value in shown.items()), *bounded])
    swept = [f"; sweeps {key} over {', '.join(map(str, values))}" for key, values in method["sweep"].items()]
    lines = Table.grid(padding=(0, 2))
    for title, text in (
        ("trains", method["trains"]),
        ("defaults", defaults + "".join(swept)),
        ("searched", "; ".join(_range(field, found) for field, found in method["space"].items())),
        ("learning rate", method["learning_rate_source"]),
        ("other defaults", method["defaults_source"]),
        ("paper", method["paper"]),
    ):
        if text:
            lines.add_row(Text(f"  {title}", style="dim"), Text(clean(text, 1000)))
    return lines
