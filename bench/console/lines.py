"""Lines, warnings and tables; what is being done, while it lasts."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bench.reporting.terminal import to_rich
from bench.reporting.text import clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.reporting import model as tables

_PIPED_WIDTH = 160
NO_CORES = "waiting for cores: other studies of yours have them"


def terminal() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough for whole tables."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal, while it lasts, how far something is: what is given back is told how many of how many."""
    console = terminal()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def say(line: str) -> None:
    """Print a line."""
    terminal().print(Text(clean(line, 1000)), soft_wrap=True)


def busy(what: str) -> AbstractContextManager[object]:
    """Show within what is being done: on a terminal as long as it lasts, else as a line."""
    console, said = terminal(), Text(clean(what))
    if console.is_terminal:
        return console.status(said)
    console.print(said, soft_wrap=True)
    return nullcontext()


def show(table: tables.Table) -> None:
    """Print a table."""
    console = terminal()
    console.print(to_rich(table, console.width))


def warn(title: str, text: str) -> None:
    """Show on the error stream what nobody may miss."""
    Console(stderr=True).print(Panel(Text(clean_lines(text)), title=title, border_style="yellow", expand=False))
