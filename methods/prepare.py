"""The backbone as every method gets it: linear layers, frozen but for a classification head in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from methods.conv1d import to_linear
from methods.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn
    from transformers import PreTrainedModel


def prepare(model: PreTrainedModel) -> None:
    """Turn `model` into what a method adapts, in place: only its head requires grad, and is kept in float32.

    The head turns what it reads into float32 itself, so that it follows a bfloat16 backbone, under autocast or not.
    """
    applied: Any = getattr(model, "applied_method", None)
    if applied is not None:
        raise MethodError(f"this model carries the method {applied.name!r} already; apply a method to a fresh one")
    heads = head_modules(model)
    to_linear(model)
    model.requires_grad_(False)
    for head in heads.values():
        head.float().requires_grad_(True)
        head.register_forward_pre_hook(_read_in_float32)


def _read_in_float32(head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Cast what the head reads to the type of its parameters."""
    return (inputs[0].to(next(head.parameters()).dtype), *inputs[1:])


def base_model(model: PreTrainedModel) -> nn.Module:
    """Return the pretrained part of a model for classification; raise MethodError where there is none."""
    from torch import nn

    base = getattr(model, getattr(model, "base_model_prefix", ""), None)
    if not isinstance(base, nn.Module) or base is model:
        raise MethodError(f"{type(model).__name__} has no classification head on a pretrained model; {REMEDY}")
    return base


REMEDY = "load the backbone with AutoModelForSequenceClassification"


def count_to_head(model: PreTrainedModel, parts: Sequence[str]) -> None:
    """Let `parts` of the pretrained model, modules by name, be parts of the head: no pretraining gave them weights."""
    model.parts_of_head = tuple(parts)  # type: ignore[assignment]


def head_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the classification head by name, in the order in which it computes: all that trains with every method.

    That is what transformers puts beside the pretrained model, and before it what `count_to_head` named: a BERT's
    pooler is pretrained, and so belongs to the backbone, unless the checkpoint has none. Raises MethodError where
    there is no head.
    """
    inside: Any = getattr(model, "parts_of_head", ())
    return {name: model.get_submodule(name) for name in inside} | modules_beside_base(model)


def modules_beside_base(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return by name what transformers puts beside the pretrained model to classify; raise MethodError without any.

    That is `score` on GPT-2 and Llama, `classifier` on BERT, `pre_classifier` and `classifier` on DistilBERT.
    """
    base = base_model(model)
    heads = {name: child for name, child in model.named_children() if child is not base and list(child.parameters())}
    widths = {parameter.shape[0] for head in heads.values() for parameter in head.parameters()}
    if model.config.num_labels not in widths:
        raise MethodError(f"{type(model).__name__} has no classification head; {REMEDY}")
    return heads


def named_linears(model: PreTrainedModel) -> Iterator[tuple[str, nn.Linear]]:
    """Yield the linear layers of the pretrained part with their full names in `model`, but for the head's."""
    from torch import nn

    for name, module in named_pretrained(model):
        if isinstance(module, nn.Linear):
            yield name, module


def named_pretrained(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of the pretrained part with their full names in `model`, but for the head's."""
    inside = {id(module) for module in base_model(model).modules()}
    inside -= {id(module) for head in head_modules(model).values() for module in head.modules()}
    for name, module in model.named_modules():
        if id(module) in inside:
            yield name, module


def trainable(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that train, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
