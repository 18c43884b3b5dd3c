"""With a GPU there, only the runs' own processes may touch CUDA: the study's and the server's make no context.

No GPU is needed: torch is told that there is one, and whatever else is asked of it fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest
import torch
from commands import call, environment

from bench.errors import UsageError
from bench.execution import child
from bench.machine import cores, cuda, facts
from bench.machine.cuda import Cuda, Gpu
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

CARDS = Cuda(
    gpus=(Gpu("Example 100", 80 * 2**30, True), Gpu("Example 200", 140 * 2**30, True)),
    version="13.0",
    cudnn="91300",
    driver="580.65.06",
)

IMPORTS = """
import sys
import torch

for name in sys.argv[1:]:  # a function for each: torch knows its own apart
    exec(f"def {name}(*_, **__): raise AssertionError('CUDA was asked: {name}')", vars(torch.cuda))
import bench.execution.worker
assert not torch.cuda._initialized
"""


def queries() -> list[str]:
    """The names of all that torch.cuda can be asked or told, what makes a context among them."""
    found = vars(torch.cuda).items()
    functions = [name for name, what in found if isinstance(what, FunctionType) and what.__module__ == "torch.cuda"]
    return [name for name in functions if not name.startswith("_") or name == "_lazy_init"]


@pytest.fixture
def machine_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs and two cores, where nobody in this process may ask CUDA itself."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("CUDA was asked in the study's process")

    for name in queries():
        monkeypatch.setattr(torch.cuda, name, refuse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "found", lambda: CARDS)
    monkeypatch.setattr(cores, "usable", lambda: (1000, 1001))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="its runs would find the GPU")
@pytest.mark.usefixtures("machine_with_gpus")
def test_the_studys_process_never_touches_cuda_and_each_record_has_its_own_card(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--methods", "frozen", "--seeds", "0,1", "--jobs", "auto", "--no-baseline", "--threads", "1"]
    sources = ["--model", str(gpt2), "--data", str(texts), "--results", str(tmp_path)]
    assert call(monkeypatch, *command, *sources) == 1
    assert "--jobs auto: 2 runs at once, 1 thread each (1 on each GPU)." in capsys.readouterr().out
    records = Store(tmp_path).read().records
    assert len(records) == 2
    for record in records:
        assert (record.training.device, record.training.dtype) == ("cuda", "bf16")
        assert record.error is not None  # for the run's own process found no GPU
        assert "cuda" in record.error.message
    told = {record.training.gpu: record.environment for record in records}
    assert {index: (found.gpu, found.gpu_memory_bytes) for index, found in told.items()} == {
        str(index): (card.name, card.memory_bytes) for index, card in enumerate(CARDS.gpus)
    }
    versions = [(found.gpus, found.cuda, found.cudnn, found.driver) for found in told.values()]
    assert versions == [(2, "13.0", "91300", "580.65.06")] * 2


def test_the_server_that_runs_are_forked_from_never_touches_cuda() -> None:
    command = [sys.executable, "-c", IMPORTS, *queries()]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_whether_there_is_a_gpu_is_asked_of_the_drivers_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA itself would make a context in the study's process."""
    asked: list[str] = []

    def answer() -> bool:
        asked.append(os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"])
        return False

    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", answer)
    assert facts.resolve_device("auto") == "cpu"
    assert asked == ["1"]
    assert child.RUN_ENVIRONMENT["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


@pytest.mark.usefixtures("machine_with_gpus")
def test_precision_and_places_are_what_the_cards_have(monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts.resolve_device("auto") == "cuda"
    assert facts.resolve_dtype("auto", "cuda") == "bf16"
    assert facts.gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7, 3")
    assert facts.gpus() == ("GPU-7", "3")
    old = Gpu("Example 10", 2**30, bf16=False)
    monkeypatch.setattr(cuda, "found", lambda: Cuda((*CARDS.gpus, old), None, None, None))
    assert facts.resolve_dtype("auto", "cuda") == "fp32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one that works")
def test_a_gpu_that_cant_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "there", lambda: True)
    cuda.found.cache_clear()
    with pytest.raises(UsageError, match=r"there is a GPU, but torch can't use it: .*CUDA.*; --device cpu leaves it"):
        facts.resolve_device("auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_where_no_gpu_is_to_be_seen_it_is_said_what_was_looked_among(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(UsageError, match="no CUDA device here with CUDA_VISIBLE_DEVICES=7; leave --device out"):
        facts.resolve_device("cuda")


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n", "550.54.15"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build\n", "560.35.03"),
        ("something else\n", None),
    ],
)
def test_the_drivers_version_is_the_kernel_modules(
    told: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version").write_text(told)
    monkeypatch.setattr(cuda, "_DRIVER", tmp_path / "version")
    assert cuda._driver() == version
