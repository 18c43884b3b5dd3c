"""A worker on another node: the local engine, on runs that it finds in a folder and shares with other workers.

The study's process leaves one Assignment after the other there, each as a file. Nobody answers: what was done is in the
store, and who does it in its claims. A worker leaves when it was dismissed, or when the folder is gone: then the study
is over, and whoever finds that it was killed clears its folder.
"""

from __future__ import annotations

import pickle
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.execution import child, interrupts
from bench.execution.execute import Local
from bench.execution.results import Results
from bench.store.claims import Owner
from bench.store.files import Store, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.execution.results import Shared
    from bench.execution.slots import Placing
    from bench.job import Job, Progress
    from bench.store.record import Record

_POLL_S = 0.2
_DISMISSED = "dismissed"


@dataclass(frozen=True)
class Assignment:
    """Runs for all workers to share: to be done, or to be timed `alone`. The rest is as the engine was given it."""

    jobs: tuple[Job, ...]
    alone: bool
    store: Path
    shared: Mapping[str, Shared]
    command: str
    known: Mapping[str, Record]
    adapters: Path | None
    placing: Placing
    timeout_s: float | None


def assign(folder: Path, number: int, assignment: Assignment) -> None:
    """Leave an assignment for workers that are there and for those to come; numbers count from 0."""
    folder.mkdir(exist_ok=True)
    write_atomically(_file(folder, number), pickle.dumps(assignment))


def dismiss(folder: Path) -> None:
    """Have workers leave after what was assigned so far."""
    (folder / _DISMISSED).touch()


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.assignment"


def _assignments(folder: Path) -> Iterator[Assignment]:
    """Wait for each assignment in its turn, until there are no more."""
    number = 0
    while folder.is_dir():
        dismissed = (folder / _DISMISSED).exists()  # before: what is assigned later than it looks counts no more
        try:
            assignment: Assignment = pickle.loads(_file(folder, number).read_bytes())
        except FileNotFoundError:
            if dismissed:
                return
            time.sleep(_POLL_S)
            continue
        yield assignment
        number += 1


class _Nobody:
    """Nobody watches a worker: the study's process sees in the store what it does."""

    def started(self, job: Job) -> None:
        pass

    def progressed(self, job: Job, progress: Progress) -> None:
        pass

    def ended(self, job: Job, record: Record) -> None:
        pass

    def timing(self, runs: int) -> None:
        pass

    def timed(self, job: Job, record: Record | None) -> None:
        pass

    def said(self, line: str) -> None:
        pass

    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None:
        pass


def work(folder: Path) -> None:
    """Do what is assigned in the folder. Raises UsageError where this node can't, or a record can't be written."""
    for number, assignment in enumerate(_assignments(folder)):
        with Owner(assignment.store) as owner:
            # its own: nodes differ in what runs keep for each other there, and the study's goes with the study
            scratch = owner.folder / str(number)
            for folder_of_a_task in {job.scratch for job in assignment.jobs}:
                shutil.copytree(folder_of_a_task, scratch / folder_of_a_task.name)
            store = Store(assignment.store, aside=owner.folder)
            results = Results(
                *(assignment.shared, assignment.command, store, owner, _Nobody(), assignment.known),
                adapters=assignment.adapters,
            )
            jobs = [job.within(scratch / job.scratch.name) for job in assignment.jobs]
            with Local(assignment.placing).open(results, assignment.timeout_s) as engine:
                if assignment.alone:
                    engine.time_alone(jobs)
                else:
                    engine.run(jobs)


def main() -> None:
    """Be the worker's process; leave with 2 where something is wrong, and with 130 when it is told to end."""
    for number in (signal.SIGTERM, signal.SIGUSR2):  # Slurm sends them to runs as well, which it is for us to end
        signal.signal(number, signal.SIG_IGN)
    child.warm_up()
    try:
        with interrupts.leaving():
            work(Path(sys.argv[1]))
    except UsageError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(interrupts.EXIT_CODE)


if __name__ == "__main__":
    main()
