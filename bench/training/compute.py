"""Deterministic cost: what one fixed training step computes and holds, the same on every machine to the digit.

The step runs on the CPU in fp32 with garbage collection off, on passages of fixed length and made-up tokens; torch's
dispatcher shows every operator and every storage it makes. Large matrix products are counted, and not computed.
"""

from __future__ import annotations

import gc
import math
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from bench.data import TokenSplit
from bench.store.record import Compute
from bench.training.train import Fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.model.forward import Forward
    from bench.spec import TrainingSpec
    from methods import Method

PASSAGES, TOKENS = 4, 64
"""The fixed batch: four passages of 64 tokens, or of as many as the study reads."""

_ATEN = torch.ops.aten
FORMULAS = {
    **flop_registry,
    # torch counts attention on a GPU only
    _ATEN._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
        q.shape, k.shape, v.shape
    ),
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, **__: (
        sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape)
    ),
}
_PRODUCTS: dict[Any, Callable[..., tuple[int, ...]]] = {
    _ATEN.mm: lambda a, b: (len(a), b.shape[1]),
    _ATEN.addmm: lambda _, a, b: (len(a), b.shape[1]),
    _ATEN.bmm: lambda a, b: (*a.shape[:2], b.shape[2]),
    _ATEN.baddbmm: lambda _, a, b: (*a.shape[:2], b.shape[2]),
}
"""The shape of what each matrix product gives."""
_LARGE = 10**8
"""Products of so many floating-point operations aren't computed: those with frozen weights, nearly all of the time."""


class Meter(TorchDispatchMode):
    """Counts operators and floating-point operations, and follows the bytes of all storages that are alive.

    A large matrix product gives zeros: the figures depend on shapes, and need no arithmetic. `held` are tensors that
    exist already, a model's parameters say; they count from the beginning.
    """

    def __init__(self, held: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.operators = self.live_bytes = self.peak_bytes = 0
        self._known: set[int] = set()
        for tensor in held:
            self._follow(tensor)

    def __torch_dispatch__(  # torch's own signature
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func._overloadpacket not in FORMULAS:
            with self:  # in inference mode autograd doesn't break a linear layer into the operators that are counted
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        result = _zeros(func, args)
        if result is None:
            result = func(*args, **(kwargs or {}))
        self.operators += 1
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._follow(leaf)
        return result

    def _follow(self, tensor: torch.Tensor) -> None:
        if tensor.layout is torch.sparse_coo:  # it has no storage of its own
            self._follow(tensor._values())
            self._follow(tensor._indices())
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._release, key, size)

    def restart(self) -> None:
        """Count from here: what is alive stays so."""
        self.flops = self.operators = 0
        self.peak_bytes = self.live_bytes

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live_bytes -= size


def _zeros(func: Any, args: tuple[Any, ...]) -> torch.Tensor | None:  # noqa: ANN401
    """Return zeros in place of what a large product of dense matrices gives; None where it isn't one."""
    shape_of = _PRODUCTS.get(func._overloadpacket)
    if shape_of is None or any(matrix.layout is not torch.strided for matrix in args):
        return None
    shape, summed = shape_of(*args), args[-1].shape[-2]
    return args[-1].new_zeros(shape) if 2 * math.prod(shape) * summed >= _LARGE else None


def fixed_step(
    forward: Forward, method: Method, spec: TrainingSpec, vocabulary: int, end: int | None = None
) -> Compute:
    """Measure one optimizer step, the second, on a fresh module on the CPU in fp32, through the harness's own code.

    `end` is the token that each passage ends with, for a model that looks for it. A method with nothing to train, or
    that is fitted to features, is measured on a pass without gradients. The peak includes the weights and the
    optimizer's state.
    """
    split = _fixed_split(tokens(spec.max_length), vocabulary, forward.pad_id, end, forward.styles)
    module = forward.module
    steps = any(p.requires_grad for p in module.parameters()) and not hasattr(method, "fit")
    rows = np.arange(PASSAGES)
    with metered(module) as meter:
        if steps:
            fitting = Fitting(forward, method, split, spec, watch=_nobody)
            fitting.step(rows[:1])  # the first makes the optimizer's state, whatever its batch
            meter.restart()
            fitting.step(rows)
        else:
            with torch.no_grad():
                forward(split, rows)
    return Compute(live_peak_bytes=meter.peak_bytes, flops=meter.flops, operators=meter.operators)


def tokens(max_length: int) -> int:
    """Return how many tokens a passage of the fixed batch has."""
    return min(TOKENS, max_length)


def _fixed_split(length: int, vocabulary: int, pad_id: int, end: int | None, styles: int) -> TokenSplit:
    words = np.setdiff1d(np.arange(vocabulary, dtype=np.int32), [pad_id, -1 if end is None else end])
    texts = np.resize(words, (PASSAGES, length)).astype(np.int32)
    if end is not None:
        texts[:, -1] = end
    return TokenSplit(
        ids=texts.ravel(),
        offsets=np.arange(PASSAGES + 1, dtype=np.int64) * length,
        labels=np.arange(PASSAGES, dtype=np.int64) % styles,
    )


def _nobody(phase: str, done: int, total: int, loss: float | None = None, epoch: object = None) -> None:
    """Nobody waits for a measurement."""


@contextmanager
def metered(module: torch.nn.Module) -> Iterator[Meter]:
    """Meter what is computed within, the module's weights included in its bytes.

    Garbage collection, whose moment depends on what ran before, is kept from freeing tensors meanwhile.
    """
    gc.collect()
    gc.disable()
    try:
        with Meter([*module.parameters(), *module.buffers()]) as meter:
            yield meter
    finally:
        gc.enable()
