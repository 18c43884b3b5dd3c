"""The control groups that this process is in: Linux' limits to what a container, a batch job or a service may use."""

from __future__ import annotations

from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def folders(controller: str) -> list[Path]:
    """Return where the group's and its parents' files of a controller may lie, the group's own first.

    Of version 1 a controller has a tree of its own, of version 2 all share one. In a container the group may be known
    by its path on the machine alone, which isn't to be seen there: the tree's root is the container's group then.
    """
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = MOUNT / controller if controllers else MOUNT
        group = root / path.lstrip("/")
        found += [group, *(parent for parent in group.parents if parent.is_relative_to(root))]
    return found


def processors() -> float | None:
    """Return how many processors' time this process may use at the most, None where there is no such limit."""
    quotas = []
    for folder in folders("cpu"):
        try:
            quota, period = _quota(folder)
            if quota != "max" and int(quota) > 0:
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return min(quotas, default=None)


def _quota(folder: Path) -> list[str]:
    """Return the microseconds that a group may compute in each period, and the period."""
    if (folder / "cpu.max").exists():
        return (folder / "cpu.max").read_text(encoding="utf-8").split()
    return [(folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")]
