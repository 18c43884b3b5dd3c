"""Limits of control groups, as the kernel and container engines lay them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.execution import oom
from bench.machine import cgroups

if TYPE_CHECKING:
    from pathlib import Path

MAX = "max 100000\n"


def _v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the control groups' files."""
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroups, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def _lay_out(place: Path, membership: str, files: dict[str, str]) -> None:
    (place / "membership").write_text(membership)
    for name, content in files.items():
        file = place / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


@pytest.mark.parametrize(
    ("membership", "files", "processors"),
    [
        ("0::/job\n", {"job/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/job/step\n", {"job/cpu.max": "250000 100000\n", "job/step/cpu.max": MAX}, 2.5),
        ("0::/job/step\n", {"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "300000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "150000 50000\n"}, 3.0),
        ("0::/job\n", {"job/cpu.max": MAX, "cgroup.procs": ""}, None),
        ("3:cpu,cpuacct:/job\n0::/\n", _v1("cpu/job", 50_000), 0.5),
        ("3:cpu,cpuacct:/job\n", _v1("cpu/job", -1) | _v1("cpu", -1), None),
        ("3:cpu,cpuacct:/docker/0f3a\n4:memory:/docker/0f3a\n", _v1("cpu", 200_000), 2.0),
        ("3:cpuset:/job\n", _v1("cpu/job", 50_000), None),
        ("0::/job\n", {"job/cpu.max": "nonsense\n"}, None),
    ],
    ids=[
        *("half", "the parent's", "the least", "a container", "none", "version 1", "none of version 1"),
        *("a container of version 1", "another controller", "nonsense"),
    ],
)
def test_the_least_quota_of_a_group_and_its_parents_counts(
    mounted: Path, membership: str, files: dict[str, str], processors: float | None
) -> None:
    _lay_out(mounted, membership, files)
    assert cgroups.processors() == processors


@pytest.mark.usefixtures("mounted")
def test_where_there_are_no_control_groups_there_is_no_limit() -> None:
    assert cgroups.processors() is None


@pytest.mark.parametrize(
    ("membership", "name"),
    [("0::/job\n", "job/memory.events"), ("9:memory:/job\n0::/\n", "memory/job/memory.oom_control")],
)
def test_kills_are_counted_in_the_groups_own_file(mounted: Path, membership: str, name: str) -> None:
    _lay_out(mounted, membership, {name: "oom 9\noom_kill 7\n"})
    assert oom.kills() == 7
