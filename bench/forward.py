"""From passages to logits: how a module is fed, on which device and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.data import collate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.data import TokenSplit
    from bench.machine import Device, Dtype


@dataclass(frozen=True)
class Forward:
    """Feeds a module with batches that are padded on the right to their longest passage."""

    module: torch.nn.Module
    device: Device
    dtype: Dtype
    pad_id: int
    styles: int

    def __call__(self, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the logits of the passages `rows`, [b, styles] in fp32 on the device."""
        ids, mask, _ = collate(split, rows, self.pad_id)
        with self._precision():
            output = self.module(
                input_ids=torch.from_numpy(ids).to(self.device), attention_mask=torch.from_numpy(mask).to(self.device)
            )
        return output.logits.float()  # type: ignore[no-any-return]

    def slots(self, split: TokenSplit, rows: NDArray[np.int64]) -> int:
        """Return how many token positions the batch takes, padding included."""
        return len(rows) * int(split.lengths[rows].max())

    def _precision(self) -> AbstractContextManager[object]:
        if self.dtype == "bf16":
            return torch.autocast(self.device, dtype=torch.bfloat16)
        return nullcontext()
