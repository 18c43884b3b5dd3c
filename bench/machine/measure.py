"""Time and memory, measured so that a phase is charged for what it did and for nothing else."""

from __future__ import annotations

import ctypes
import gc
import re
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
import torch

from bench.machine.energy import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): resets VmHWM to the present resident size
_SAMPLE_S = 0.005
_MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}
_MATMUL_S = 2.0
"""The longest that one product may take; only where the precision is emulated is it longer at full size."""
_MATMUL_WARMUP, _MATMUL_REPEATS = 2, 5


@dataclass
class Phase:
    """What one phase cost: seconds, the peak in bytes, what was there before it included, and joules where known."""

    seconds: float = 0.0
    peak_bytes: int = 0
    reserved_bytes: int | None = None
    joules: float | None = None


def now(device: str) -> float:
    """Return seconds on a monotonic clock, after the GPU's queued work is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def phase(device: str) -> Iterator[Phase]:
    """Measure the block's seconds, energy and peak memory: allocated on CUDA, the process's resident size on the CPU.

    Garbage is collected and freed pages are given back first, so that a phase isn't charged for the one before.
    The returned Phase is filled in when the block ends.
    """
    measured = Phase()
    peak: _CudaPeak | _KernelPeak | _SampledPeak = _CudaPeak() if device == "cuda" else _resident_peak()
    meter = Meter(device)
    _give_back_memory()
    peak.start()
    meter.start()
    begin = now(device)
    try:
        yield measured
    finally:
        measured.seconds = now(device) - begin
        measured.joules = meter.stop()
        measured.peak_bytes = peak.stop()
        if device == "cuda":
            measured.reserved_bytes = torch.cuda.max_memory_reserved()


class StepClock:
    """Times steps that follow each other: CUDA events on the GPU, so that it needn't wait for each step."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._marks: list[Any] = []
        self.tick()

    def tick(self) -> None:
        """Mark the end of a step."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def durations(self) -> list[float]:
        """Return the seconds between the marks, one a step, after the GPU's queued work is done."""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        if self._cuda:
            torch.cuda.synchronize()
            return [begin.elapsed_time(end) / 1000 for begin, end in pairs]
        return [end - begin for begin, end in pairs]


def matmul_flops_per_s(device: str, dtype: torch.dtype) -> float:
    """Return the speed of a square matrix product, the median of a few: what the hardware can do at the most.

    It is 2048 wide on the CPU and 8192 on CUDA; narrower, down to an eighth, where that would take over two seconds.
    """
    size = _MATMUL_SIZE[device] // 8
    while True:
        seconds = _matmul_s(size, device, dtype)
        too_long = 8 * min(seconds) > _MATMUL_S  # twice as wide takes eight times as long
        if size == _MATMUL_SIZE[device] or too_long:
            return float(2 * size**3 / statistics.median(seconds))
        size *= 2


def _matmul_s(size: int, device: str, dtype: torch.dtype) -> list[float]:
    """Return the seconds that products of that width take, one after the other."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    seconds = []
    for _ in range(_MATMUL_WARMUP + _MATMUL_REPEATS):
        begin = now(device)
        torch.mm(a, b, out=out)
        seconds.append(now(device) - begin)
    return seconds[_MATMUL_WARMUP:]


def memory_kind(device: str) -> Literal["rss", "cuda_allocated"]:
    """Name what `phase` reads on this device."""
    return "cuda_allocated" if device == "cuda" else "rss"


def resident_bytes() -> int:
    """Return the process's resident size now, with freed memory given back first: the baseline of all peaks."""
    _give_back_memory()
    return int(psutil.Process().memory_info().rss)


def _give_back_memory() -> None:
    gc.collect()
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


_libc = ctypes.CDLL(None)


class _CudaPeak:
    def start(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def stop(self) -> int:
        return int(torch.cuda.max_memory_allocated())


class _KernelPeak:
    """The kernel's own high-water mark: exact, and free while the phase runs."""

    def start(self) -> None:
        _CLEAR_REFS.write_text(_RESET_PEAK)

    def stop(self) -> int:
        kibibytes = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        if kibibytes is None:
            raise RuntimeError("the kernel no longer tells VmHWM in /proc/self/status")
        return int(kibibytes[1]) * 1024


class _SampledPeak:
    """A thread that looks at the resident size every few milliseconds, where the kernel's mark can't be reset."""

    def start(self) -> None:
        self._process = psutil.Process()
        self._peak = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return int(max(self._peak, self._process.memory_info().rss))


def _resident_peak() -> _KernelPeak | _SampledPeak:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return _SampledPeak()
    return _KernelPeak()
