"""Prepacked, a model computes what it computes otherwise; what trains is left alone, and all of it afterwards."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from in_process import ran
from torch import nn
from torch.profiler import ProfilerActivity, profile

import methods
from bench import budget, train
from bench.prepacked import prepacked

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.arange(budget.TRAINING.batch_size)
METHODS = ("frozen", "lora", "ia3", "prefix", "adalora", "full", "bitfit", "adaption_prompt", "osf")
needs_layouts = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="oneDNN's layouts are used on x86 only"
)


def trained(name: str, *, packed: bool) -> tuple[list[float], np.ndarray[Any, Any]]:
    """Take three steps; return their losses and the logits afterwards."""
    method = methods.get(name)()
    forward = budget.adapted(method, "packed")
    torch.manual_seed(0)
    with prepacked(forward.module) if packed else nullcontext():
        if not any(p.requires_grad for p in forward.module.parameters()) or hasattr(method, "fit"):
            return [], train.evaluate(forward, budget.passages()).logits
        fitting = train.Fitting(forward, method, budget.passages(), budget.TRAINING, watch=budget.nobody)
        forward.module.train()
        losses = [float(fitting.step(ROWS + len(ROWS) * number)) for number in range(3)]
        return losses, train.evaluate(forward, budget.passages()).logits


@pytest.mark.parametrize("name", METHODS)
def test_losses_and_logits_are_those_of_plain_products(name: str) -> None:
    plain, fast = trained(name, packed=False), trained(name, packed=True)
    assert fast[0] == pytest.approx(plain[0], abs=1e-4)
    np.testing.assert_allclose(fast[1], plain[1], atol=1e-4)


@needs_layouts
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_that_of_a_linear_layer(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(96, 160).requires_grad_(False).to(dtype)
    inputs = torch.randn(3, 7, 96, dtype=dtype, requires_grad=True)
    with prepacked(layer):
        fast = layer(inputs)
        (found,) = torch.autograd.grad(fast.square().sum(), inputs)
    plain = layer(inputs)
    (expected,) = torch.autograd.grad(plain.square().sum(), inputs)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(found, expected)


@needs_layouts
def test_a_layout_made_without_gradients_serves_a_step_that_needs_them() -> None:
    layer = nn.Linear(32, 32).requires_grad_(False)
    with prepacked(layer):
        with torch.inference_mode():
            layer(torch.randn(2, 32))
        inputs = torch.randn(2, 32, requires_grad=True)
        layer(inputs).sum().backward()
    torch.testing.assert_close(inputs.grad, layer.weight.sum(dim=0).expand(2, -1))


def layouts(seen: profile) -> int:
    """Count the layouts that were made."""
    return sum(event.count for event in seen.key_averages() if event.key == "mkldnn::_reorder_linear_weight")


def laid_out(name: str) -> int:
    """Count the layouts made in two steps and an evaluation of a method."""
    method = methods.get(name)()
    forward = budget.adapted(method, "packed")
    with profile(activities=[ProfilerActivity.CPU]) as seen, prepacked(forward.module):
        fitting = train.Fitting(forward, method, budget.passages(), budget.TRAINING, watch=budget.nobody)
        for _ in range(2):
            fitting.step(ROWS)
        train.evaluate(forward, budget.passages())
    return layouts(seen)


@needs_layouts
def test_each_frozen_layer_is_laid_out_once_each_way_and_what_trains_never() -> None:
    layers = 4 * budget.GPT2["n_layer"]
    assert laid_out("ln_tuning") == 2 * layers
    assert laid_out("lora") == 2 * layers - 1  # nothing asks for the gradient of what the first one reads
    assert laid_out("full") == 0


@needs_layouts
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_weight_that_changes_after_all_is_an_error(dtype: torch.dtype) -> None:
    layer = nn.Linear(48, 32).requires_grad_(False).to(dtype)
    with (  # noqa: PT012
        pytest.raises(methods.MethodError, match="training changed proj, which it froze"),
        prepacked(nn.ModuleDict({"proj": layer})),
    ):
        layer(torch.ones(1, 48, dtype=dtype))
        layer.weight.data[3, 5] += 1  # where the weight's version counter doesn't see it


@needs_layouts
def test_a_run_computes_with_layouts(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        ran("lora", gpt2, texts, tmp_path)
    assert layouts(seen) > 0


def test_all_is_as_before_even_after_an_error() -> None:
    layer = nn.Linear(8, 8).requires_grad_(False)
    before = layer(torch.ones(1, 8))
    with pytest.raises(RuntimeError, match=r"primitive|shape"), prepacked(layer):
        layer(torch.ones(1, 9))
    layer.weight.data.zero_()
    assert not torch.equal(before, layer(torch.ones(1, 8)))
    torch.testing.assert_close(layer(torch.ones(1, 8))[0], layer.bias)
