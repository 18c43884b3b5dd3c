"""Frozen weights laid out once for the processor's matrix products, in place of their plain copies.

A matrix product copies its operands into blocks that fit the processor's registers and caches. A frozen weight can be
copied once for all steps: on 2 cores of an AMD EPYC a linear layer of GPT-2 124M is a quarter faster so in fp32, and a
twentieth in bf16. The layouts are oneDNN's, reached by the operators that torch's compiler uses for the same purpose
(torch/_inductor/mkldnn_lowerings.py). They are private to torch: where one is missing or refuses, as in bf16 on a
processor without AVX-512, the layer is computed plainly.
"""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from peft.utils import ModulesToSaveWrapper
from torch import nn
from torch.utils._pytree import tree_map_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REFUSALS = (AttributeError, RuntimeError, TypeError)
"""What an operator raises that this torch doesn't have, that takes other arguments, or that can't serve these."""


@contextmanager
def prepacked(module: nn.Module) -> Iterator[Callable[[], int]]:
    """Within, compute the frozen linear layers of `module` from weights in oneDNN's layout. On x86; elsewhere as ever.

    A layout for the backward pass is made when it is first needed, and takes as many bytes as the weight; that for the
    forward pass stands in the plain weight's place. A weight that anything else reads or changes, as some methods do,
    becomes plain again, and its layer is computed as ever from then on. So does one that oneDNN can't serve.

    Yields a function that counts the layers whose weights are in a layout at that moment.
    """
    layouts = _lay_out(_served(module)) if _available() else []
    try:
        yield lambda: sum(each.used for each in layouts)
    finally:
        for each in layouts:
            each.plain()


def _available() -> bool:
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _lay_out(layers: list[nn.Linear]) -> list[_Layouts]:
    """Lay out the layers that can be."""
    made = []
    for layer in layers:
        with suppress(*_REFUSALS):
            made.append(_Layouts(layer))
    return made


def _served(module: nn.Module) -> list[nn.Linear]:
    """Return the frozen linear layers whose weights are theirs alone, but for heads that peft trains a copy of."""
    wrapped = [part.original_module for part in module.modules() if isinstance(part, ModulesToSaveWrapper)]
    put_aside = {id(layer) for head in wrapped for layer in head.modules()}
    owners = Counter(map(id, (weight for _, weight in module.named_parameters(remove_duplicate=False))))
    return [
        layer
        for layer in module.modules()
        if type(layer) is nn.Linear
        and id(layer) not in put_aside
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

    @property
    def used(self) -> bool:
        """Whether the weight is in a layout."""
        return self._forward is not None

    def plain(self) -> torch.Tensor:
        """Give the layer its own weight back, and return it."""
        if self._forward is not None:
            with torch.inference_mode(mode=False):
                self._weight.data = self._forward.to_dense()
            self._forward = self._backward = None
            self._layer.weight = self._weight
        return self._weight

    def product(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return x W^T + b, [n, out], for x [n, in], without a gradient."""
        if self._forward is not None:
            try:
                return _linear(x, self._forward, bias)
            except _REFUSALS:
                self.plain()
        return nn.functional.linear(x, self._weight, bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of x [n, in] for that of x W^T [n, out], without a gradient of its own."""
        if self._forward is not None:  # else the weight was asked for after the forward pass
            try:
                if self._backward is None:
                    self._backward = _laid_out(self._forward.to_dense().t().contiguous())
                return _linear(gradient, self._backward, None)
            except _REFUSALS:
                self.plain()
        return gradient @ self._weight


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
                return _product(x.to(weight.dtype), weight, bias)
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


def _product(x: torch.Tensor, weight: _Absent, bias: torch.Tensor | None) -> torch.Tensor:
    """Return x W^T + b, [..., out], for x [..., in]."""
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    found: torch.Tensor = _Product.apply(rows, weight.layouts, bias, False)  # type: ignore[no-untyped-call]
    # not within _Product: autograd forbids changing in place, as some methods do, a view that was made there
    return found if x.ndim == 2 else found.view(*x.shape[:-1], weight.shape[0])


class _Product(torch.autograd.Function):
    """The product of a layer, or with `back` that of its gradient; each one's gradient is the other."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: torch.Tensor,
        layouts: _Layouts,
        bias: torch.Tensor | None,
        back: bool,
    ) -> torch.Tensor:
        ctx.layouts, ctx.back = layouts, back
        return layouts.back(x) if back else layouts.product(x, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:  # noqa: ANN401
        return _Product.apply(gradient, ctx.layouts, None, not ctx.back), None, None, None  # type: ignore[no-untyped-call]


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return found


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
    return found
