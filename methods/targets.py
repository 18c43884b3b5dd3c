"""Which layers a method adapts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from methods.errors import MethodError, did_you_mean
from methods.prepare import named_linears

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedModel

Targets = Annotated[tuple[str, ...], Field(min_length=1)] | None
"""Ends of layer names ("c_attn", "mlp.c_proj"); ("all-linear",) for all; None for peft's choice."""


def resolve_targets(
    method: str, model: PreTrainedModel, targets: Sequence[str] | None, by_architecture: Mapping[str, list[str] | str]
) -> list[str] | str:
    """Return the names that peft is to look for.

    Without `targets` they come from peft's own mapping for the architecture, and for one that it doesn't know
    they are all linear layers of the backbone. Raises MethodError for a name that no linear layer has.
    """
    names = [name for name, _ in named_linears(model)]
    choices = sorted({name.rpartition(".")[2] for name in names})
    if targets is None:
        known = by_architecture.get(model.config.model_type, choices)
        if isinstance(known, str):
            return known
        targets = known
    elif tuple(targets) == ("all-linear",):
        targets = choices
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            near = did_you_mean(target, choices)
            raise MethodError(
                f"{method}.targets: {type(model).__name__} has no linear layer {target!r}{near}; "
                f"it has {', '.join(choices)} (or all-linear)"
            )
    return list(targets)
