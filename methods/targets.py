"""Which layers a method adapts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from methods.errors import MethodError, did_you_mean
from methods.prepare import named_linears, named_pretrained

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn
    from transformers import PreTrainedModel

Targets = Annotated[tuple[str, ...], Field(min_length=1)] | None
"""Ends of layer names ("c_attn", "mlp.c_proj"); ("all-linear",) for all; one regular expression that whole names match;
None for peft's choice."""
_PATTERN = frozenset("*+?()[]{}|^$\\")
"""What stands in a regular expression and in no layer's name."""


def resolve_targets(
    method: str,
    model: PreTrainedModel,
    targets: Sequence[str] | None,
    by_architecture: Mapping[str, Sequence[str] | str],
) -> list[str] | str:
    """Return the names that peft is to look for.

    Without `targets` they come from peft's own mapping for the architecture, and for one that it doesn't know
    they are all linear layers of the backbone. A regular expression becomes the full names that match it as a whole.
    Raises MethodError for a name that no linear layer has, and for an expression that none matches.
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
    elif is_pattern(targets):
        targets = _matching(method, model, targets[0], adaptable, choices)
    for target in targets:
        if not any(matches(name, target) for name in adaptable):
            near = did_you_mean(target, choices)
            raise MethodError(
                f"{method}.targets: {type(model).__name__} has no linear layer {target!r}{near}; "
                f"it has {', '.join(choices)} (or all-linear)"
            )
    return list(targets)


def is_pattern(targets: Sequence[str]) -> bool:
    """Return whether it is one regular expression."""
    return len(targets) == 1 and not _PATTERN.isdisjoint(targets[0])


def _matching(
    method: str, model: PreTrainedModel, pattern: str, adaptable: Sequence[str], choices: Sequence[str]
) -> list[str]:
    try:
        found = [name for name in adaptable if re.fullmatch(pattern, name)]
    except re.error as error:
        raise MethodError(f"{method}.targets: {pattern!r} is no regular expression: {error}") from None
    if not found:
        example = adaptable[-1]
        raise MethodError(
            f"{method}.targets: {pattern!r} matches no layer of {type(model).__name__} as a whole; "
            f"it has {', '.join(choices)}, with names such as {example}"
        )
    return found


def adapted_layers(model: PreTrainedModel, targets: Sequence[str] | str) -> list[nn.Linear]:
    """Return the linear layers that the targets name."""
    wanted = [targets] if isinstance(targets, str) else targets
    return [layer for name, layer in named_linears(model) if any(matches(name, target) for target in wanted)]


def matches(name: str, target: str) -> bool:
    """Return whether `target` is the end of a layer's full name."""
    return name == target or name.endswith(f".{target}")
