"""A Ray cluster to do runs on: which it is, and whether it can do them. Ray is imported only when it is asked for."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

import bench
import methods
from bench.errors import UsageError
from bench.machine import cores, facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.execution.ray_engine import Ray
    from bench.execution.results import Results
    from bench.execution.slots import Placing
    from bench.machine.facts import Device, Dtype

_ANSWER_S, _STATUS_S = 5.0, 30.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns that this will be so one day
}


class Options(BaseModel):
    """Which cluster: HOST:PORT. Without it RAY_ADDRESS, else the one that this machine is in, else a new one on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    address: str | None = None


@dataclass(frozen=True)
class Settings:
    """A cluster, and how runs are placed on it: a task each, wherever Ray finds room."""

    placing: Placing
    options: Options

    def hardware(self, device: Device | Literal["auto"], dtype: Dtype | Literal["auto"]) -> tuple[Device, Dtype]:
        """Return the device and the precision of the runs; where there is no cluster, one is started here.

        Raises UsageError where Ray isn't installed, the cluster can't be reached, or no node of it can do a run.
        """
        if self.placing.jobs != 1:
            raise UsageError(
                "--jobs is for one machine: with --engine ray there are as many runs at once as the cluster has CPUs "
                "and GPUs for; leave it out, and say with --threads how many CPUs each run takes"
            )
        _connect(self.options.address)
        from bench.execution.ray_engine import check, room, wanted

        found = device if device != "auto" else "cuda" if room(wanted(self.placing, "cuda")) else "cpu"
        if found == "cpu" and self.placing.per_gpu > 1:
            raise UsageError("--runs-per-gpu is for runs on CUDA, and these are on the CPU; leave it out")
        check(wanted(self.placing, found))
        if found == "cuda" and dtype == "auto":
            raise UsageError(
                "--engine ray: whether the nodes' GPUs multiply bf16 can't be seen from here; add --dtype bf16 (A100 "
                "and newer) or --dtype fp32"
            )
        return found, facts.resolve_dtype(dtype, found)

    @contextmanager
    def open(self, results: Results, timeout_s: float | None) -> Iterator[Ray]:
        """Return the engine; left, its tasks are cancelled, and a cluster that was started here is ended."""
        _connect(self.options.address)
        import ray

        from bench.execution.ray_engine import Ray

        engine = Ray(results, self.placing, timeout_s)
        try:
            yield engine
        finally:
            engine.leave()
            ray.shutdown()


def _connect(address: str | None) -> None:
    """Connect to the cluster, once, or start one here. Raises UsageError where it can't be reached."""
    os.environ.update(_QUIET)
    try:
        import ray
        from ray._private import worker
    except ImportError:
        raise UsageError("--engine ray needs Ray, which isn't installed: pip install 'peft-bench[ray]'") from None
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None and address not in ("auto", "local"):
        _reach(address)
    worker._worker_logs_enabled = False  # else it prints between the study's lines what becomes of its processes
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with _code() as folder:
            _init(address, log_to_driver=False, logging_level=logging.CRITICAL, runtime_env={"working_dir": folder})
    except (RuntimeError, ConnectionError, ValueError, SystemExit, ray.exceptions.RayError) as error:
        raise UsageError(f"--engine ray: {address or 'a cluster here'}: {' '.join(str(error).split())}") from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray puts its own there


def _init(address: str | None, **options: Any) -> None:  # noqa: ANN401
    import ray

    if address != "local":
        try:
            ray.init(address or "auto", **options)
            return
        except ConnectionError:
            if address is not None:
                raise
    ray.init("local", num_cpus=len(cores.usable()), include_dashboard=False, **options)


def _reach(address: str) -> None:
    """Raise UsageError where no Ray answers; left to itself, Ray tries for minutes."""
    if "://" in address:
        raise UsageError(
            f"--engine ray: {address}: a study can't be run through Ray's client; run it on a machine of the cluster, "
            "with the address HOST:PORT that `ray status` tells there"
        )
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_STATUS_S)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        why = "nothing answers" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise UsageError(_unreachable(address, why)) from error
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["it said nothing"]
        raise UsageError(_unreachable(address, lines[-1]))


def _unreachable(address: str, why: str) -> str:
    return (
        f"--engine ray: no Ray cluster can be reached at {address}: {why}. `ray status` on its head node tells the "
        "address; `ray start --head` starts one"
    )


@contextmanager
def _code() -> Iterator[str]:
    """Lay out the code as it is here, for Ray to take to the nodes: they need what it imports, and no copy of it."""
    with tempfile.TemporaryDirectory(prefix="bench-code-") as folder:
        for package in (bench, methods):
            [source] = package.__path__
            ignored = shutil.ignore_patterns("__pycache__", "assets")
            shutil.copytree(source, Path(folder) / package.__name__, ignore=ignored)
        yield folder
