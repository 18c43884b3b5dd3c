"""From passages to logits: how a module is fed, on which device and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.data import collate, parts_of_similar_length
from bench.model import packed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import GPT2ForSequenceClassification

    from bench.data import TokenSplit
    from bench.machine.facts import Device, Dtype


PART_OVERHEAD = 64
"""What a part of a padded batch costs for itself, in tokens: reading the weights, starting the operators."""


@dataclass(frozen=True)
class Forward:
    """Computes an adapted model: packed where that module can, else padded on the right to the longest passage."""

    module: torch.nn.Module
    device: Device
    dtype: Dtype
    pad_id: int
    styles: int

    def __call__(self, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the logits of the passages `rows`, [b, styles] in fp32 on the device."""
        with self._precision():
            if self._model is not None:
                found = self._model.score(self._packed_features(self._model, split, rows))
            else:
                ids, mask = self._padded(split, rows)
                found = self.module(input_ids=ids, attention_mask=mask).logits
        return found.float()  # type: ignore[no-any-return]

    def parts(self, split: TokenSplit, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cut a training batch into what is computed at once: all of it packed, or parts that need little padding."""
        if self._model is not None:
            return [rows]
        return [rows[part] for part in parts_of_similar_length(split.lengths[rows], PART_OVERHEAD)]

    def slots(self, split: TokenSplit, rows: NDArray[np.int64]) -> int:
        """Return how many token positions the linear layers compute for the batch, padding included."""
        lengths = split.lengths[rows]
        if self._model is None:
            return int(len(rows) * lengths.max())
        return packed.places(lengths, self._model.config.n_embd)

    def head_input(self, head: torch.nn.Module, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return what `head`, the module's classification head, reads of the passages: [b, width] in fp32."""
        with self._precision():
            if self._model is not None:
                return self._packed_features(self._model, split, rows).float()
            ids, mask = self._padded(split, rows)
            read: list[torch.Tensor] = []
            with head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]), prepend=True):
                self.module(input_ids=ids, attention_mask=mask)
        if read[0].ndim == 3:  # one for each token; the model pools the logits of the last
            return read[0][torch.arange(len(rows)), mask.sum(dim=1) - 1].float()
        return read[0].float()

    @cached_property
    def _model(self) -> GPT2ForSequenceClassification | None:
        return packed.gpt2(self.module)

    def _packed_features(
        self, model: GPT2ForSequenceClassification, split: TokenSplit, rows: NDArray[np.int64]
    ) -> torch.Tensor:
        order = np.argsort(-split.lengths[rows], kind="stable")
        lengths = split.lengths[rows[order]]
        ids = np.full(packed.places(lengths, model.config.n_embd), self.pad_id, dtype=np.int64)
        ids[: lengths.sum()] = np.concatenate([split.row(int(row)) for row in rows[order]])
        found = packed.features(self.module, torch.from_numpy(ids).to(self.device), lengths)
        return found.index_select(0, torch.from_numpy(np.argsort(order)).to(self.device))

    def _padded(self, split: TokenSplit, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask, _ = collate(split, rows, self.pad_id)
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    def _precision(self) -> AbstractContextManager[object]:
        if self.dtype == "bf16":
            return torch.autocast(self.device, dtype=torch.bfloat16)
        return nullcontext()
