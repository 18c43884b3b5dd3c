"""Joules, by the counters that hardware keeps of itself: a processor's packages by RAPL, an NVIDIA GPU by NVML."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
_PACKAGE, _MEMORY = "package-", "dram"
_OFTEN_S = 20.0
"""The smallest counters hold 65 kJ before they begin again at 0, which takes 2 kW half a minute."""


_Read = Callable[[], list[tuple[float, float]] | None]
"""Reads counters: where each is, and where it ends, in joules; None where that fails."""


class Meter:
    """What the device that computes takes between `start` and `stop`.

    On the CPU that is all of the machine's packages, with their memory where that is counted, whoever uses them; on
    CUDA it is the GPU that this process has.
    """

    def __init__(self, device: str) -> None:
        self._read = _gpu() if device == "cuda" else _packages()
        self._joules: float | None = None

    def start(self) -> None:
        """Begin to count."""
        if self._read is None:
            return
        self._joules, self._last = 0.0, self._read()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float | None:
        """Return the joules since; None where the machine doesn't tell."""
        if self._read is None:
            return None
        self._over.set()
        self._thread.join()
        self._add()
        return self._joules

    def _watch(self) -> None:
        while not self._over.wait(_OFTEN_S):
            self._add()

    def _add(self) -> None:
        """Count what was taken since the last look; a counter that has begun again had come to its end before."""
        assert self._read is not None
        now = self._read()
        if now is None or self._last is None or self._joules is None:
            self._joules = None
            return
        for (before, _), (after, end) in zip(self._last, now, strict=True):
            self._joules += after - before if after >= before else after - before + end
        self._last = now


@functools.cache
def _packages() -> _Read | None:
    """Return what reads the processor's counters; None where there are none, or they may not be read.

    The kernel lists all at one level, each with a name. Cores' and the platform's energy is in others' too.
    """
    counters: list[tuple[Path, float]] = []
    try:
        for zone in sorted(POWERCAP.glob("intel-rapl:*")):
            name = (zone / "name").read_text().strip()
            if name.startswith(_PACKAGE) or name == _MEMORY:
                counters.append((zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()) / 1e6))
    except (OSError, ValueError):
        return None

    def read() -> list[tuple[float, float]] | None:
        try:
            return [(int(counter.read_text()) / 1e6, end) for counter, end in counters]
        except (OSError, ValueError):  # mostly only root may
            return None

    return read if counters and read() is not None else None


@functools.cache
def _gpu() -> _Read | None:
    """Return what reads the GPU's counter; None without nvidia-ml-py, where the GPU has none, or is a part of one."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    except pynvml.NVMLError:
        return None

    def read() -> list[tuple[float, float]] | None:
        try:
            return [(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3, 0.0)]
        except pynvml.NVMLError:
            return None

    return read if read() is not None else None
