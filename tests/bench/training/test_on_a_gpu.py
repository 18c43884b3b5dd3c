"""Training and evaluation on a GPU, as far as that can be seen without one: on fake tensors, by CUDA's rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gpu_budget
import numpy as np
import pytest
import torch
from fake_cuda import fake_gpu, moved
from in_process import nobody, prepared

from bench.model import features, transfer
from bench.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from in_process import Prepared


@pytest.fixture(scope="module")
def studies(
    gpt2: Path, llama: Path, bert: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Prepared]:
    """A study of each architecture, in bf16 on CUDA."""
    folders = {"gpt2": gpt2, "llama": llama, "bert": bert}
    return {
        name: prepared(folder, texts, tmp_path_factory.mktemp("scratch"), dtype="bf16", device="cuda")
        for name, folder in folders.items()
    }


@pytest.mark.parametrize(("architecture", "method"), gpu_budget.counted())
def test_a_step_and_an_evaluation_keep_to_their_budget(
    architecture: str, method: str, studies: dict[str, Prepared]
) -> None:
    """Nothing is on the wrong device or of the wrong precision; `tests/gpu_budget.py` writes the budget anew."""
    found = gpu_budget.figures(architecture, method, studies[architecture])
    known = gpu_budget.known()
    assert not known or found == known[architecture, method]


def test_the_host_waits_within_a_step_only_where_a_library_makes_it() -> None:
    steps = [row for rows in gpu_budget.known().values() for row in rows if row.phase == "step"]
    waiting = {row.method for row in steps if row.architecture == "gpt2" and row.waits}
    assert not steps or waiting == set(gpu_budget.WAITS)


def test_kept_features_are_read_without_waiting(studies: dict[str, Prepared]) -> None:
    run = studies["gpt2"].begin("head")
    on_cpu, _ = run.load(run.training.model_copy(update={"device": "cpu"}))
    with fake_gpu() as gpu:
        forward = replace(on_cpu, module=moved(on_cpu.module), device="cuda")
        head = run._lone_head(forward)
        assert head is not None
        gpu.restart()
        kept = features.one_pass(forward, head, run.splits.train, None)
        reader = run.reader(forward, {"train": kept})
        fitting = train.Fitting(reader, run.method, run.splits.train, run.training, nobody)
        assert gpu.waits == {"_to_copy": 1}  # where each passage's features belong, once a pass
        fitting.count(np.arange(8))
        gpu.restart()
        fitting.step(np.arange(8))
        assert gpu.waits == {}


def test_the_loss_is_read_once_in_ten_steps(studies: dict[str, Prepared]) -> None:
    run = studies["gpt2"].begin("lora")
    on_cpu, _ = run.load(run.training.model_copy(update={"device": "cpu"}))
    with fake_gpu() as gpu, pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "check", lambda loss, _: loss.item())  # a fake tensor isn't finite
        forward = replace(on_cpu, module=moved(on_cpu.module), device="cuda")
        fitting = train.Fitting(forward, run.method, run.splits.train, run.training, nobody)
        gpu.restart()
        fitting.train_epoch([np.arange(4)] * 11)
        assert gpu.waits == {"_local_scalar_dense": 2 * 2 + 2}  # the check and the number, of two steps and of all


def _item(there: torch.Tensor) -> Any:
    return there.sum().item()


def _where(there: torch.Tensor) -> Any:
    return there[there > 0]


def _pageable(there: torch.Tensor) -> Any:
    return torch.ones(3).to(there.device, non_blocking=True)


def _repeated(there: torch.Tensor) -> Any:
    return torch.repeat_interleave(there, there.long())


@pytest.mark.parametrize("what", [_item, _where, _pageable, _repeated])
def test_what_the_host_would_wait_for_is_seen(what: Any) -> None:
    with fake_gpu() as gpu:
        there = torch.ones(3, device="cuda")
        gpu.restart()
        what(there)
        assert sum(gpu.waits.values()) == 1
        gpu.restart()
        torch.repeat_interleave(there, there.long(), output_size=3)
        (found,) = transfer.to_device([np.arange(6).reshape(2, 3)], "cuda")
        assert (found.device.type, found.shape) == ("cuda", (2, 3))
        assert gpu.waits == {}


def test_operands_that_do_not_fit_together_are_seen() -> None:
    with fake_gpu() as gpu:
        there = torch.ones(3, 3, device="cuda")
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3, 3)
        with pytest.raises(RuntimeError, match="same dtype"):
            there @ there.bfloat16()
        gpu.restart()
        with torch.autocast("cuda", torch.bfloat16):
            assert (there @ there).dtype is torch.bfloat16
            assert torch.nn.functional.layer_norm(there.bfloat16(), (3,)).dtype is torch.float32
        assert gpu.casts == 4  # both operands of the product, and the norm's; one to make it bf16 before
