"""What the kernel tells of the processes that it ended because memory ran out."""

from __future__ import annotations

from pathlib import Path

from bench.machine import cgroups

_COUNTS = ("memory.events", "memory.oom_control")
"""What counts them in a control group of version 2 and of version 1."""
_told = 0


def ended_by_kernel(before: int) -> bool:
    """Tell whether a run that was killed, and began when there had been `before` kills, was ended for want of memory.

    Of several runs at once, each takes one of the kernel's count for itself: a kill explains no two ends.
    """
    global _told
    known = max(before, _told)
    if kills() <= known:
        return False
    _told = known + 1
    return True


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
