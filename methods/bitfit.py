"""BitFit: the backbone's biases."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, ClassVar

from methods.base import LearningRate, Method, Plan
from methods.errors import MethodError
from methods.prepare import base_model
from methods.registry import register

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from transformers import PreTrainedModel


@register
class BitFit(Method):
    """Every bias of the backbone trains, in its linear layers and its norms, and the head; no weight does.

    On a bfloat16 backbone a bias is kept in float32, and rounded where its layer adds it.
    """

    name: ClassVar[str] = "bitfit"
    trains: ClassVar[str] = "every bias in the backbone, and the head"
    paper: ClassVar[str] = "Ben Zaken et al. 2022, arXiv 2106.10199"
    family: ClassVar[str] = "selective"
    learning_rate_source: ClassVar[str] = "the default of the authors' own program for GLUE"
    identity_at_start: ClassVar[bool] = True

    learning_rate: LearningRate = 1e-3

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Thaw the biases. Raises MethodError for a model that has none, as Llama."""
        biases = [
            (layer, bias)
            for layer in base_model(model).modules()
            for name, bias in layer.named_parameters(recurse=False)
            if name.endswith("bias")
        ]
        if not biases:
            raise MethodError(f"bitfit can't tune {type(model).__name__}: its backbone has no biases")
        for layer, bias in biases:
            bias.requires_grad_(True)
            if bias.element_size() < 4:
                _keep_in_float32(layer, bias)
        return model


def _keep_in_float32(layer: nn.Module, bias: nn.Parameter) -> None:
    """Keep the bias in float32 and have its layer use it in the type of the weight: torch takes no two types."""
    from torch import nn

    known: dict[object, Callable[..., Tensor]] = {nn.Linear.forward: _linear, nn.LayerNorm.forward: _layer_norm}
    compute = known.get(type(layer).forward)
    if compute is None:
        raise MethodError(
            f"bitfit can't keep the bias of a {type(layer).__name__} in float32 while its weight is in half precision; "
            "take the backbone in float32"
        )
    bias.data = bias.data.float()
    layer.forward = MethodType(compute, layer)


def _linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    from torch.nn import functional

    return functional.linear(inputs, layer.weight, layer.bias.to(layer.weight.dtype))


def _layer_norm(layer: nn.LayerNorm, inputs: Tensor) -> Tensor:
    from torch.nn import functional

    bias = layer.bias.to(layer.weight.dtype)
    return functional.layer_norm(inputs, layer.normalized_shape, layer.weight, bias, layer.eps)
