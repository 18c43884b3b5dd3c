"""Joules by the counters of a processor and of a GPU, here as the kernel and NVIDIA's library would show them."""

from __future__ import annotations

import functools
import itertools
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
import torch
from commands import wait_until
from in_process import prepared

from bench.machine import energy, measure
from bench.store.record import Speed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

END = 65_000_000
"""Where the counters begin again at 0, in microjoules."""


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    """What a process asks once is asked in each test, and after the last."""
    for ask in (energy._packages, energy._gpu):
        ask.cache_clear()
    yield
    for ask in (energy._packages, energy._gpu):
        ask.cache_clear()


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, of which one tells of its memory, and what would count twice: cores, the platform, another way."""
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for zone, name in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text(f"{END}\n")
        _count(tmp_path, zone, 1_000_000)
    (tmp_path / "intel-rapl").mkdir()
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path


def _count(folder: Path, zone: str, microjoules: int) -> None:
    (folder / zone / "energy_uj").write_text(f"{microjoules}\n")


def test_a_phase_is_charged_what_packages_and_their_memory_took(powercap: Path) -> None:
    with measure.phase("cpu") as cost:
        _count(powercap, "intel-rapl:0", 4_000_000)
        _count(powercap, "intel-rapl:0:1", 1_500_000)
        for counted_in_others in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
            _count(powercap, counted_in_others, 30_000_000)
    assert cost.joules == pytest.approx(3.5)


def test_a_counter_that_begins_again_is_seen_as_it_is_looked_at_often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so twice between the ends of a phase."""
    shown = [60.0, 10.0, 60.0, 5.0]
    monkeypatch.setattr(energy, "_OFTEN_S", 0.0)
    monkeypatch.setattr(
        energy, "_packages", functools.cache(lambda: lambda: [(shown.pop(0) if len(shown) > 1 else shown[0], 65.0)])
    )
    with measure.phase("cpu") as cost:
        wait_until(lambda: len(shown) == 1, 10, "the counter is looked at")
    assert cost.joules == pytest.approx(15 + 50 + 10)


@pytest.mark.parametrize("damage", ["none", "no counter", "garbage"])
def test_where_the_machine_does_not_tell_there_is_nothing(
    powercap: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    if damage == "none":
        monkeypatch.setattr(energy, "POWERCAP", powercap / "nowhere")
    elif damage == "no counter":
        (powercap / "intel-rapl:1" / "energy_uj").unlink()
    else:
        (powercap / "intel-rapl:1" / "max_energy_range_uj").write_text("?")
    with measure.phase("cpu") as cost:
        pass
    assert cost.joules is None


def test_a_counter_that_goes_away_costs_no_more_than_the_figure(powercap: Path) -> None:
    with measure.phase("cpu") as cost:
        (powercap / "intel-rapl:1" / "energy_uj").unlink()
    assert cost.joules is None
    assert cost.seconds > 0


class _NvmlError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """NVIDIA's library with one GPU, whose counter is by its handle, in millijoules."""
    counters = {"GPU-12ab": 5_000}

    def find(uuid: str) -> str:
        if uuid not in counters:
            raise _NvmlError
        return uuid

    library: Any = types.ModuleType("pynvml")
    library.NVMLError = _NvmlError
    library.nvmlInit = lambda: None
    library.nvmlDeviceGetHandleByUUID = find
    library.nvmlDeviceGetTotalEnergyConsumption = counters.__getitem__
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return counters


def _with_gpu(monkeypatch: pytest.MonkeyPatch, uuid: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: types.SimpleNamespace(uuid=uuid))


def test_a_gpu_is_charged_what_it_took(nvml: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, "12ab")
    meter = energy.Meter("cuda")
    meter.start()
    nvml["GPU-12ab"] += 2_500
    assert meter.stop() == pytest.approx(2.5)


@pytest.mark.usefixtures("nvml")
def test_a_part_of_a_gpu_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_gpu(monkeypatch, "a-part-of-it")
    meter = energy.Meter("cuda")
    meter.start()
    assert meter.stop() is None


def test_a_run_is_charged_its_training_steps_alone(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the counter finds a joule more, so that each stretch that is measured takes one."""
    looks = itertools.count()
    monkeypatch.setattr(energy, "_packages", functools.cache(lambda: lambda: [(float(next(looks)), 0.0)]))
    scratch = prepared(gpt2, texts, tmp_path)
    assert scratch.run("ia3").speed.train_joules == 2  # epochs
    assert scratch.run("head").speed.train_joules == 3  # and the pass over the train texts
    assert scratch.run("frozen").speed.train_joules is None


def test_a_run_that_had_neighbours_does_not_know_its_own() -> None:
    speed = Speed(load_s=1.0, train_s=2.0, train_joules=50.0)
    assert speed.taken(exclusive=True, neighbours=0, threads=2).train_joules == 50.0
    shared = speed.taken(exclusive=False, neighbours=1, threads=2)
    assert (shared.train_joules, shared.train_s, shared.neighbours) == (None, 2.0, 1)
