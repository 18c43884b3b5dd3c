"""A study under way: live on a terminal, plain lines where the output is piped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
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

from bench.console.lines import NO_CORES, terminal
from bench.console.remaining import Remaining
from bench.reporting.text import clean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType

    from rich.console import Console

    from bench import job
    from bench.store.record import Record

_MIB = 1024**2


def view(runs: int, to_time: Collection[str] = ()) -> View:
    """Return what shows a study of `runs` runs: live on a terminal, else plain lines.

    The variants `to_time`, by uid, are run again by themselves, unless one of their runs is alone anyway.
    """
    console = terminal()
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
        """Show that the run is under way, perhaps for a second time, where one pass with others went wrong."""
        self._gone(run)
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
    return [*trained, *tested, *([] if peak == "–" else [f"{peak} MiB"])]
