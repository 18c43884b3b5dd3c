"""Prepacked, a model computes what it computes otherwise; what trains is left alone, and all of it afterwards."""

from __future__ import annotations

import copy
import subprocess
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commands import environment
from in_process import ran
from torch import nn
from torch.profiler import ProfilerActivity, profile

import methods
from bench.gates import budget
from bench.model.prepacked import prepacked
from bench.training import train

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.arange(budget.TRAINING.batch_size)
METHODS = ("frozen", "lora", "ia3", "prefix", "adalora", "full", "bitfit", "adaption_prompt", "osf")
needs_layouts = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="oneDNN's layouts are used on x86 only"
)
SHAPES = ((96,), (7, 96), (3, 7, 96), (2, 3, 7, 96), (0, 7, 96))
OPERATORS = ("_reorder_linear_weight", "_linear_pointwise")


def frozen(dtype: torch.dtype = torch.float32, bias: bool = True) -> nn.Linear:
    """Return a frozen layer of 96 to 160 features."""
    torch.manual_seed(0)
    return nn.Linear(96, 160, bias=bias).requires_grad_(False).to(dtype)


def added_in_place(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """Change in place what a layer returns, by what follows from the inputs, then compute on with it."""
    found: torch.Tensor = layer(inputs)
    found += inputs.sum()
    found[..., 0] *= 2
    return found.mul(inputs.mean()).square()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradient_are_a_linear_layers_under_changes_in_place(
    shape: tuple[int, ...], bias: bool, dtype: torch.dtype
) -> None:
    layer, inputs = frozen(dtype, bias), torch.randn(shape).to(dtype).requires_grad_()
    found = []
    for context in (prepacked(layer), nullcontext()):
        with context:
            result = added_in_place(layer, inputs)
            found.append((result, *torch.autograd.grad(result.sum(), inputs)))
    torch.testing.assert_close(found[0], found[1])


def test_the_gradient_has_a_gradient() -> None:
    layer, inputs = frozen(), torch.randn(3, 7, 96, requires_grad=True)
    with prepacked(layer):
        (once,) = torch.autograd.grad(layer(inputs).sin().sum(), inputs, create_graph=True)
        (twice,) = torch.autograd.grad(once.square().sum(), inputs)
    (once,) = torch.autograd.grad(layer(inputs).sin().sum(), inputs, create_graph=True)
    torch.testing.assert_close(twice, torch.autograd.grad(once.square().sum(), inputs)[0])


def refuse(*_: object) -> None:
    raise RuntimeError("the cpu support")


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("how", ["missing", "refuses", "refuses the backward pass"])
def test_without_an_operator_a_layer_is_computed_plainly(
    operator: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, inputs = frozen(), torch.randn(3, 96, requires_grad=True)
    expected = layer(inputs)
    (gradient,) = torch.autograd.grad(expected.sum(), inputs, retain_graph=True)
    if how == "missing":
        monkeypatch.setattr(torch.ops, "mkldnn", object())
    elif how == "refuses":
        monkeypatch.setattr(torch.ops.mkldnn, operator, refuse)
    with prepacked(layer) as laid_out:
        found = layer(inputs)
        if how == "refuses the backward pass":
            monkeypatch.setattr(torch.ops.mkldnn, operator, refuse)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found.sum(), inputs)[0], gradient)
        assert laid_out() == 0
        torch.testing.assert_close(layer(inputs), expected)


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
def test_a_layout_stands_in_the_weights_place() -> None:
    layer = nn.Linear(48, 32).requires_grad_(False)
    weight, before = layer.weight, layer.weight.clone()
    with prepacked(layer):
        layer(torch.ones(1, 48, requires_grad=True)).sum().backward()
        assert weight.untyped_storage().nbytes() == 0
        assert (layer.weight.shape, layer.weight.dtype) == ((32, 48), torch.float32)
        assert not next(layer.parameters()).requires_grad
    assert layer.weight is weight
    assert torch.equal(weight, before)


def double(layer: nn.Linear) -> None:
    """Change a layer's weight through a view, as a whole, by its data, or by a new tensor."""
    layer.weight[0] *= 2
    layer.weight.data[1:].mul_(2)
    layer.weight.data = layer.weight * 2
    layer.weight.mul_(0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_weight_may_be_read_and_changed_after_all(dtype: torch.dtype) -> None:
    layer = nn.Linear(48, 32).requires_grad_(False).to(dtype)
    weight, inputs = layer.weight.clone(), torch.randn(3, 48, dtype=dtype, requires_grad=True)
    with prepacked(layer):
        first = layer(inputs)
        assert torch.equal(layer.weight + 0, weight)
        double(layer)
        second = layer(inputs)
    assert torch.equal(layer.weight, 2 * weight)
    torch.testing.assert_close(first, nn.functional.linear(inputs, weight, layer.bias))
    torch.testing.assert_close(second, nn.functional.linear(inputs, 2 * weight, layer.bias))


def test_a_layer_that_is_unfrozen_trains() -> None:
    layer = nn.Linear(48, 32).requires_grad_(False)
    with prepacked(layer):
        layer.requires_grad_(True)
        layer(torch.ones(2, 48)).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, torch.full((32, 48), 2.0))


def test_a_weight_asked_for_between_forward_and_backward_passes() -> None:
    layer = nn.Linear(48, 32).requires_grad_(False)
    inputs = torch.randn(3, 48, requires_grad=True)
    with prepacked(layer):
        found = layer(inputs).sum()
        expected = layer.weight.sum(dim=0)
        found.backward()
    torch.testing.assert_close(inputs.grad, expected.expand(3, -1))


def test_a_bias_of_another_that_trains_and_a_copy_of_the_layer() -> None:
    layer, bias = nn.Linear(48, 32).requires_grad_(False), torch.zeros(32, requires_grad=True)
    with prepacked(layer):
        nn.functional.linear(torch.ones(2, 48), layer.weight, bias).sum().backward()
    assert bias.grad is not None
    with prepacked(layer):
        copied = copy.deepcopy(layer)
    assert torch.equal(copied.weight, layer.weight)


def test_a_weight_that_two_modules_share_stays() -> None:
    embedding, layer = nn.Embedding(32, 48), nn.Linear(48, 32)
    layer.weight = embedding.weight
    both = nn.ModuleDict({"embedding": embedding, "layer": layer}).requires_grad_(False)
    with prepacked(both):
        assert layer.weight is embedding.weight
        assert embedding(torch.tensor([3])).shape == (1, 48)


@needs_layouts
def test_a_run_computes_with_layouts(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        outcome = ran("lora", gpt2, texts, tmp_path)
    assert layouts(seen) > 0
    assert outcome.laid_out == 2 * 4


def test_a_run_without_the_operators_is_computed_plainly(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    assert ran("lora", gpt2, texts, tmp_path, max_steps=1).laid_out == 0


def test_layers_on_a_processor_without_avx_512() -> None:
    """What the processor can do is asked once, when torch is imported."""
    code = """
import torch
from bench.model.prepacked import prepacked
for dtype in (torch.float32, torch.bfloat16):
    layer = torch.nn.Linear(96, 160).requires_grad_(False).to(dtype)
    inputs = torch.randn(2, 3, 96, dtype=dtype)
    expected = layer(inputs)
    with prepacked(layer) as laid_out:
        torch.testing.assert_close(layer(inputs), expected)
        print(laid_out())
"""
    as_on_avx2 = environment(ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2")
    done = subprocess.run([sys.executable, "-c", code], env=as_on_avx2, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "0"


def test_all_is_as_before_even_after_an_error() -> None:
    layer = nn.Linear(8, 8).requires_grad_(False)
    before = layer(torch.ones(1, 8))
    with pytest.raises(RuntimeError, match=r"primitive|shape"), prepacked(layer):
        layer(torch.ones(1, 9))
    layer.weight.data.zero_()
    assert not torch.equal(before, layer(torch.ones(1, 8)))
    torch.testing.assert_close(layer(torch.ones(1, 8))[0], layer.bias)
