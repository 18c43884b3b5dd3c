"""What of a grid isn't in the store is run, and its records are there."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from bench import console, resume
from bench.execution import child, results
from bench.machine import facts
from bench.store.claims import Owner
from bench.store.files import Store, is_uid
from bench.study import scratch, timing
from bench.study.preparing import prepare_all
from bench.study.shared import shared
from bench.tracking import Trackers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.spec import RunSpec
    from bench.store.record import Record
    from bench.study.preparing import Prepared
    from bench.study.request import Request


def run(*requests: Request) -> tuple[Store, list[Record]]:
    """Run what was asked for and isn't there; return the grid's records, in its order, and the store that holds them.

    Several requests are the tasks of one study: they differ in texts and backbone alone. All are prepared before the
    first run. Raises UsageError for what is wrong with what was asked for, and where the store can't be written, and
    OSError where the system refuses something else.
    """
    for request in requests:
        request.variants()
    with Trackers(requests[0].report_to) as trackers:
        if not _holds_records(requests[0]):
            child.warm_up()
        tasks = prepare_all(requests)
        specs = [spec for task in tasks for spec in task.study.runs()]
        return tasks[0].store, complete(tasks, specs, requests[0], trackers)


def complete(tasks: Sequence[Prepared], specs: Sequence[RunSpec], request: Request, trackers: Trackers) -> list[Record]:
    """Run what of the tasks' runs isn't in the store; return their records, in order. All are trials, or none is one.

    Raises UsageError where the store can't be written, and OSError where the system refuses something else.
    """
    store = tasks[0].store
    contents = store.read()
    plan = resume.plan(specs, contents.records, request.rerun, request.save_adapters)
    if said := plan.sentence():
        console.say(said)
    damaged = [path for path, _ in contents.unreadable]
    try:
        needed = plan.todo or damaged or timing.untimed(plan, request)
        found = _run(tasks, plan, damaged, request, trackers) if needed else {}
    except OSError as error:
        if not _within(error, store.folder):
            raise
        raise scratch.unwritable(store.folder, error) from error
    records = {**plan.known, **found}
    return [records[spec.uid] for spec in plan.runs if spec.uid in records]


def _within(error: OSError, folder: Path) -> bool:
    """Tell whether a file of the folder's was refused, for a reason of its own."""
    if not isinstance(error.filename, str) or error.errno in (errno.EMFILE, errno.ENFILE):
        return False
    return Path(error.filename).absolute().is_relative_to(folder.absolute())


def _holds_records(request: Request) -> bool:
    """Tell whether there may be nothing to run; which store it is depends on sources that aren't known yet."""
    folder, pattern = (request.results, "*.json") if request.results else (Path("results"), "*/*.json")
    try:
        return any(folder.glob(pattern))
    except OSError:  # which is said where the store is made
        return False


def _run(
    tasks: Sequence[Prepared], plan: resume.Plan, damaged: Sequence[Path], request: Request, trackers: Trackers
) -> dict[str, Record]:
    """Set aside what is damaged, run what is to be run, and return its records, by uid."""
    store = tasks[0].store
    with Owner(store.folder) as owner:
        _set_aside(store, owner, damaged)
        untimed = timing.untimed(plan, request)
        if not plan.todo and not untimed:
            return {}
        child.warm_up()
        ready = []
        for number, task in enumerate(tasks, start=1):
            todo = task.own(plan.todo)
            if todo or task.own(untimed):
                label = task.name if len(tasks) > 1 else ""
                ready.append(scratch.lay_out(task, label, todo, owner.folder / f"task-{number}", request))
        jobs = [job for one in ready for job in one.jobs]
        of_task = {one.scratch.name: shared(one, request) for one in ready}
        view = console.view(len(jobs), timing.to_time(plan, request))
        events = trackers.beside(view, store.folder)
        found = results.Results(
            *(of_task, facts.command_line(), Store(store.folder, aside=owner.folder), owner, events, plan.known),
            adapters=request.save_adapters,
        )
        try:
            with view, request.engine.open(found, request.timeout_s) as doing:
                if jobs:
                    doing.run(jobs)
                specs = timing.first_seeds(plan.runs, {**plan.known, **found.records}) if request.timing else []
                if specs:
                    doing.time_alone(scratch.timing_jobs(ready, specs, request))
                return found.records
        except KeyboardInterrupt:
            console.say(f"Stopped after {view.done} of {len(jobs)} runs. The same command goes on with the rest.")
            raise


def _set_aside(store: Store, owner: Owner, damaged: Sequence[Path]) -> None:
    """Put what isn't a good record out of the way, unless another study is just replacing it; say what and where."""
    for path in damaged:
        contested = is_uid(path.stem)
        if contested and not owner.claim(path.stem):
            continue
        place = store.set_aside(path)
        if contested:
            owner.release(path.stem)
        if place is not None:
            console.say(f"{path.name} can't be read as a record and was set aside, into {place}.")
