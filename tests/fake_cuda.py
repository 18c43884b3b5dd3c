"""A GPU that isn't there: torch's fake tensors on `cuda`, which have a shape, a precision and a device, but no numbers.

What is computed on them goes by the rules of CUDA: operands on two devices, or of two precisions where an operator
takes one, raise as they would there, and autocast casts as it would there. What comes out, and how long that takes,
they don't tell. A build of torch for the CPU lacks three things for it, which have stand-ins here: a guard that makes a
device the current one, autograd's engine for it, and the choice of a kernel for attention.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.utils import import_utils

from bench.model.transfer import placed

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATEN = torch.ops.aten
_WITHOUT_KERNEL = {_ATEN.empty, _ATEN.empty_like, _ATEN.empty_strided, _ATEN.new_empty, _ATEN._unsafe_view}
_ANSWERS = {
    *(_ATEN._local_scalar_dense, _ATEN.equal, _ATEN.nonzero, _ATEN.masked_select, _ATEN._unique2),
    *(_ATEN._linalg_check_errors, _ATEN._linalg_eigh, _ATEN._linalg_svd),
}
"""Of these the host wants to know at once what was found: a number, how many there are, or whether it went well."""
_OF_ONE_PRECISION = {
    *(_ATEN.mm, _ATEN.addmm, _ATEN.bmm, _ATEN.baddbmm, _ATEN.mv, _ATEN.addmv, _ATEN.dot, _ATEN.convolution),
    _ATEN.native_layer_norm,
}
"""These raise on CUDA where their operands are of several precisions; fake tensors don't know."""
_GUARDS = "_ZN3c104impl26device_guard_impl_registryE"
"""The guards of all types of device, by their numbers, in torch's library c10."""
_CUDA, _META = 1, 14


class Gpu(TorchDispatchMode):
    """Counts what is given to the GPU.

    `kernels` are operators that compute, so that something is started for each; `casts` are those among them that only
    bring floating-point numbers to another precision. `waits` names those that the host waits for, each with how often.
    Who reads a number there is told 1, and who asks whether something is so, that it isn't.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self.kernels = self.casts = 0
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operator, options = func.overloadpacket, kwargs or {}
        if func.namespace != "aten":
            return func(*args, **options)
        if operator in (_ATEN.pin_memory, _ATEN._pin_memory):  # which fake tensors don't know
            result = args[0].clone()
            result.pinned = True
            return result
        with self:  # in inference mode autograd doesn't break an operator into those that have a kernel
            result = func.decompose(*args, **options)
        if result is not NotImplemented:
            return result
        self._count(func, [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, torch.Tensor)], options)
        if operator is _ATEN._local_scalar_dense:
            return 1.0 if args[0].is_floating_point() else int(args[0].dtype is not torch.bool or not args[0].is_cuda)
        if operator is _ATEN.repeat_interleave:
            options = {"output_size": args[0].numel(), **options}
        if operator is _ATEN.index:
            args = args[0], [places for each in args[1] for places in _places(each)]
        return func(*args, **options)

    def _count(self, func: Any, inputs: list[torch.Tensor], options: dict[str, Any]) -> None:
        operator = func.overloadpacket
        on_gpu = any(each.device.type == "cuda" for each in inputs) or "cuda" in str(options.get("device"))
        if not on_gpu or _is_view(func) or operator in _WITHOUT_KERNEL:
            return
        self.kernels += 1
        if operator in _OF_ONE_PRECISION and len({each.dtype for each in inputs}) > 1:
            raise RuntimeError(f"{func}: operands are not of the same dtype: {[each.dtype for each in inputs]}")
        if operator is _ATEN._to_copy and inputs[0].is_floating_point():
            self.casts += options.get("dtype", inputs[0].dtype) != inputs[0].dtype
        if _waits(operator, inputs, options):
            self.waits[operator._qualified_op_name.removeprefix("aten::")] += 1


def _is_view(func: Any) -> bool:
    """Tell whether an operator only looks at its operand in another way."""
    aliases = [each.alias_info for each in func._schema.returns]
    return bool(aliases) and all(each is not None and not each.is_write for each in aliases)


def _waits(operator: Any, inputs: list[torch.Tensor], options: dict[str, Any]) -> bool:
    """Tell whether the host waits for what an operator finds, or for a copy to or from memory that may move."""
    if operator in _ANSWERS:
        return True
    if operator is _ATEN.repeat_interleave:
        return options.get("output_size") is None
    if operator in (_ATEN.index, _ATEN.index_put, _ATEN.index_put_):  # places where something is true: how many?
        return any(each.dtype is torch.bool for each in inputs[1:])
    if operator not in (_ATEN._to_copy, _ATEN.copy_):
        return False
    source = inputs[-1]
    target = torch.device(options.get("device") or source.device) if operator is _ATEN._to_copy else inputs[0].device
    pinned = bool(options.get("non_blocking")) and getattr(source, "pinned", False)
    return target.type != source.device.type and source.numel() > 0 and not pinned


def _places(index: torch.Tensor | None) -> list[torch.Tensor | None]:
    """Return places in place of what is true there: all of them, as nobody knows where it is."""
    if index is None or index.dtype is not torch.bool:
        return [index]
    return [index.new_zeros(index.numel(), dtype=torch.long)] * index.ndim


@contextmanager
def fake_gpu() -> Iterator[Gpu]:
    """Within, there is such a GPU; what was on the CPU before can be moved to it."""
    with pytest.MonkeyPatch.context() as patch, _guard(), FakeTensorMode(allow_non_fake_inputs=True), _Rules():
        for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved"):
            patch.setattr(torch.cuda, name, lambda: 0)
        patch.setattr(torch.cuda, "Event", _Event)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.Tensor, "backward", _backward)
        patch.setattr(FakeTensor, "numpy", lambda self: np.zeros(self.shape, dtype=np.float32), raising=False)
        patch.setattr(import_utils, "is_fake_tensor", lambda _: False)  # transformers takes them for a compiler's
        with Gpu() as gpu:
            yield gpu


def moved(module: nn.Module) -> nn.Module:
    """Return the module, its parameters and buffers on the GPU, as `to` moves them but for their identity."""
    shared: dict[torch.Tensor, list[tuple[dict[str, Any], str]]] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                shared.setdefault(parameter, []).append((part._parameters, name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.utils, "swap_tensors", lambda *_: None)  # of what is there already
        placed(module, "cuda")
    for (owner, own), *others in shared.values():
        for other, name in others:
            other[name] = owner[own]
    return module


@contextmanager
def _guard() -> Iterator[None]:
    """Within, CUDA has a device guard, that of meta tensors, which does nothing."""
    (library,) = (Path(torch.__file__).parent / "lib").glob("*c10.*")
    guards = (ctypes.c_void_p * (_META + 1)).in_dll(ctypes.CDLL(str(library)), _GUARDS)
    before = guards[_CUDA]
    guards[_CUDA] = before or guards[_META]
    try:
        yield
    finally:
        guards[_CUDA] = before


class _Event:
    """A moment of the GPU's."""

    def __init__(self, enable_timing: bool) -> None: ...

    def record(self) -> None: ...

    def elapsed_time(self, end: _Event) -> float:
        return 1.0


class _Rules(TorchFunctionMode):
    """`cuda` is its first device, since nobody can be asked for the current one; attention takes CUDA's kernel."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = [_first(each) for each in args], {name: _first(each) for name, each in (kwargs or {}).items()}
        if func is functional.scaled_dot_product_attention and args[0].device.type == "cuda":
            return _attention(*args, **kwargs)
        if func is torch.Tensor.tolist:  # at once, where fake tensors are asked for each number
            args = [args[0].cpu()]
        return func(*args, **kwargs)


def _first(argument: Any) -> Any:
    named = isinstance(argument, str | torch.device) and str(argument) == "cuda"
    return torch.device("cuda", 0) if named else argument


def _attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """What `scaled_dot_product_attention` does on CUDA before the memory-efficient kernel, and that."""
    mask = attn_mask
    if torch.is_autocast_enabled("cuda"):
        precision = torch.get_autocast_dtype("cuda")
        queries, keys, values = (each.to(precision) for each in (queries, keys, values))
        mask = mask.to(precision) if mask is not None and mask.is_floating_point() else mask
    assert queries.dtype == keys.dtype == values.dtype
    if enable_gqa:
        keys, values = (each.repeat_interleave(queries.shape[1] // each.shape[1], 1) for each in (keys, values))
    if mask is not None:
        if mask.dtype is torch.bool:
            mask = torch.zeros_like(mask, dtype=queries.dtype).masked_fill_(mask.logical_not(), -torch.inf)
        assert mask.dtype == queries.dtype
        if any(stride % 8 for stride in mask.stride()[:-1]):
            mask = functional.pad(mask, (0, -mask.shape[-1] % 8))[..., : mask.shape[-1]]
        mask = mask.expand(*queries.shape[:-1], keys.shape[2])
    back = torch.is_grad_enabled() and any(each.requires_grad for each in (queries, keys, values))
    return _ATEN._scaled_dot_product_efficient_attention(  # type: ignore[no-any-return]
        queries, keys, values, mask, back, dropout_p, is_causal, scale=scale
    )[0]


@torch.no_grad()
def _backward(loss: torch.Tensor) -> None:
    """Go back through the graph as autograd's engine does; that one asks for an accelerator's stream."""
    root: Any = loss.grad_fn
    waits_for: Counter[Any] = Counter()
    graph, found = [root], {root}
    for node in graph:
        after = [other for other, _ in node.next_functions if other is not None]
        waits_for.update(after)
        graph += [other for other in dict.fromkeys(after) if other not in found]
        found.update(after)
    given: dict[Any, list[torch.Tensor | None]] = {root: [torch.ones_like(loss)]}
    ready = [root]
    while ready:
        node = ready.pop()
        gradients = [_fitted(*each) for each in zip(given.pop(node), node._input_metadata, strict=True)]
        if hasattr(node, "variable"):
            (gradient,), variable = gradients, node.variable
            if gradient is not None:
                variable.grad = gradient if variable.grad is None else variable.grad + gradient
            continue
        results = node(*gradients) if not hasattr(node, "apply") else node.apply(*gradients)
        results = results if isinstance(results, tuple) else (results,)
        for (other, place), result in zip(node.next_functions, results, strict=False):
            if other is None:
                continue
            into = given.setdefault(other, [None] * len(other._input_metadata))
            if result is not None:
                into[place] = result if into[place] is None else into[place] + result
            waits_for[other] -= 1
            if not waits_for[other]:
                ready.append(other)


def _fitted(gradient: torch.Tensor | None, wanted: Any) -> torch.Tensor | None:
    """Bring a gradient to the shape and the precision of what it is the gradient of."""
    if gradient is None:
        return None
    assert gradient.device == wanted.device
    if gradient.shape != wanted.shape:
        gradient = gradient.sum_to_size(wanted.shape)
    return gradient.to(wanted.dtype)
