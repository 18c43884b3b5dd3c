"""What does a study's runs: this machine, or a cluster. Nothing outside this folder knows which it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bench.errors import UsageError
from bench.execution import execute, ray_cluster, slurm
from bench.execution.slots import Placing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bench.execution.results import Results
    from bench.job import Job
    from bench.machine.facts import Device, Dtype

Name = Literal["local", "slurm", "ray"]
DEFAULT_WORKERS = 4

Options = TypeVar("Options", bound=BaseModel)


class Engine(Protocol):
    """Does runs, keeps their results and tells of them. Interrupted, it leaves nothing under way."""

    def run(self, jobs: Sequence[Job]) -> None:
        """Return when each of these, one at least, has a record, whoever did it.

        Raises UsageError where that can't be had.
        """

    def time_alone(self, jobs: Sequence[Job]) -> None:
        """Do each of these again where nothing else is under way, and put its speed and memory into its record.

        They are runs that have a record, one at least, in a scratch folder that no other run has used. A run that can't
        be timed keeps its record.
        """


class Settings(Protocol):
    """An engine as a person asked for it: nothing is started, and nobody asked, before its hardware or itself is."""

    def hardware(self, device: Device | Literal["auto"], dtype: Dtype | Literal["auto"]) -> tuple[Device, Dtype]:
        """Return the device and the precision of the runs.

        Raises UsageError where they or the engine can't be had: it isn't installed, or it can't be reached.
        """

    def open(self, results: Results, timeout_s: float | None) -> AbstractContextManager[Engine]:
        """Return the engine; left, nothing of it stays. A run is ended after `timeout_s` seconds."""


def settings(
    name: Name = "local",
    placing: Placing | None = None,
    workers: int | None = None,
    pairs: Sequence[str] = (),
    file: Path | None = None,
) -> Settings:
    """Return what was asked for, in words of NAME=VALUE and in a YAML file, of which words count for more.

    Raises UsageError for what is wrong with it.
    """
    placing = placing or Placing()
    given = _given(pairs, file)
    if name == "local" and (given or workers is not None):
        others = " or ".join(f"--engine {other}" for other in get_args(Name) if other != name)
        raise UsageError(f"--workers, --engine-set and --engine-file are for other engines; add {others}")
    if name == "ray" and workers is not None:
        raise UsageError("--workers is for --engine slurm; with --engine ray each run is a task, so leave it out")
    if name == "slurm":
        return slurm.Settings(placing, workers or DEFAULT_WORKERS, _valid(slurm.Options, name, given))
    if name == "ray":
        return ray_cluster.Settings(placing, _valid(ray_cluster.Options, name, given))
    return execute.Local(placing)


def _given(pairs: Sequence[str], file: Path | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if file is not None:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"--engine-file {file}: can't be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"--engine-file {file}: not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict):
            raise UsageError(f"--engine-file {file}: expected lines such as `time: 60`")
        given = {str(name): value for name, value in found.items()}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"--engine-set {pair}: expected NAME=VALUE, e.g. time=60")
        given[name] = value
    return given


def _valid(options: type[Options], engine: Name, given: dict[str, Any]) -> Options:
    try:
        return options(**given)
    except ValidationError as error:
        known = ", ".join(options.model_fields)
        said = []
        for found in error.errors():
            name = ".".join(map(str, found["loc"]))
            why = f"no such setting; there are {known}" if found["type"] == "extra_forbidden" else found["msg"]
            said.append(f"--engine {engine}: {name}: {why}")
        raise UsageError("\n".join(said)) from error
