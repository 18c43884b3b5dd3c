"""Frozen weights laid out once for the processor's matrix products, in place of their plain copies.

A matrix product copies its operands into blocks that fit the processor's registers and caches. A frozen weight can be
copied once for all steps: on 2 cores of an AMD EPYC a linear layer of GPT-2 124M is a quarter faster so in fp32, and a
twentieth in bf16. The layouts are oneDNN's, reached by the operators that torch's compiler uses for the same purpose
(torch/_inductor/mkldnn_lowerings.py).
"""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def prepacked(module: nn.Module) -> Iterator[None]:
    """Within, compute the frozen linear layers of `module` from weights in oneDNN's layout. On x86; elsewhere as ever.

    A layout for the backward pass is made when it is first needed, and takes as many bytes as the weight; that for the
    forward pass stands in the plain weight's place. A weight that anything else reads or changes, as some methods do,
    becomes plain again, and its layer is computed as ever from then on.
    """
    layouts = [_Layouts(layer) for layer in _served(module)] if _available() else []
    try:
        yield
    finally:
        for each in layouts:
            each.plain()


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _served(module: nn.Module) -> list[nn.Linear]:
    """Return the frozen linear layers whose weights are theirs alone."""
    owners = Counter(map(id, (weight for _, weight in module.named_parameters(remove_duplicate=False))))
    return [
        layer
        for layer in module.modules()
        if type(layer) is nn.Linear
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype in (torch.float32, torch.bfloat16)
        and not any(parameter.requires_grad for parameter in layer.parameters())
        and owners[id(layer.weight)] == 1
    ]


class _Layouts:
    """A frozen linear layer's weight in oneDNN's layout, forward and backward."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer, self._weight = layer, layer.weight
        self._forward: torch.Tensor | None = _laid_out(self._weight.detach())
        self._backward: torch.Tensor | None = None
        layer._parameters["weight"] = _Absent(self, self._weight)  # type: ignore[assignment]
        self._weight.data = self._weight.data.new_empty(0)

    def plain(self) -> torch.Tensor:
        """Give the layer its own weight back, and return it."""
        if self._forward is not None:
            with torch.inference_mode(mode=False):
                self._weight.data = self._forward.to_dense()
            self._forward = self._backward = None
            self._layer.weight = self._weight
        return self._weight

    def product(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return x W^T + b, [..., out], for x [..., in], without a gradient."""
        return _linear(x, self._forward, bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of x for that of x W^T."""
        if self._forward is None:  # the weight was asked for after the forward pass
            return gradient @ self._weight
        if self._backward is None:
            self._backward = _laid_out(self._forward.to_dense().t().contiguous())
        return _linear(gradient, self._backward, None)


_SETS = {torch.Tensor.data.__set__, torch.Tensor.requires_grad.__set__, torch.Tensor.requires_grad_}  # type: ignore[attr-defined]
"""What sets something of a tensor without an operation on it."""


class _Absent(torch.Tensor):
    """Stands for a weight that exists in layouts only.

    A linear layer's product is computed from them; any other operation makes the weight plain again and works on that.
    """

    layouts: _Layouts

    @staticmethod
    def __new__(cls: type[_Absent], layouts: _Layouts, like: torch.Tensor) -> _Absent:
        absent: _Absent = torch.Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype, device=like.device)
        absent.layouts = layouts
        absent._is_param = True  # what makes it an nn.Parameter
        return absent

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if func is nn.functional.linear and len(args) > 1 and isinstance(args[1], cls):
            x, weight, bias = (*args, (kwargs or {}).get("bias"))[:3]
            if bias is None or not bias.requires_grad:
                return _Product.apply(x.to(weight.dtype), weight.layouts, bias)  # type: ignore[no-untyped-call]
        if func in _SETS:
            args = (args[0].layouts.plain(), *args[1:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        args, kwargs = tree_map_only(cls, lambda absent: absent.layouts.plain(), (args, kwargs or {}))
        return func(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        return copy.deepcopy(self.layouts.plain(), memo)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layouts: _Layouts, bias: torch.Tensor | None) -> torch.Tensor:  # noqa: ANN401
        ctx.layouts = layouts
        return layouts.product(x, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:  # noqa: ANN401
        return ctx.layouts.back(gradient), None, None


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return found


def _linear(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
    return found
