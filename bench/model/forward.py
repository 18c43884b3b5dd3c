"""From passages to logits: how a module is fed, on which device and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from bench.data import collate, collate_types, eval_batches, even_eval_batches, parts_of_similar_length
from bench.model import packed
from bench.model.transfer import to_device
from methods import MethodError
from methods.prepare import base_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import GPT2ForSequenceClassification

    from bench.data import TokenSplit
    from bench.machine.facts import Device, Dtype
    from bench.model.language import LanguageHead

_SAME = 0.05
"""How far logits from the first token alone may be from a head's own, as a share of the largest; bfloat16 rounds."""

EVAL_BATCH_SIZE = 32

PART_OVERHEAD = 64
"""What a part of a padded batch costs for itself, in tokens: reading the weights, starting the operators."""


@dataclass(frozen=True)
class Forward:
    """Computes an adapted model: packed where that module can, else padded on the right to the longest passage.

    Where several runs are trained in one pass, which takes a packed module, a batch is computed in as many `copies`.
    """

    module: torch.nn.Module
    device: Device
    dtype: Dtype
    pad_id: int
    styles: int
    copies: int = field(default=1, kw_only=True)

    def __call__(self, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the logits of the passages `rows`, [copies · b, styles] in fp32 on the device."""
        with self._precision():
            if self._model is not None:
                found = self._model.score(self._packed_features(split, rows))
            else:
                found = self.module(**self._padded(split, rows)).logits
        return found.float()  # type: ignore[no-any-return]

    def parts(self, split: TokenSplit, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cut a training batch into what is computed at once: all of it packed, or parts that need little padding."""
        if self._model is not None:
            return [rows]
        return [rows[part] for part in parts_of_similar_length(split.lengths[rows], PART_OVERHEAD)]

    def eval_batches(self, split: TokenSplit) -> list[NDArray[np.int64]]:
        """Cut a split into what is evaluated at once: on CUDA, which would idle, more passages where they are short."""
        cut = even_eval_batches if self.device == "cuda" else eval_batches
        return cut(split.lengths, EVAL_BATCH_SIZE)

    def slots(self, split: TokenSplit, rows: NDArray[np.int64]) -> int:
        """Return how many token positions the linear layers compute for the batch, padding included."""
        lengths = split.lengths[rows]
        if self._model is None:
            return int(len(rows) * lengths.max())
        return packed.places(lengths, self._model.config.n_embd)

    def head_input(self, head: torch.nn.Module, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return what `head`, the module's classification head, makes the logits of the passages from, in fp32.

        That is [b, width], or [b, 1, width] for a head that takes all tokens' states and chooses the first of them
        itself, as RoBERTa's does. Raises MethodError for one that reads more than one token.
        """
        with self._precision():
            if self._model is not None:
                return self._packed_features(split, rows).float()
            padded = self._padded(split, rows)
            read: list[torch.Tensor] = []
            gave: list[torch.Tensor] = []
            with (
                head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]), prepend=True),
                head.register_forward_hook(lambda _, inputs, output: gave.append(output)),
            ):
                self.module(**padded)
            if read[0].ndim == 2:
                return read[0].float()
            if gave[0].ndim == 3:  # logits of each token, of which the model takes one's
                (ends,) = to_device([self._ends(split, rows)], self.device)
                return read[0][torch.arange(len(rows), device=self.device), ends].float()
            first = read[0][:, :1]
            if (head(first) - gave[0]).abs().max() > _SAME * gave[0].abs().max():
                raise MethodError(
                    f"the head of {type(self.module).__name__} reads more than one token of a text, so that what it "
                    "reads can't be kept; use --no-feature-cache"
                )
            return first.float()

    def next_token_losses(self, head: LanguageHead, ids: Sequence[int]) -> torch.Tensor:
        """Return the cross-entropy in nats of each token of a text but the first, given those before it, [t - 1] fp32.

        The adapted model reads the text alone, so that nothing is padded; its classification head doesn't count.
        """
        model = next(part for part in self.module.modules() if isinstance(part, PreTrainedModel))
        (text,) = to_device([np.array([ids], dtype=np.int64)], self.device)
        states: list[torch.Tensor] = []
        with (
            self._precision(),
            base_model(model).register_forward_hook(lambda _, __, output: states.append(output[0])),
        ):
            self.module(input_ids=text, attention_mask=torch.ones_like(text))
            logits = head(states[-1], text)
        return functional.cross_entropy(logits[0, :-1].float(), text[0, 1:], reduction="none")

    @cached_property
    def _model(self) -> GPT2ForSequenceClassification | None:
        return packed.gpt2(self.module)

    def _packed_features(self, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        texts = [split.row(int(row))[: end + 1] for row, end in zip(rows, self._ends(split, rows), strict=True)]
        return packed.features(self.module, texts, self.pad_id, self.device, self.copies)

    def _ends(self, split: TokenSplit, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place of the token that a decoder's classifier reads in each passage: the last but for padding.

        A model's own padding token may stand at a text's end, where its tokenizer puts it; transformers passes it over.
        """
        texts = [split.row(int(row)) for row in rows]
        return np.array([np.flatnonzero(text != self.pad_id).max(initial=0) for text in texts], dtype=np.int64)

    def _padded(self, split: TokenSplit, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """What the module is called with; a model such as BERT is told a pair's two texts apart, GPT-2 isn't."""
        ids, mask, _ = collate(split, rows, self.pad_id)
        inputs = {"input_ids": ids, "attention_mask": mask}
        types = collate_types(split, rows)
        if types is not None and getattr(self.module.config, "type_vocab_size", 0) > types.max():
            inputs["token_type_ids"] = types
        return dict(zip(inputs, to_device(list(inputs.values()), self.device), strict=True))

    def _precision(self) -> AbstractContextManager[object]:
        if self.dtype == "bf16":
            return torch.autocast(self.device, dtype=torch.bfloat16)
        return nullcontext()
