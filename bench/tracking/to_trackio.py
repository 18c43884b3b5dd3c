"""Trackio, with its own settings: TRACKIO_DIR, or the Space or the server that it is told by the environment."""

from __future__ import annotations

import contextvars
import os
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import trackio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.tracking.reports import Run, Value


class Trackio:
    """The project that TRACKIO_PROJECT names, else that of the store's name."""

    def __init__(self, project: str) -> None:
        self._project = os.environ.get("TRACKIO_PROJECT") or project
        self._runs: dict[str, Any] = {}
        self._warned: list[str] = []
        # it raises nothing where it can't keep what it is told, but warns, perhaps from a thread of its own
        warnings.showwarning = lambda message, *_, **__: self._warned.append(str(message))
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message=".*trackio", module=r"trackio\b.*")
        self.place = f"project {self._project}"

    def begin(self, run: Run) -> None:
        """Create the run, or open it again, with its parameters."""
        opened = partial(
            trackio.init,
            project=self._project,
            name=f"{run.name} {run.id}",  # by which it is found again
            group=run.group,
            config={**run.parameters, "kind": "trial" if run.trial else "run"},
            resume="allow",
            embed=False,
            auto_log_gpu=False,  # it would measure the machine beside runs that are timed
            auto_log_cpu=False,
        )
        # several runs may be under way, and it would finish the one that is the context's
        self._runs[run.id] = contextvars.copy_context().run(opened)
        self._check()

    def epoch(self, run: Run, number: int, figures: Mapping[str, float]) -> None:
        """Log the figures, with the epoch as their step."""
        self._runs[run.id].log(dict(figures), step=number)
        self._check()

    def end(self, run: Run, status: str, figures: Mapping[str, float], facts: Mapping[str, Value]) -> None:
        """Log the figures and what is told besides, and finish the run."""
        if run.id not in self._runs:
            self.begin(run)
        opened = self._runs.pop(run.id)
        opened.log({**figures, **facts, "status": status})
        opened.finish()
        self._check()

    def _check(self) -> None:
        if self._warned:
            raise RuntimeError(self._warned[0])
