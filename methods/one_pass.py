"""Runs of one method that share a seed, as one model: where a layer has an adapter, it has each run's.

What goes through such a model is a batch as many times as there are runs, one after the other. Each run's part meets
its own adapter and nothing else's, so that neither values nor gradients mix; the frozen weights are read once for all.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from methods.errors import MethodError
from methods.peft_layers import scaled
from methods.prepare import trainable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from methods.base import Method

    Stack = Callable[[torch.Tensor], nn.Parameter]


@contextmanager
def stacked(module: nn.Module, runs: Sequence[Method]) -> Iterator[dict[str, nn.Parameter]]:
    """Within, have `module`, to which the first of these methods was applied, compute the adapters of all.

    They differ in nothing but their `free_in_one_pass`. The module takes a batch once for each run, [runs · b, …], and
    returns as many logits. Yields every run's values [runs, …] of each parameter that trains, under its name in the
    module; they begin as the module's own.

    Raises MethodError where something trains that can't be computed so; the module is as it was then, as it is after.
    """
    names = {id(parameter): name for name, parameter in trainable(module).items()}
    values: dict[str, nn.Parameter] = {}

    def stack(parameter: torch.Tensor) -> nn.Parameter:
        stack = nn.Parameter(parameter.detach().expand(len(runs), *parameter.shape).clone())
        values[names[id(parameter)]] = stack
        return stack

    put_aside: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for parent, name, layer in list(_adapted(module)):
            setattr(parent, name, _stacked(layer, runs, stack))
            put_aside.append((parent, name, layer))
        if missing := set(names.values()) - values.keys():
            raise MethodError(f"{runs[0].name} can't train in one pass: nothing computes {', '.join(sorted(missing))}")
        yield values
    finally:
        for parent, name, layer in put_aside:
            setattr(parent, name, layer)


def _adapted(parent: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Yield the layers that can be stacked and have something that trains, each with its parent and its name there."""
    from peft.tuners.ia3.layer import Linear as IA3Layer
    from peft.tuners.lora.layer import Linear as LoraLayer

    for name, child in parent.named_children():
        if isinstance(child, LoraLayer | IA3Layer) or (type(child) is nn.Linear and child.weight.requires_grad):
            yield parent, name, child
        else:
            yield from _adapted(child)


def _stacked(layer: Any, runs: Sequence[Method], stack: Stack) -> nn.Module:  # noqa: ANN401
    if type(layer) is nn.Linear:
        return _Head(layer, stack)
    return _Lora(layer, runs, stack) if hasattr(layer, "lora_A") else _IA3(layer, stack)


class _Lora(nn.Module):
    """A frozen layer and the low-rank updates of all runs."""

    scales: torch.Tensor

    def __init__(self, layer: Any, runs: Sequence[Method], stack: Stack) -> None:  # noqa: ANN401
        super().__init__()
        (adapter,) = layer.active_adapters
        if layer.lora_variant or not isinstance(layer.lora_dropout[adapter], nn.Identity):
            raise MethodError(f"{runs[0].name} can't train in one pass: it is more than a low-rank update")
        self.base_layer = layer.base_layer
        self.down, self.up = stack(layer.lora_A[adapter].weight), stack(layer.lora_B[adapter].weight)
        scales = [layer.scaling[adapter] * _alpha(run) / _alpha(runs[0]) for run in runs]
        self.register_buffer("scales", self.up.new_tensor(scales).view(-1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer and each run's update make of its part of x, [runs · b, …, in]."""
        base = self.base_layer(x)
        rows = x.reshape(len(self.down), -1, x.shape[-1])
        low = torch.bmm(rows, self.down.transpose(1, 2))
        added = torch.baddbmm(base.view(*low.shape[:2], -1), low, (self.up * self.scales).transpose(1, 2))
        return added.view(base.shape)


def _alpha(run: Any) -> float:  # noqa: ANN401
    """Return what the update is proportional to: the field has peft's name where the method is made of peft's."""
    return float(run.alpha if hasattr(run, "alpha") else run.lora_alpha)


class _IA3(nn.Module):
    """A frozen layer and the scales of all runs, on its output, or on its input where peft has them there."""

    def __init__(self, layer: Any, stack: Stack) -> None:  # noqa: ANN401
        super().__init__()
        (adapter,) = layer.active_adapters
        self.base_layer, self.of_input = layer.base_layer, layer.is_feedforward
        self.scales = stack(layer.ia3_l[adapter])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer and each run's scales make of its part of x, [runs · b, …, in]."""
        return self.base_layer(self._scaled(x)) if self.of_input else self._scaled(self.base_layer(x))

    def _scaled(self, x: torch.Tensor) -> torch.Tensor:
        scales = self.scales.flatten(1).unsqueeze(1)
        return scaled(x.reshape(len(scales), -1, x.shape[-1]), scales).view(x.shape)


class _Head(nn.Module):
    """The classification heads of all runs."""

    def __init__(self, head: nn.Linear, stack: Stack) -> None:
        super().__init__()
        self.weight = stack(head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits [runs · b, styles] of x [runs · b, width], which is read in float32."""
        rows = x.to(self.weight.dtype).view(len(self.weight), -1, x.shape[-1])
        return torch.bmm(rows, self.weight.transpose(1, 2)).flatten(0, 1)
