"""A real Ray cluster on this machine, whose nodes have folders of their own as machines have, and can be killed."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNING = "ray::attend"
"""What Ray calls the process of a task that attends to a run."""


class Nodes(NamedTuple):
    """Three nodes, two with so many CPUs and one, the head, that does no runs; and each one's temporary files."""

    cluster: Any
    cpus: int
    work: Path
    folders: dict[Any, Path]

    @property
    def options(self) -> list[str]:
        """What a study is told to run here."""
        return ["--engine", "ray", "--engine-set", f"address={self.cluster.address}"]

    def kill(self) -> str:
        """Kill a node, with all that runs there; return Ray's name for it. What it kept is out of sight."""
        node = next(iter(self.cluster.worker_nodes))
        self.cluster.remove_node(node, allow_graceful=False)
        del self.folders[node]
        return str(node.node_id)

    def add(self, *, head: bool = False) -> None:
        """Add a node."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        own = {"TMPDIR": str(folder), "BENCH_CORES_DIR": str(folder)}
        cpus = 0 if head else self.cpus
        node = self.cluster.add_node(num_cpus=cpus, include_dashboard=False, temp_dir=str(folder), env_vars=own)
        self.folders[node] = folder

    def running(self) -> list[psutil.Process]:
        """Return the processes of the tasks that attend to runs now."""
        mine = psutil.Process(os.getpid()).children(recursive=True)
        return [process for process in mine if process.is_running() and process.name().startswith(RUNNING)]


@contextmanager
def cluster(cpus: int = 1, **variables: str) -> Iterator[Nodes]:
    """Start it; its processes have these variables in their environment. Left, nothing of it stays."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-") as work:
        (Path(work) / "ray").mkdir()  # where Ray notes the cluster's address; by itself it doesn't make the folder
        for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": work, **variables}.items():
            patch.setenv(name, value)
        nodes = Nodes(Cluster(), cpus, Path(work), {})
        try:
            nodes.add(head=True)
            for _ in range(2):
                nodes.add()
            yield nodes
        finally:
            ray.shutdown()
            nodes.cluster.shutdown()
