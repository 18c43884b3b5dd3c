"""SIGKILL at random moments to a Ray cluster's nodes, and to the processes there that attend to runs."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import ray_cluster
from workshop import SEEDS

if TYPE_CHECKING:
    import random

    from ray_cluster import Nodes
    from workshop import Tally, Workshop

KILLS_A_STUDY = 4


def kill_nodes(work: Workshop, tally: Tally) -> None:
    """Kill one of two nodes, for which another joins, or a process that attends to a run; the study goes on.

    Each study has a cluster of its own. A run that was lost three times is recorded as failed, and done when the study
    is started again.
    """
    draw, longest = work.draw("kill_nodes"), SEEDS * work.run_s / 2
    threads = next(iter(work.good.values())).training.threads
    told = {"PYTHONPATH": str(work.folder / "site"), "NOTES": str(work.folder / "notes")}
    while tally.tried < tally.times:
        with work.store() as store, ray_cluster.cluster(threads, **told) as nodes:
            options = [*nodes.options, "--threads", str(threads)]
            study = work.start(store, SEEDS, *options)
            _hunt(study, nodes, draw, longest, tally)
            if study.wait() not in (0, 1):
                tally.lose([f"a study left with {study.returncode}: {(store.parent / 'said').read_text()[-2000:]}"])
            again = work.start(store, SEEDS, *options)
            tally.lose([f"then it left with {again.returncode}"] if again.wait() else work.wrong(store, SEEDS))


def _hunt(study: subprocess.Popen[bytes], nodes: Nodes, draw: random.Random, longest: float, tally: Tally) -> None:
    """Kill one after the other, until so many are booked or the study is over."""
    for _ in range(min(KILLS_A_STUDY, tally.times - tally.tried)):
        try:
            study.wait(draw.uniform(0, longest))
            return
        except subprocess.TimeoutExpired:
            running = nodes.running()
        if draw.random() < 0.5:
            nodes.kill()
            nodes.add()
            tally.count()
        elif running:
            with suppress(psutil.NoSuchProcess):
                draw.choice(running).kill()
                tally.count()
