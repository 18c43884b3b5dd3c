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
from typing import Any, Literal

from bench.errors import UsageError
from bench.machine import cores, cuda
from bench.store.record import Environment

Device = Literal["cpu", "cuda"]
Dtype = Literal["fp32", "bf16"]

_CPUINFO = Path("/proc/cpuinfo")
_WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""What oneDNN, which multiplies bf16 for torch, can be held to by ONEDNN_MAX_CPU_ISA and then emulates it."""


def resolve_device(asked: Literal["auto", "cpu", "cuda"]) -> Device:
    """Return the device to use. Raises UsageError where CUDA is asked for and there is none, or it doesn't work."""
    if asked == "cpu":
        return "cpu"
    if cuda.there() and cuda.found().gpus:
        return "cuda"
    if asked == "cuda":
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        among = f" with CUDA_VISIBLE_DEVICES={chosen}" if chosen is not None else ""
        raise UsageError(f"--device cuda: torch finds no CUDA device here{among}; leave --device out to use the CPU")
    return "cpu"


def resolve_dtype(asked: Literal["auto", "fp32", "bf16"], device: Device) -> Dtype:
    """Return bf16 where the hardware multiplies it natively and `asked` leaves the choice, fp32 elsewhere."""
    if asked != "auto":
        return asked
    return "bf16" if native_bf16(device) else "fp32"


def native_bf16(device: Device) -> bool:
    """Tell whether the processor (avx512_bf16, amx_bf16), as far as it may be used, or the GPU multiplies bf16."""
    if device == "cuda":
        return all(gpu.bf16 for gpu in cuda.found().gpus)
    pinned = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return pinned not in _WITHOUT_BF16 and bool({"avx512_bf16", "amx_bf16"} & _cpu_facts()[1])


def threads(jobs: int = 1) -> int:
    """Return with how many threads each of `jobs` runs at once computes: one a core, as more make products slower.

    OMP_NUM_THREADS may ask for fewer.
    """
    limits = [len(cores.usable()) // jobs]
    with suppress(ValueError):  # it may be a list, of which the first counts, or nonsense
        limits.append(int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]))
    return max(1, min(limits))


def gpus() -> tuple[str, ...]:
    """Return what CUDA_VISIBLE_DEVICES calls each GPU that this process may use."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    count = len(cuda.found().gpus)
    return tuple(name.strip() for name in names[:count]) if names[0] else tuple(map(str, range(count)))


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


def environment(device: Device, command: str, gpu: str | None = None) -> Environment:
    """Return the facts that go into each record of a run on the GPU that is called so, the first where none is named.

    `command` is how to do it again.
    """
    commit, dirty = _git_state()
    return Environment(
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
        peft=version("peft"),
        platform=_platform(),
        cpu=processor(),
        **(_gpu_facts(gpu) if device == "cuda" else {"gpu": None}),
        git_commit=commit,
        git_dirty=dirty,
        command=command,
    )


def _gpu_facts(name: str | None) -> dict[str, Any]:
    found = cuda.found()
    card = found.gpus[0 if name is None else gpus().index(name)]
    versions = {"cuda": found.version, "cudnn": found.cudnn, "driver": found.driver}
    return {"gpu": card.name, "gpu_memory_bytes": card.memory_bytes, "gpus": len(found.gpus), **versions}


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
