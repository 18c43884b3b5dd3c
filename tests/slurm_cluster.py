"""A Slurm of one node on this machine: its own daemons, in a folder of its own, which end with it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil

from bench.execution import node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "setpriv")
CPUS = 8
"""Of which the node believes that it has them."""
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_PATIENCE_S = 60.0

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Say what is missing for a Slurm here; None where nothing is."""
    if os.geteuid() != 0:
        return "Slurm's daemons are started as root"
    gone = [name for name in (*DAEMONS, *COMMANDS) if shutil.which(name, path=_PATH) is None]
    return f"{', '.join(gone)}: not installed (Debian: slurm-wlm, munge)" if gone else None


def workers(store: Path) -> list[psutil.Process]:
    """Return the processes, on this machine, of workers that do runs for a study on the store."""
    folder = f"{store.absolute()}{os.sep}"
    found = []
    for process in psutil.process_iter(["cmdline"]):
        match process.info["cmdline"]:
            case [_, "-m", node.__name__, where] if where.startswith(folder):
                found.append(process)
    return found


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a Slurm in an empty folder; return the variables by which its commands find it."""
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(), cpus=CPUS))
    key = folder / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    variables = {"SLURM_CONF": str(configuration)}
    munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge"]
    munge += [f"--{what}-file={folder}/munge.{what}" for what in ("pid", "log", "seed")]
    with ExitStack() as daemons:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "node"]):
            daemons.enter_context(_daemon(command, folder, variables))
        _wait_until_idle(folder, variables)
        yield variables


@contextmanager
def _daemon(command: list[str], folder: Path, variables: dict[str, str]) -> Iterator[None]:
    environment = {**os.environ, "PATH": _PATH, **variables}
    ending = ["setpriv", "--pdeathsig", "TERM"]  # with this process, even where that is killed
    with (folder / f"{command[0]}.said").open("wb") as said:
        process = subprocess.Popen(
            [*ending, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_S / 4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_idle(folder: Path, variables: dict[str, str]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    asked = ["sinfo", "--noheader", "--format=%T"]
    while True:
        answer = subprocess.run(asked, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        if answer.stdout.strip() == "idle":
            return
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-1000:] for path in folder.glob("*.log"))
            raise RuntimeError(f"Slurm doesn't begin: {answer.stdout}{answer.stderr}\n{logs}")
        time.sleep(0.1)


def _free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]
