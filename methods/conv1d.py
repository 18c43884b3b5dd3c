"""GPT-2's Conv1D layers as what they are: linear layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

Model = TypeVar("Model", bound="nn.Module")


def to_linear(model: Model) -> Model:
    """Replace every transformers Conv1D in `model` by the nn.Linear of the same function, in place.

    Conv1D keeps its weight as [in, out], Linear as [out, in]; the parameter counts stay. Layers or weights
    that were shared stay shared. A converted model saved by `save_pretrained` holds transposed weights, which a
    stock model can't read: save adapters, not the converted backbone.
    """
    from transformers.pytorch_utils import Conv1D

    layers: dict[int, nn.Linear] = {}
    weights: dict[int, nn.Parameter] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if isinstance(module, Conv1D):
            if id(module) not in layers:
                layers[id(module)] = _linear(module, weights)
            model.set_submodule(name, layers[id(module)])
            model.converted = True  # type: ignore[assignment]
    return model


def was_converted(model: nn.Module) -> bool:
    """Return whether layers of this model, or of the one that peft wrapped, were converted."""
    return bool(getattr(model, "converted", False))


def _linear(conv: Conv1D, weights: dict[int, nn.Parameter]) -> nn.Linear:
    from torch import nn

    old = conv.weight
    if id(old) not in weights:
        weights[id(old)] = nn.Parameter(old.detach().t().contiguous(), requires_grad=old.requires_grad)
    linear = nn.Linear(conv.nx, conv.nf, device="meta")
    linear.weight, linear.bias = weights[id(old)], conv.bias
    linear.train(conv.training)
    return linear
