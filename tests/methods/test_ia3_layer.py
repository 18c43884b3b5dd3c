"""IA3 scales bfloat16 activations as peft does, but for rounding, and without copies of them in float32."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft.tuners.ia3.layer import Linear
from torch.utils._python_dispatch import TorchDispatchMode

import methods
from methods import contract
from methods.ia3_layer import ScaledLinear, scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

ROUNDING = 2**-8
"""How far a bfloat16 may be from the number that it stands for, as a share of it."""


def adapted(precision: Callable[[Any], Any]) -> nn.Module:
    """A tiny GPT-2 with scales that have learned something."""
    module = methods.get("ia3")().apply(precision(contract.tiny_gpt2()))
    torch.manual_seed(1)
    for name, parameter in module.named_parameters():
        if "ia3_l" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return module.eval()


def layers(module: nn.Module) -> list[Linear]:
    return [layer for layer in module.modules() if isinstance(layer, Linear)]


@pytest.mark.parametrize("shape", [(50, 24), (3, 20, 24)])
def test_product_and_gradients_are_exact_but_for_rounding(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape).bfloat16().requires_grad_()
    scales = (1 + 0.3 * torch.randn(*shape[:-2], 1, shape[-1])).requires_grad_()
    gradient = torch.randn(shape).bfloat16()
    scaled(x, scales).backward(gradient)
    exact_x, exact_scales = (tensor.detach().double().requires_grad_() for tensor in (x, scales))
    exact = exact_x * exact_scales
    exact.backward(gradient.double())
    learned = (exact_scales - 1).abs()
    assert ((scaled(x, scales) - exact).abs() <= ROUNDING * (exact.abs() + learned * exact_x.abs())).all()
    assert x.grad is not None
    assert exact_x.grad is not None
    assert ((x.grad - exact_x.grad).abs() <= ROUNDING * (exact_x.grad.abs() + learned * gradient.abs())).all()
    assert scales.grad is not None
    assert exact_scales.grad is not None
    assert scales.grad.dtype == torch.float32
    products = (gradient.double() * exact_x).abs().sum(dim=-2, keepdim=True)
    assert ((scales.grad - exact_scales.grad).abs() <= ROUNDING * (products + exact_scales.grad.abs())).all()


def test_a_gradient_is_summed_over_tokens_in_float32() -> None:
    """A sum in bfloat16 would stay at 256, to which adding 1 changes nothing."""
    scales = torch.ones(1, 1, requires_grad=True)
    ones = torch.ones(4096, 1).bfloat16()
    scaled(ones, scales).backward(ones)
    assert scales.grad is not None
    assert scales.grad.item() == 4096


def test_what_a_scale_learned_beside_one_is_not_rounded_away() -> None:
    """Near 1 the next bfloat16 is 1.0078: rounded itself, a scale of 1.003 would change nothing."""
    x = torch.linspace(1, 2, 1000).bfloat16().view(-1, 1)
    scales = torch.full((1, 1), 1.003)
    found = scaled(x, scales)
    assert (found > x).double().mean() > 0.5
    assert (found == (x * scales).bfloat16()).double().mean() > 0.98


def test_peft_own_layers_say_the_same() -> None:
    ours = adapted(contract.in_bfloat16)
    theirs = copy.deepcopy(ours)
    for layer in layers(theirs):
        layer.__class__ = Linear
    found = []
    for module in (ours, theirs):
        with torch.autocast("cpu", torch.bfloat16):
            logits = contract.logits(module)
        ids = torch.arange(24).view(2, 12)
        with torch.autocast("cpu", torch.bfloat16):
            module(input_ids=ids, labels=torch.tensor([0, 1])).loss.backward()
        gradients = [layer.ia3_l["default"].grad for layer in layers(module)]
        found.append([logits, *gradients])
    assert [type(layer) for layer in layers(ours)] == [ScaledLinear] * 4
    for own, peft in zip(*found, strict=True):
        torch.testing.assert_close(own, peft, rtol=0, atol=0.03 * peft.abs().max().item())


def test_no_activation_is_copied_in_float32() -> None:
    made: list[torch.Tensor] = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            made.append(found)
            return found

    layer = layers(adapted(contract.in_bfloat16))[0]
    x = torch.randn(7, layer.in_features).bfloat16().requires_grad_()
    with Seen():  # type: ignore[no-untyped-call]
        layer(x).sum().backward()
    of_tokens = [tensor for tensor in made if tensor.ndim and len(tensor) == len(x)]
    assert of_tokens
    assert {tensor.dtype for tensor in of_tokens} == {torch.bfloat16}


def test_switched_off_or_merged_it_is_peft_own() -> None:
    module = adapted(contract.in_bfloat16)
    layer = layers(module)[0]
    x = torch.randn(5, layer.in_features).bfloat16()
    plain, tuned = layer.base_layer(x), layer(x)
    assert not torch.equal(plain, tuned)
    layer.enable_adapters(False)
    assert torch.equal(layer(x), plain)
    layer.enable_adapters(True)
    layer.merge()
    torch.testing.assert_close(layer(x), tuned, rtol=0.05, atol=0.02)


def test_in_float32_the_layers_are_peft_own() -> None:
    assert {type(layer) for layer in layers(adapted(lambda model: model))} == {Linear}
