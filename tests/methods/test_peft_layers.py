"""LoRA and IA3 on bfloat16 activations give what they do by peft's own layers, without copies of these in float32."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft.tuners import ia3, lora
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.utils._python_dispatch import TorchDispatchMode

import methods
from methods import contract
from methods.peft_layers import IA3Linear, LoraLinear, scaled
from methods.prepare import trainable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

ROUNDING = 2**-8
"""How far a bfloat16 may be from the number that it stands for, as a share of it."""
PLAIN_LORA = [(name, LoraLinear, lora.Linear, 0.0) for name in ("lora", "rslora", "pissa")]


def adapted(precision: Callable[[Any], Any], method: str = "ia3") -> nn.Module:
    """A tiny GPT-2 with an adapter that has learned something."""
    module = methods.get(method)().apply(precision(contract.tiny_gpt2()))
    torch.manual_seed(1)
    for name, parameter in trainable(module).items():
        if "score" not in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return module.eval()


def layers(module: nn.Module) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, BaseTunerLayer)]


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


def logits_and_gradients(module: nn.Module) -> list[torch.Tensor]:
    """What a bfloat16 module says under autocast, and the gradients of all that trains."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = contract.logits(module)
        module(input_ids=torch.arange(24).view(2, 12), labels=torch.tensor([0, 1])).loss.backward()
    return [logits, *(parameter.grad for parameter in trainable(module).values() if parameter.grad is not None)]


@pytest.mark.parametrize(("method", "ours", "theirs", "off"), [("ia3", IA3Linear, ia3.Linear, 0.03), *PLAIN_LORA])
def test_peft_own_layers_give_the_same(method: str, ours: type, theirs: type, off: float) -> None:
    module = adapted(contract.in_bfloat16, method)
    by_peft = copy.deepcopy(module)
    own = [layer for layer in by_peft.modules() if type(layer) is ours]
    assert own
    for layer in own:
        layer.__class__ = theirs
    found = list(zip(logits_and_gradients(module), logits_and_gradients(by_peft), strict=True))
    assert len(found) > len(own)
    for one, other in found:
        assert (one - other).abs().max() <= off * other.abs().max()


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
    assert {type(layer) for layer in layers(adapted(lambda model: model))} == {ia3.Linear}
    assert {type(layer) for layer in layers(adapted(lambda model: model, "lora"))} == {lora.Linear}


def test_a_low_rank_update_that_is_more_is_peft_own() -> None:
    assert {type(layer) for layer in layers(adapted(contract.in_bfloat16, "dora"))} == {lora.Linear}
    dropping = methods.get("rslora")(lora_dropout=0.5).apply(contract.in_bfloat16(contract.tiny_gpt2()))
    assert {type(layer) for layer in layers(dropping)} == {lora.Linear}
