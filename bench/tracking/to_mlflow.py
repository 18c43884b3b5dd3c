"""MLflow, wherever MLFLOW_TRACKING_URI says, else where MLflow itself does."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.tracking.reports import Run, Value

_STATUS = {"ok": "FINISHED", "interrupted": "KILLED"}
_LONGEST = 500
_AT_ONCE = 100
"""So many parameters a server takes in one request."""


class Mlflow:
    """The experiment that MLFLOW_EXPERIMENT_NAME names, else that of the store's name."""

    def __init__(self, project: str) -> None:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or project
        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(name)
        self._experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        self._ids: dict[str, str] = {}
        self.place = f"experiment {name}"

    def begin(self, run: Run) -> None:
        """Create the run, with its parameters."""
        tags = {"uid": str(run.parameters["uid"]), "group": run.group, "kind": "trial" if run.trial else "run"}
        created = self._client.create_run(self._experiment, run_name=run.name, tags=tags)
        self._ids[run.id] = created.info.run_id
        self._log_parameters(run, run.parameters)

    def epoch(self, run: Run, number: int, figures: Mapping[str, float]) -> None:
        """Log the figures, with the epoch as their step."""
        self._client.log_batch(self._ids[run.id], metrics=_metrics(figures, number))

    def end(self, run: Run, status: str, figures: Mapping[str, float], facts: Mapping[str, Value]) -> None:
        """Log the figures, what is told besides, and how the run ended; figures that were logged are replaced."""
        self._client.log_batch(self._ids[run.id], metrics=_metrics(figures, 0))
        self._log_parameters(run, facts)
        self._client.set_terminated(self._ids[run.id], _STATUS.get(status, "FAILED"))

    def _log_parameters(self, run: Run, values: Mapping[str, Value]) -> None:
        """Log what can't be changed later; where it was logged already, it is the same."""
        parameters = [Param(name, str(value)[:_LONGEST]) for name, value in values.items()]
        for begin in range(0, len(parameters), _AT_ONCE):
            self._client.log_batch(self._ids[run.id], params=parameters[begin : begin + _AT_ONCE])


def _metrics(figures: Mapping[str, float], step: int) -> list[Metric]:
    now = time.time_ns() // 10**6
    return [Metric(name, value, now, step) for name, value in figures.items()]
