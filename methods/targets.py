"""Which layers a method adapts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from methods.errors import MethodError, did_you_mean
from methods.prepare import named_linears, named_pretrained

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn
    from transformers import PreTrainedModel

Targets = Annotated[tuple[str, ...], Field(min_length=1)] | None
"""Ends of layer names ("c_attn", "mlp.c_proj"); ("all-linear",) for all; None for peft's choice."""


def resolve_targets(
    method: str,
    model: PreTrainedModel,
    targets: Sequence[str] | None,
    by_architecture: Mapping[str, Sequence[str] | str],
) -> list[str] | str:
    """Return the names that peft is to look for.

    Without `targets` they come from peft's own mapping for the architecture, and for one that it doesn't know
    they are all linear layers of the backbone. Raises MethodError for a name that no linear layer has.
    """
    adaptable = [name for name, _ in named_pretrained(model)]
    choices = sorted({name.rpartition(".")[2] for name, _ in named_linears(model)})
    if targets is None:
        known = by_architecture.get(model.config.model_type, choices)
        if isinstance(known, str):
            return known
        targets = known
    elif tuple(targets) == ("all-linear",):
        targets = choices
    for target in targets:
        if not any(_matches(name, target) for name in adaptable):
            near = did_you_mean(target, choices)
            raise MethodError(
                f"{method}.targets: {type(model).__name__} has no linear layer {target!r}{near}; "
                f"it has {', '.join(choices)} (or all-linear)"
            )
    return list(targets)


def adapted_layers(model: PreTrainedModel, targets: Sequence[str] | str) -> list[nn.Linear]:
    """Return the linear layers that the targets name."""
    wanted = [targets] if isinstance(targets, str) else targets
    return [layer for name, layer in named_linears(model) if any(_matches(name, target) for target in wanted)]


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
