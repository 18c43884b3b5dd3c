"""GPT-2 without waste: no padding outside of attention, and in the last block only what the head reads.

The passages of a batch lie end to end as one row of tokens [t, width], so that every linear layer, norm and activation
works on real tokens alone. Only attention sees them padded, [passages, heads, longest, head width], where causality
keeps the padding on the right from being read. In the last block all but keys and values is computed for each passage's
last token only. The modules are the model's own, so that whatever a method put in their place takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from peft import PeftModel, PeftType
from torch.nn import functional
from transformers import GPT2ForSequenceClassification
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
"""What comes before the text in one block, [1, heads, n, head width] each."""
Prefix = list[KeysAndValues]


_LONGEST, _TOKENS, _TOKENS_IF_WIDE, _WIDE = 16, 64, 32, 512
"""The padded length and the packed tokens are multiples of these. A matrix product of a new shape is prepared anew and
kept: without, every batch would be slower and take more memory. A wide model's products are worth more shapes."""


def fill(lengths: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], int]:
    """Return how many places each passage takes among the packed tokens, and the length that attention pads to.

    `width` is the model's. The places beyond a passage's own tokens are padding on its right, which no token of the
    passage sees.
    """
    longest = -(-int(lengths.max()) // _LONGEST) * _LONGEST
    room = longest - lengths
    missing = -int(lengths.sum()) % (_TOKENS_IF_WIDE if width >= _WIDE else _TOKENS)
    return lengths + np.clip(missing - (room.cumsum() - room), 0, room), longest


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch lie, packed and padded.

    `sizes` [passages] counts each passage's tokens. `slots` [t] is each packed token's place in the padded batch seen
    as one row [passages · longest], `positions` [t] its place in its passage, `last` [passages] the packed place of
    each passage's last token. `longest` is rounded up, as the packed tokens are by `fill`.
    """

    sizes: torch.Tensor
    slots: torch.Tensor
    positions: torch.Tensor
    last: torch.Tensor
    longest: int

    @classmethod
    def of(cls, lengths: NDArray[np.int64], width: int, device: str) -> Layout:
        """Lay out passages of these lengths in tokens for a model of this width."""
        filled, longest = fill(lengths, width)
        taken = torch.from_numpy(filled).to(device)
        sizes = torch.from_numpy(lengths).to(device)
        starts = taken.cumsum(0) - taken
        positions = torch.arange(int(filled.sum()), device=device) - torch.repeat_interleave(starts, taken)
        rows = torch.repeat_interleave(torch.arange(len(lengths), device=device), taken)
        return cls(sizes, rows * longest + positions, positions, starts + sizes - 1, longest)

    @property
    def passages(self) -> int:
        """How many passages the batch has."""
        return len(self.sizes)

    @property
    def full(self) -> bool:
        """Whether all passages are of one length, so that packed and padded are the same."""
        return len(self.slots) == self.passages * self.longest

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """Return [t, w] as [passages, longest, w], with zeros where there is no token."""
        shape = (self.passages, self.longest, packed.shape[-1])
        if self.full:
            return packed.view(shape)
        padded = packed.new_zeros((self.passages * self.longest, packed.shape[-1]))
        return padded.index_copy(0, self.slots, packed).view(shape)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """Return [passages, longest, w] as [t, w]."""
        flat = padded.reshape(self.passages * self.longest, -1)
        return flat if self.full else flat.index_select(0, self.slots)


def gpt2(module: torch.nn.Module) -> GPT2ForSequenceClassification | None:
    """Return the GPT-2 classifier inside `module`, adapted or not, where this way of computing it is right; else None.

    It is where the blocks, their attention and their MLP are transformers' own and the adapted model is fed with
    tokens, or tokens after a prefix.
    """
    if isinstance(module, PeftModel):
        config = module.active_peft_config
        if config.is_prompt_learning and config.peft_type != PeftType.PREFIX_TUNING:
            return None
        module = module.get_base_model()
    if not isinstance(module, GPT2ForSequenceClassification) or type(module.transformer) is not GPT2Model:
        return None
    settings = module.config
    if settings.add_cross_attention or settings.reorder_and_upcast_attn:
        return None
    stock = all(
        type(block) is GPT2Block and type(block.attn) is GPT2Attention and type(block.mlp) is GPT2MLP
        for block in module.transformer.h
    )
    return module if stock else None


def features(module: torch.nn.Module, ids: torch.Tensor, lengths: NDArray[np.int64]) -> torch.Tensor:
    """Return what the head reads, [passages, width], of the token ids [t] that `fill` makes room for.

    `module` is one that `gpt2` finds a model in; the result is that of its own forward pass on the padded batch.
    """
    model = gpt2(module)
    if model is None:
        raise ValueError(f"{type(module).__name__} can't be computed packed")
    layout = Layout.of(lengths, model.config.n_embd, ids.device.type)
    prefix = _prefix(module)
    body = model.transformer
    positions = (layout.positions + _taken(prefix)).clamp_(max=body.wpe.num_embeddings - 1)  # padding may go beyond
    hidden = body.wte(ids) + body.wpe(positions)
    for index, block in enumerate(body.h):
        compute = _last_block if index == len(body.h) - 1 else _block
        hidden = compute(cast("GPT2Block", block), hidden, layout, prefix[index] if prefix else None)
    return body.ln_f(hidden)  # type: ignore[no-any-return]


def _taken(prefix: Prefix | None) -> int:
    """How many positions the prefix takes before the text."""
    return int(prefix[0][0].shape[2]) if prefix else 0


def _prefix(module: torch.nn.Module) -> Prefix | None:
    if not isinstance(module, PeftModel) or module.active_peft_config.peft_type != PeftType.PREFIX_TUNING:
        return None
    return [(layer.keys, layer.values) for layer in module.get_prompt(batch_size=1).layers]


def _block(block: GPT2Block, hidden: torch.Tensor, layout: Layout, prefix: KeysAndValues | None) -> torch.Tensor:
    attended = layout.pack(_attend(block.attn, block.attn.c_attn(block.ln_1(hidden)), layout, prefix))
    hidden = hidden + block.attn.c_proj(attended)
    return hidden + block.mlp(block.ln_2(hidden))  # type: ignore[no-any-return]


def _last_block(block: GPT2Block, hidden: torch.Tensor, layout: Layout, prefix: KeysAndValues | None) -> torch.Tensor:
    """Return the block's output for the last token of each passage only, [passages, width]."""
    attended = _attend(block.attn, block.attn.c_attn(block.ln_1(hidden)), layout, prefix, only_last=True)
    hidden = hidden.index_select(0, layout.last) + block.attn.c_proj(attended)
    return hidden + block.mlp(block.ln_2(hidden))  # type: ignore[no-any-return]


def _attend(
    attention: GPT2Attention, fused: torch.Tensor, layout: Layout, prefix: KeysAndValues | None, only_last: bool = False
) -> torch.Tensor:
    """Attend within each passage; `fused` [t, 3 · width] holds queries, keys and values.

    Returns [passages, longest, width], or [passages, width] for the last tokens alone.
    """
    split = layout.pad(fused).view(layout.passages, layout.longest, 3, attention.num_heads, -1)
    queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)
    if prefix is not None:
        keys, values = (
            torch.cat([before.to(own.dtype).expand(layout.passages, -1, -1, -1), own], dim=2)
            for before, own in zip(prefix, (keys, values), strict=True)
        )
    if only_last:
        place = (layout.sizes - 1).view(-1, 1, 1, 1)
        queries = queries.gather(2, place.expand(-1, queries.shape[1], 1, queries.shape[3]))
    bias = _bias(layout, keys, only_last)
    attended = _attention(queries, keys, values, bias, attention.scaling).transpose(1, 2)
    return attended.flatten(1) if only_last else attended.flatten(2)


def _attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention as it is defined, for [passages, heads, tokens, head width]; `bias` is added to the scores.

    On the CPU it is written out: at the length of a passage torch's fused kernel takes several times as long, backward
    above all.
    """
    if queries.device.type != "cpu":
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
    scores = (queries * scale) @ keys.transpose(2, 3)
    return scores.add_(bias).softmax(dim=-1) @ values


def _bias(layout: Layout, like: torch.Tensor, only_last: bool) -> torch.Tensor:
    """Return minus infinity where a query must not see one of the keys `like`, what comes after its token; else 0."""
    places = torch.arange(like.shape[2], device=like.device)
    before = like.shape[2] - layout.longest
    seen = places < (layout.sizes + before).view(-1, 1, 1, 1) if only_last else places <= places[before:].view(-1, 1)
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, -torch.inf)
