"""What CUDA says of this machine's GPUs, asked in a process of its own.

Asking makes a context, which takes some hundred MiB of the GPU as long as its process lives, keeps a GPU that is set to
one process from the runs, and can't be used in a process that is forked. So no process asks that isn't a run's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from bench.errors import UsageError

WITHOUT_CONTEXT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""With it in the environment, torch asks the driver's management library whether there is a GPU."""
_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Gpu:
    """One card. `bf16`: it multiplies bf16 natively."""

    name: str
    memory_bytes: int
    bf16: bool


@dataclass(frozen=True)
class Cuda:
    """The GPUs that this process may use, in their order there, and the versions of what drives them."""

    gpus: tuple[Gpu, ...]
    version: str | None
    cudnn: str | None
    driver: str | None


def there() -> bool:
    """Tell whether there is a GPU that torch may use, without making a context."""
    import torch

    os.environ.update(WITHOUT_CONTEXT)
    return torch.cuda.is_available()


@cache
def found() -> Cuda:
    """Return what there is. Raises UsageError where CUDA doesn't answer."""
    asked = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, errors="replace")
    if asked.returncode:
        said = (asked.stderr.strip() or f"exit code {asked.returncode}").splitlines()[-1]
        raise UsageError(f"there is a GPU, but torch can't use it: {said}; --device cpu leaves it alone")
    answer = json.loads(asked.stdout.splitlines()[-1])
    return Cuda(**{**answer, "gpus": tuple(Gpu(**gpu) for gpu in answer["gpus"])})


def _ask() -> Cuda:
    import torch

    torch.cuda.init()
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    cudnn = torch.backends.cudnn.version()
    return Cuda(
        gpus=tuple(Gpu(each.name, each.total_memory, each.major >= 8) for each in properties),
        version=torch.version.cuda,
        cudnn=None if cudnn is None else str(cudnn),
        driver=_driver(),
    )


def _driver() -> str | None:
    """Return the driver's version, as the kernel's module tells it: `… Kernel Module  550.54.15  Tue Mar …`."""
    try:
        number = re.search(r"\s(\d+\.\d[\d.]*)\s", _DRIVER.read_text(encoding="utf-8"))
    except OSError:
        return None
    return number and number[1]


if __name__ == "__main__":
    print(json.dumps(asdict(_ask())))
