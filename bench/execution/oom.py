"""What the kernel tells of the processes that it ended because memory ran out."""

from __future__ import annotations

from pathlib import Path

from bench.machine import cgroups

_COUNTS = ("memory.events", "memory.oom_control")
"""What counts them in a control group of version 2 and of version 1."""


_explained = 0


def unexplained() -> int:
    """Return how many processes were ended so far, without those that `explain` was called for.

    Of several runs at once, each that was killed takes one of the kernel's count for itself.
    """
    return kills() - _explained


def explain() -> None:
    """Say that one of the kernel's count was a run of this study."""
    global _explained
    _explained += 1


def kills() -> int:
    """Return how many processes were ended so far: of this one's memory cgroup where it counts, else of the machine."""
    files = [folder / name for folder in cgroups.folders("memory") for name in _COUNTS]
    for file in [*files, Path("/proc/vmstat")]:
        try:
            counts = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if "oom_kill" in counts:
            return int(counts["oom_kill"])
    return 0
