"""Facts about the machine and the versions a run was made with, and what they decide: the device and the precision."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import psutil

from bench.errors import UsageError
from bench.machine import cgroups
from bench.store.record import Environment

Device = Literal["cpu", "cuda"]
Dtype = Literal["fp32", "bf16"]

_CPUINFO = Path("/proc/cpuinfo")


def resolve_device(asked: Literal["auto", "cpu", "cuda"]) -> Device:
    """Return the device to use. Raises UsageError where CUDA is asked for and there is none."""
    if asked == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise UsageError("--device cuda: torch finds no CUDA device here; leave --device out to use the CPU")
    return "cpu"


def resolve_dtype(asked: Literal["auto", "fp32", "bf16"], device: Device) -> Dtype:
    """Return bf16 where the hardware multiplies it natively and `asked` leaves the choice, fp32 elsewhere."""
    if asked != "auto":
        return asked
    return "bf16" if native_bf16(device) else "fp32"


def native_bf16(device: Device) -> bool:
    """Tell whether the processor (avx512_bf16, amx_bf16) or the GPU multiplies bf16 in hardware."""
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool({"avx512_bf16", "amx_bf16"} & _cpu_facts()[1])


def threads() -> int:
    """Return with how many threads to compute: one a core, as more make matrix products slower.

    Cores are those that this process may use, by its affinity and its control groups' quota; OMP_NUM_THREADS may ask
    for fewer.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [allowed, psutil.cpu_count(logical=False) or 1, int(cgroups.processors() or allowed)]
    with suppress(ValueError):  # it may be a list, of which the first counts, or nonsense
        limits.append(int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]))
    return max(1, min(limits))


@cache
def _cpu_facts() -> tuple[str, frozenset[str]]:
    """The processor's name and its feature flags; the flags are empty where the system doesn't tell."""
    if not _CPUINFO.exists():
        return platform.processor() or platform.machine(), frozenset()
    lines = dict(line.split(":", 1) for line in _CPUINFO.read_text().splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    return facts.get("model name", platform.machine()), frozenset(facts.get("flags", "").split())


def processor() -> str:
    """Return the processor's name."""
    return _cpu_facts()[0]


def environment(device: Device, command: str) -> Environment:
    """Return the facts that go into each record; `command` is how to do it again."""
    gpu = None
    if device == "cuda":
        import torch

        gpu = torch.cuda.get_device_name()
    commit, dirty = _git_state()
    return Environment(
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        peft=version("peft"),
        platform=_platform(),
        cpu=processor(),
        gpu=gpu,
        git_commit=commit,
        git_dirty=dirty,
        command=command,
    )


def _platform() -> str:
    """The system, its version without what a vendor appended, the architecture and the C library."""
    version = re.match(r"[\d.]*", platform.release())
    return " ".join(filter(None, [platform.system(), version and version[0], platform.machine(), *platform.libc_ver()]))


def command_line() -> str:
    """Return the command that started this program, as it would be typed."""
    return shlex.join(["python", "-m", "bench", *sys.argv[1:]])


@cache
def _git_state() -> tuple[str | None, bool | None]:
    """The commit of the checkout this code lies in, and whether it was changed; nulls where there is no checkout."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
