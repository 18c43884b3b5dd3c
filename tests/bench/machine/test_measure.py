"""Time and memory, of work that is known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.machine import measure

MIB = 2**20


def _work(seconds: float) -> None:
    """Keep the processor busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _touch(mebibytes: int) -> None:
    """Use that much memory for long enough to be seen, and give it back."""
    block = np.ones(mebibytes * MIB, dtype=np.uint8)
    _work(0.05)
    del block


@pytest.fixture(params=["kernel", "sampled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both ways to know a peak: the kernel's own mark, and looking often where it can't be reset."""
    if request.param == "sampled":
        monkeypatch.setattr(measure, "_CLEAR_REFS", tmp_path / "none" / "clear_refs")
    else:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pytest.skip("needs a kernel whose memory mark can be reset")
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_phase_is_charged_for_its_own_memory_and_no_other() -> None:
    _touch(128)
    baseline = measure.resident_bytes()
    with measure.phase("cpu") as large:
        _touch(64)
    with measure.phase("cpu") as small:
        _touch(1)
    assert large.peak_bytes - baseline == pytest.approx(64 * MIB, abs=8 * MIB)
    assert small.peak_bytes - baseline < 8 * MIB


@pytest.mark.usefixtures("way")
def test_memory_that_was_freed_before_is_not_charged() -> None:
    """Small blocks stay with the C library when they are freed, the more so with one in use behind them."""
    baseline = measure.resident_bytes()
    blocks = [bytearray(b"x" * 1000) for _ in range(64 * 1024)]
    behind = blocks.pop()
    del blocks
    with measure.phase("cpu") as cost:
        _touch(1)
    assert cost.peak_bytes - baseline < 8 * MIB
    assert behind[-1] == ord("x")


@pytest.mark.usefixtures("way")
def test_a_peak_includes_what_was_there_before() -> None:
    baseline = measure.resident_bytes()
    held = np.ones(64 * MIB, dtype=np.uint8)
    with measure.phase("cpu") as cost:
        _touch(16)
    assert cost.peak_bytes - baseline == pytest.approx(80 * MIB, abs=8 * MIB)
    assert held[-1] == 1


def test_a_phases_seconds_are_the_blocks_even_when_it_raises() -> None:
    """Between what the block itself saw and what was seen around it, however busy the machine."""
    seen: list[float] = []

    def fail() -> None:
        begin = time.perf_counter()
        _work(0.02)
        seen.append(time.perf_counter() - begin)
        raise RuntimeError

    _work(0.02)
    begin = time.perf_counter()
    with pytest.raises(RuntimeError), measure.phase("cpu") as cost:
        fail()
    assert seen[0] <= cost.seconds <= time.perf_counter() - begin
    assert cost.peak_bytes > 0


def test_each_step_is_timed_on_its_own() -> None:
    begin = time.perf_counter()
    clock, seen = measure.StepClock("cpu"), []
    for seconds in (0.01, 0.03, 0.01):
        start = time.perf_counter()
        _work(seconds)
        seen.append(time.perf_counter() - start)
        clock.tick()
    found = clock.durations()
    assert all(took >= at_least for took, at_least in zip(found, seen, strict=True))
    assert sum(found) <= time.perf_counter() - begin


@pytest.mark.parametrize(("flops_per_s", "width"), [(1e11, 2048), (1e9, 512), (1e6, 256)])
def test_a_slow_matrix_product_is_timed_at_a_smaller_width(
    flops_per_s: float, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths, clock = [], 0.0

    def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        nonlocal clock
        widths.append(len(a))
        clock += 2 * len(a) ** 3 / flops_per_s

    monkeypatch.setattr(torch, "mm", multiply)
    monkeypatch.setattr(measure, "now", lambda device: clock)
    assert measure.matmul_flops_per_s("cpu", torch.bfloat16) == pytest.approx(flops_per_s)
    assert widths[-1] == width
