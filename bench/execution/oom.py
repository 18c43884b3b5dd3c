"""What the kernel tells of the processes that it ended because memory ran out."""

from __future__ import annotations

from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def kills() -> int:
    """Return how many processes were ended so far: of this one's memory cgroup where it counts, else of the machine."""
    for file in [*_of_this_cgroup(), Path("/proc/vmstat")]:
        try:
            counts = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if "oom_kill" in counts:
            return int(counts["oom_kill"])
    return 0


def _of_this_cgroup() -> list[Path]:
    """Return where this process's memory cgroup may count, as the machine and as a container sees it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files += [_CGROUPS / path.lstrip("/") / "memory.events", _CGROUPS / "memory.events"]
        elif "memory" in controllers.split(","):
            memory = _CGROUPS / "memory"
            files += [memory / path.lstrip("/") / "memory.oom_control", memory / "memory.oom_control"]
    return files
