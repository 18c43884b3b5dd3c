"""Weights & Biases, with its own settings: WANDB_MODE=offline keeps what is told on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import wandb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.tracking.reports import Run, Value

_LONGEST = 128
"""So many characters a run's name may have there."""


class Wandb:
    """The project that WANDB_PROJECT names, else that of the store's name."""

    def __init__(self, project: str) -> None:
        self._project = os.environ.get("WANDB_PROJECT") or project
        self._runs: dict[str, Any] = {}
        self._settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            x_disable_meta=True,  # the machine's and the user's names, and the command
            x_disable_stats=True,  # it would measure the machine beside runs that are timed
            x_save_requirements=False,
        )
        self.place = f"project {self._project}"

    def begin(self, run: Run) -> None:
        """Create the run, or open it again, with its parameters; its epochs are what its figures are drawn over."""
        opened = wandb.init(
            project=self._project,
            id=run.id,
            name=run.name[:_LONGEST],
            group=run.group[:_LONGEST],
            job_type="trial" if run.trial else "run",
            config=dict(run.parameters),
            resume="allow",
            reinit="create_new",  # several runs may be under way
            settings=self._settings,
        )
        opened.define_metric("epoch")
        opened.define_metric("*", step_metric="epoch")
        self._runs[run.id] = opened

    def epoch(self, run: Run, number: int, figures: Mapping[str, float]) -> None:
        """Log the figures with their epoch."""
        self._runs[run.id].log({"epoch": number, **figures})

    def end(self, run: Run, status: str, figures: Mapping[str, float], facts: Mapping[str, Value]) -> None:
        """Put figures into the summary and what is told besides into the configuration, and finish the run."""
        if run.id not in self._runs:
            self.begin(run)
        opened = self._runs.pop(run.id)
        opened.summary.update({**figures, "status": status})
        opened.config.update(dict(facts), allow_val_change=True)
        opened.finish(exit_code=0 if status == "ok" else 1)
