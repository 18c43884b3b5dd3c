"""GPT-2 with linear layers is the same GPT-2."""

from __future__ import annotations

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from methods.contract import in_bfloat16, logits, tiny_gpt2, tiny_llama
from methods.conv1d import to_linear


def test_conversion_keeps_the_function_and_the_counts() -> None:
    stock, converted = tiny_gpt2(), to_linear(tiny_gpt2())
    assert not any(isinstance(module, Conv1D) for module in converted.modules())
    assert sum(isinstance(module, Conv1D) for module in stock.modules()) == 8
    torch.testing.assert_close(logits(converted), logits(stock), rtol=0, atol=1e-6)
    shapes = [sorted(sorted(p.shape) for p in model.parameters()) for model in (stock, converted)]
    assert shapes[0] == shapes[1]


def test_conversion_is_in_place_and_a_second_one_does_nothing() -> None:
    model = tiny_gpt2()
    assert to_linear(model) is model
    before = list(model.modules())
    assert list(to_linear(model).modules()) == before


def test_converted_weights_are_contiguous_and_keep_type_and_training() -> None:
    model = in_bfloat16(tiny_gpt2()).requires_grad_(False).eval()
    layer = to_linear(model).get_submodule("transformer.h.0.attn.c_attn")
    assert isinstance(layer, nn.Linear)
    assert (layer.in_features, layer.out_features, tuple(layer.weight.shape)) == (64, 192, (192, 64))
    assert layer.weight.is_contiguous()
    assert layer.weight.dtype == torch.bfloat16
    assert not layer.training
    assert not layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_shared_layers_and_weights_stay_shared() -> None:
    shared, weight_sharer = Conv1D(5, 3), Conv1D(5, 3)
    weight_sharer.weight = shared.weight
    model = to_linear(nn.ModuleDict({"a": shared, "b": shared, "c": weight_sharer}))
    assert model["a"] is model["b"]
    assert model["c"] is not model["a"]
    assert model["c"].weight is model["a"].weight


def test_a_model_without_conv1d_is_left_alone() -> None:
    model = tiny_llama()
    before = list(model.modules())
    assert list(to_linear(model).modules()) == before
