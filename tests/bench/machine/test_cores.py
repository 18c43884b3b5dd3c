"""Cores are dealt out: nobody gets one that another has, who waits is next, and what a killed study held is free."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from commands import environment

from bench.machine import cgroups, cores
from bench.machine.cores import Cores

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOLDS = """
import sys
from pathlib import Path
from bench.machine.cores import Cores
lease = Cores((0, 1), folder=Path(sys.argv[1])).take(2)
lease.begin()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_core_has_one_holder(tmp_path: Path) -> None:
    one, other = Cores((0, 1, 2), folder=tmp_path), Cores((1, 2, 3), folder=tmp_path)
    first, second = one.take(2), other.take(2)
    assert first is not None
    assert second is not None
    assert (first.cores, second.cores) == ((0, 1), (2, 3))
    assert one.take(1) is None
    first.release()
    third = one.take(5)  # as many as there are, once they are free
    assert third is None
    second.release()
    third = one.take(5)
    assert third is not None
    assert third.cores == (0, 1, 2)


def test_who_waits_comes_before_who_just_gave_back(tmp_path: Path) -> None:
    busy, waits = Cores((0, 1), folder=tmp_path), Cores((0, 1), folder=tmp_path)
    first, second = busy.take(1), busy.take(1)
    assert first is not None
    assert second is not None
    assert waits.take(2) is None
    first.release()
    assert busy.take(1) is None  # though a core is free
    second.release()
    lease = waits.take(2)
    assert lease is not None
    lease.release()
    assert busy.take(1) is not None


def test_who_waits_for_cores_holds_up_nobody_who_is_kept_to_others(tmp_path: Path) -> None:
    busy, waits, elsewhere = Cores((1,), folder=tmp_path), Cores((1, 2), folder=tmp_path), Cores((0,), folder=tmp_path)
    held = busy.take(1)
    assert held is not None
    assert waits.take(2) is None
    assert elsewhere.take(1) is not None
    assert Cores((0, 2), folder=tmp_path).take(1) is None  # 2 is next for who waits
    held.release()
    assert waits.take(2) is not None


def test_who_gives_up_holds_nobody_up(tmp_path: Path) -> None:
    busy, waits = Cores((0,), folder=tmp_path), Cores((0,), folder=tmp_path)
    lease = busy.take(1)
    assert lease is not None
    assert waits.take(1) is None
    waits.give_up()
    lease.release()
    assert busy.take(1) is not None


def test_it_is_told_once_that_one_has_to_wait(tmp_path: Path) -> None:
    busy, waits = Cores((0,), folder=tmp_path), Cores((0,), folder=tmp_path)
    lease = busy.take(1)
    assert lease is not None
    told = []

    def tell() -> None:
        told.append("waits")
        lease.release()

    with waits.wait(1, tell=tell) as found:
        assert found.cores == (0,)
    with waits.wait(1, tell=tell):
        assert told == ["waits"]


def test_who_only_looks_for_something_to_do_isnt_counted(tmp_path: Path) -> None:
    one, other = Cores((0, 1), folder=tmp_path), Cores((0, 1), folder=tmp_path)
    first, second = one.take(1), other.take(1)
    assert first is not None
    assert second is not None
    assert one.runs() == 0
    first.begin()
    assert (one.runs(), other.runs(), first.neighbours()) == (1, 1, 0)
    with second:
        assert (first.neighbours(), second.neighbours()) == (1, 1)
    assert (one.runs(), first.neighbours()) == (1, 1)
    first.release()
    assert one.runs() == 0


def test_what_a_killed_study_held_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        mine = Cores((0, 1), folder=tmp_path)
        assert (mine.runs(), mine.take(1)) == (1, None)
        holder.kill()
    assert mine.runs() == 0
    lease = mine.take(2)
    assert lease is not None
    assert lease.cores == (0, 1)


def test_places_on_gpus_are_filled_evenly(tmp_path: Path) -> None:
    machine = Cores((0, 1, 2, 3, 4), gpus=("0", "MIG-GPU-7/1/0"), per_gpu=2, folder=tmp_path)
    leases = [machine.take(1, gpu=True) for _ in range(5)]
    assert [lease and lease.gpu for lease in leases] == ["0", "MIG-GPU-7/1/0", "0", "MIG-GPU-7/1/0", None]
    machine.give_up()
    assert leases[0] is not None
    leases[0].release()
    again = machine.take(1, gpu=True)
    assert again is not None
    assert again.gpu == "0"


def test_jobs_of_slurm_have_gpus_of_their_own_that_are_called_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = []
    for job in ("17", "18", "18"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        leases.append(Cores((0, 1, 2), gpus=("0",), folder=tmp_path).take(1, gpu=True))
    assert [lease and lease.gpu for lease in leases] == ["0", "0", None]


def test_where_a_quota_limits_the_cores_no_process_is_kept_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[int, ...]] = []
    monkeypatch.setattr(cores, "_allowed", lambda: (0, 1, 2, 3))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, numbers: kept.append(numbers), raising=False)
    for quota, pinned in ((2.0, []), (4.0, [(0, 1)]), (None, [(0, 1)] * 2)):
        monkeypatch.setattr(cgroups, "processors", lambda quota=quota: quota)
        cores.pin((0, 1))
        assert kept == pinned
    monkeypatch.setattr(cgroups, "processors", lambda: 2.5)
    assert cores.usable() == (0, 1)
