"""A tracker's process: it is told of runs on its input, a JSON document a line, and answers each on its output.

It ends when its input does; runs that are under way then were interrupted.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.tracking.reports import Run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from bench.tracking.reports import Value

INTERRUPTED = "interrupted"
"""The status of a run that has no record, as the study was ended."""
_NICE = 10
"""Runs come first; but the lowest priority would keep it waiting for longer than it may, where they hold all cores."""
_LAST_S = 50.0
"""So long the process has when its input has ended; then nobody may be there any more to end it."""


class Tracker(Protocol):
    """A tracker's own interface, as far as it is needed. Whatever it raises ends its use.

    `place` tells a person where to look.
    """

    place: str

    def begin(self, run: Run) -> None:
        """Take in a run that begins."""

    def epoch(self, run: Run, number: int, figures: Mapping[str, float]) -> None:
        """Take in an epoch of a run that has begun."""

    def end(self, run: Run, status: str, figures: Mapping[str, float], facts: Mapping[str, Value]) -> None:
        """Take in how a run ended that has begun, and what it found out; later perhaps figures that have changed."""


def tracker(name: str, store: Path) -> Tracker:
    """Return the tracker of that name, which has its own settings; runs are under the name of the store."""
    project = store.resolve().name
    if name == "trackio":
        from bench.tracking.to_trackio import Trackio

        return Trackio(project)
    if name == "wandb":
        from bench.tracking.to_wandb import Wandb

        return Wandb(project)
    if name == "mlflow":
        from bench.tracking.to_mlflow import Mlflow

        return Mlflow(project)
    from bench.tracking.to_tensorboard import TensorBoard

    return TensorBoard(store / "tensorboard")


def main() -> None:
    """Be the process of the tracker that the arguments name, for the store that they name."""
    os.nice(_NICE)
    told, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with Path(os.devnull).open("r+") as nowhere:  # what libraries print is no answer, and they ask nobody
        os.dup2(nowhere.fileno(), 0)
        os.dup2(nowhere.fileno(), 1)
    messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(told, messages), daemon=True).start()
    try:
        serve(tracker(sys.argv[1], Path(sys.argv[2])), messages, answers)
    except Exception as error:
        _answer(answers, error=f"{type(error).__name__}: {' '.join(str(error).split())}")


def serve(to: Tracker, messages: queue.SimpleQueue[dict[str, Any] | None], answers: TextIO) -> None:
    """Do what messages say, and answer each, until there are no more. Raises whatever the tracker does."""
    _answer(answers, said=to.place)
    under_way: dict[str, Run] = {}
    while (message := messages.get()) is not None:
        run = Run(**message["run"])
        if message["verb"] == "begin":
            under_way[run.id] = run
            to.begin(run)
        elif message["verb"] == "epoch":
            to.epoch(run, message["number"], message["figures"])
        else:
            under_way.pop(run.id, None)
            to.end(run, message["status"], message["figures"], message["facts"])
        _answer(answers, said="")
    for run in under_way.values():
        to.end(run, INTERRUPTED, {}, {})


def _listen(told: TextIO, messages: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in told:
        messages.put(json.loads(line))
    messages.put(None)
    last = threading.Timer(_LAST_S, os.killpg, (0, signal.SIGKILL))
    last.daemon = True
    last.start()


def _answer(answers: TextIO, **answer: str) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
