"""Frozen weights laid out once for the processor's matrix products.

A matrix product copies its operands into blocks that fit the processor's registers and caches. A frozen weight can be
copied once for all steps: on 2 cores of an AMD EPYC a linear layer of GPT-2 124M is a quarter faster so in fp32, and a
sixth in bf16. The layouts are oneDNN's, reached by the operators that torch's compiler uses for the same purpose
(torch/_inductor/mkldnn_lowerings.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from methods import MethodError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def prepacked(module: nn.Module) -> Iterator[None]:
    """Within, compute the frozen linear layers of `module` from weights in oneDNN's layout. On x86; elsewhere as ever.

    A layout is made when it is first needed, forward and backward, and takes as many bytes as the weight.
    Raises MethodError at the end where a frozen weight is no longer what was laid out: what was computed is wrong then.
    """
    layers = _served(module) if _available() else {}
    for layer in layers.values():
        layer.__dict__["forward"] = _Prepacked(layer)
    try:
        yield
        changed = [name for name, layer in layers.items() if layer.__dict__["forward"].outdated()]
        if changed:
            raise MethodError(f"training changed {', '.join(changed)}, which it froze: let what changes require grad")
    finally:
        for layer in layers.values():
            del layer.__dict__["forward"]


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _served(module: nn.Module) -> dict[str, nn.Linear]:
    return {
        name: layer
        for name, layer in module.named_modules()
        if type(layer) is nn.Linear
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype in (torch.float32, torch.bfloat16)
        and not any(parameter.requires_grad for parameter in layer.parameters())
    }


class _Prepacked:
    """A frozen linear layer's forward pass."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer
        self._layouts: dict[bool, torch.Tensor] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b, [..., out], for x [..., in], in the weight's type."""
        found: torch.Tensor = _Product.apply(  # type: ignore[no-untyped-call]
            x.to(self._layer.weight.dtype), self
        )
        return found

    def outdated(self) -> bool:
        """Tell whether the weight has changed since it was laid out."""
        layout = self._layouts.get(False)
        return layout is not None and not torch.equal(layout.to_dense(), self._layer.weight)

    def product(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer computes, without a gradient."""
        return self._pointwise(x, self._layout(transposed=False), self._layer.bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the layer's input for that of its output."""
        return self._pointwise(gradient, self._layout(transposed=True), None)

    def _pointwise(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
        return found

    def _layout(self, *, transposed: bool) -> torch.Tensor:
        if transposed not in self._layouts:
            weight = self._layer.weight.detach()
            with torch.inference_mode(False):
                plain = weight.t().contiguous() if transposed else weight
                self._layouts[transposed] = torch.ops.mkldnn._reorder_linear_weight(plain)
        return self._layouts[transposed]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: _Prepacked) -> torch.Tensor:  # noqa: ANN401
        ctx.layer = layer
        return layer.product(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401
        return ctx.layer.back(gradient), None
