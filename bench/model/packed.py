"""GPT-2 without waste: no padding outside of attention, and in the last block only what the head reads.

The passages of a batch lie end to end as one row of tokens [t, width], so that every linear layer, norm and activation
works on real tokens alone. Only attention sees them padded, a few of similar length at a time, [passages, heads,
longest, head width], where causality keeps the padding on the right from being read. In the last block all but keys and
values is computed for each passage's last token only. The modules are the model's own, so that whatever a method put in
their place takes part.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from peft import PeftModel, PeftType
from torch.nn import functional
from transformers import GPT2ForSequenceClassification
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model

from bench.model.transfer import to_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
"""What comes before the text in one block, [1, heads, n, head width] each."""
Prefix = list[KeysAndValues]


_LONGEST, _TOKENS, _TOKENS_IF_WIDE, _WIDE = 16, 64, 32, 512
"""The padded length and the packed tokens are multiples of these. A matrix product of a new shape is prepared anew and
kept: without, every batch would be slower and take more memory. A wide model's products are worth more shapes."""


_TOGETHER = 2
"""How many passages attention takes at a time on the CPU, in the order of their lengths: more leave more padding.

A GPU takes all of a batch: there each operator that is begun costs more than the padding.
"""

_ALIGNED = 8
"""A row of the bias begins at a multiple of so many numbers; else fused attention would copy it in each block."""


def places(lengths: NDArray[np.int64], width: int) -> int:
    """Return how many places a batch takes in a model of this width: its tokens, and some behind them to fill up."""
    multiple = _TOKENS_IF_WIDE if width >= _WIDE else _TOKENS
    return -(-int(lengths.sum()) // multiple) * multiple


@dataclass(frozen=True)
class Group:
    """Passages that attention pads to one length, `longest`, and how many `tokens` they have.

    `sizes` [passages] counts each passage's tokens. `slots` [tokens] is each packed token's place in the padded group
    seen as one row [passages · longest].
    """

    sizes: torch.Tensor
    slots: torch.Tensor
    longest: int
    biases: dict[tuple[int, bool, torch.dtype], torch.Tensor] = field(default_factory=dict)

    @property
    def passages(self) -> int:
        """How many passages the group has."""
        return len(self.sizes)

    @property
    def tokens(self) -> int:
        """How many tokens the passages have."""
        return len(self.slots)

    @property
    def full(self) -> bool:
        """Whether all passages are of one length, so that packed and padded are the same."""
        return self.tokens == self.passages * self.longest

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """Return [tokens, w] as [passages, longest, w], with zeros where there is no token."""
        shape = (self.passages, self.longest, packed.shape[-1])
        if self.full:
            return packed.view(shape)
        padded = packed.new_zeros((self.passages * self.longest, packed.shape[-1]))
        return padded.index_copy(0, self.slots, packed).view(shape)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """Return [passages, longest, w] as [tokens, w]."""
        flat = padded.reshape(self.passages * self.longest, -1)
        return flat if self.full else flat.index_select(0, self.slots)

    def bias(self, before: int, only_last: bool, dtype: torch.dtype) -> torch.Tensor:
        """Return what is added to attention's scores: minus infinity where a query must not see a key, else 0.

        A query must not see what comes after its token; `before` keys stand before the text, and every query sees them.
        The same for every block, so made once.
        """
        key = before, only_last, dtype
        if key not in self.biases:
            places = torch.arange(before + self.longest, device=self.sizes.device)
            last = self.sizes.view(-1, 1, 1, 1) - 1 if only_last else places[: self.longest].view(-1, 1)
            unseen = places > last + before
            bias = torch.zeros(unseen.shape, dtype=dtype, device=unseen.device).masked_fill_(unseen, -torch.inf)
            beyond = 0 if _written_out(bias) else -len(places) % _ALIGNED
            self.biases[key] = functional.pad(bias, (0, beyond))[..., : len(places)] if beyond else bias
        return self.biases[key]


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch lie, packed: passage after passage in the order of `groups`, then `filling` places.

    `ids` [t] are the tokens, `positions` [t] each one's place in its passage, `last` [passages] the packed place of
    each passage's last. `order` [passages] tells for each passage, as the batch was given, which it is in the groups.
    All that is there `copies` times, one after the other; a group has the same passages of all copies.
    """

    copies: int
    groups: tuple[Group, ...]
    filling: int
    ids: torch.Tensor
    positions: torch.Tensor
    last: torch.Tensor
    order: torch.Tensor

    @classmethod
    def of(cls, texts: Sequence[NDArray[np.int32]], width: int, filler: int, device: str, copies: int = 1) -> Layout:
        """Lay out passages of token ids for a model of this width; the places that are left hold the id `filler`."""
        order = np.argsort([-len(text) for text in texts], kind="stable")
        lengths = np.array([len(texts[place]) for place in order], dtype=np.int64)
        together = _TOGETHER if device == "cpu" else len(lengths)
        padded = -(-lengths // _LONGEST) * _LONGEST
        padded = np.repeat(padded[::together], together)[: len(lengths)]
        sizes = np.split(lengths, np.flatnonzero(np.diff(padded)) + 1)
        longest = [int(padded[start]) for start in np.cumsum([0, *map(len, sizes[:-1])])]
        positions = [np.concatenate([np.arange(length) for length in own]) for own in sizes]
        slots = [
            np.repeat(np.arange(len(own)) * padded_to, own) + inside
            for own, padded_to, inside in zip(sizes, longest, positions, strict=True)
        ]
        filling = places(lengths, width) - int(lengths.sum())
        ids = np.concatenate([*(texts[place] for place in order), np.full(filling, filler)]).astype(np.int64)
        everywhere = np.concatenate([*positions, np.zeros(filling, dtype=np.int64)])
        spans = [len(own) * padded_to for own, padded_to in zip(sizes, longest, strict=True)]
        arrays = [
            *(np.tile(own, copies) for own in sizes),
            *(_copied(own, copies, span) for own, span in zip(slots, spans, strict=True)),
            *(np.tile(own, copies) for own in (ids, everywhere)),
            _copied(lengths.cumsum() - 1, copies, len(ids)),
            _copied(np.argsort(order), copies, len(order)),
        ]
        parts = to_device(arrays, device)
        groups = tuple(map(Group, parts[: len(sizes)], parts[len(sizes) : -4], longest))
        return cls(copies, groups, filling, *parts[-4:])

    def split(self, packed: torch.Tensor) -> list[torch.Tensor]:
        """Cut packed tokens [t, w] into the groups' [tokens, w] and the filling."""
        sizes = [*(group.tokens // self.copies for group in self.groups), self.filling]
        if self.copies == 1:
            return list(packed.split(sizes))
        parts = packed.view(self.copies, -1, packed.shape[1]).split(sizes, dim=1)
        return [part.reshape(-1, packed.shape[1]) for part in parts]

    def cat(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Put together again what `split` cut, or the groups' [passages, w]."""
        if self.copies == 1:
            return torch.cat(parts)
        width = parts[0].shape[1]
        return torch.cat([part.view(self.copies, -1, width) for part in parts], dim=1).view(-1, width)


def _copied(places: NDArray[np.int64], copies: int, beyond: int) -> NDArray[np.int64]:
    """Return the places of all copies, each beginning so many behind the one before."""
    return (np.arange(copies)[:, None] * beyond + places).ravel()


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


def features(
    module: torch.nn.Module, texts: Sequence[NDArray[np.int32]], filler: int, device: str, copies: int = 1
) -> torch.Tensor:
    """Return what the head reads, [passages, width], of passages of token ids, in their order.

    `module` is one that `gpt2` finds a model in, on the device. The result is that of its own forward pass on the
    padded batch, as many `copies` of it as are asked for. The id `filler` fills up; what it is changes nothing.
    """
    model = gpt2(module)
    if model is None:
        raise ValueError(f"{type(module).__name__} can't be computed packed")
    layout = Layout.of(texts, model.config.n_embd, filler, device, copies)
    prefix = _prefix(module)
    body = model.transformer
    hidden = body.wte(layout.ids) + body.wpe(layout.positions + _taken(prefix))
    for index, block in enumerate(body.h):
        only_last = index == len(body.h) - 1
        hidden = _block(cast("GPT2Block", block), hidden, layout, prefix[index] if prefix else None, only_last)
    return body.ln_f(hidden).index_select(0, layout.order)  # type: ignore[no-any-return]


def _taken(prefix: Prefix | None) -> int:
    """How many positions the prefix takes before the text."""
    return int(prefix[0][0].shape[2]) if prefix else 0


def _prefix(module: torch.nn.Module) -> Prefix | None:
    if not isinstance(module, PeftModel) or module.active_peft_config.peft_type != PeftType.PREFIX_TUNING:
        return None
    return [(layer.keys, layer.values) for layer in module.get_prompt(batch_size=1).layers]


def _block(
    block: GPT2Block, hidden: torch.Tensor, layout: Layout, prefix: KeysAndValues | None, only_last: bool
) -> torch.Tensor:
    """Return the block's output, [t, width], or for the last token of each passage alone [passages, width]."""
    fused = layout.split(block.attn.c_attn(_normed(block.ln_1, hidden)))
    pairs = zip(layout.groups, fused, strict=False)  # the filling belongs to no group
    attended = [_attend(block.attn, own, group, prefix, only_last) for group, own in pairs]
    if only_last:
        hidden = hidden.index_select(0, layout.last)
    elif layout.filling:
        attended.append(attended[0].new_zeros(layout.copies * layout.filling, attended[0].shape[1]))
    hidden = hidden + block.attn.c_proj(layout.cat(attended))
    return hidden + block.mlp(_normed(block.ln_2, hidden))  # type: ignore[no-any-return]


def _normed(norm: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return the norm of what the next product reads, in the precision that it is read in.

    Autocast on CUDA would compute it from a copy in float32, of which the product takes a copy in bfloat16 again.
    """
    own = type(norm) is torch.nn.LayerNorm and norm.weight.dtype == norm.bias.dtype == hidden.dtype
    with torch.autocast(hidden.device.type, enabled=False) if own else nullcontext():
        return norm(hidden)  # type: ignore[no-any-return]


def _attend(
    attention: GPT2Attention, fused: torch.Tensor, group: Group, prefix: KeysAndValues | None, only_last: bool
) -> torch.Tensor:
    """Attend within each passage of a group; `fused` [tokens, 3 · width] holds queries, keys and values.

    Returns [tokens, width], or [passages, width] for the last tokens alone.
    """
    split = group.pad(fused).view(group.passages, group.longest, 3, attention.num_heads, -1)
    queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)
    if prefix is not None:
        keys, values = (
            torch.cat([before.to(own.dtype).expand(group.passages, -1, -1, -1), own], dim=2)
            for before, own in zip(prefix, (keys, values), strict=True)
        )
    if only_last:
        place = (group.sizes - 1).view(-1, 1, 1, 1)
        queries = queries.gather(2, place.expand(-1, queries.shape[1], 1, queries.shape[3]))
    precision = keys.dtype if _written_out(keys) else _fused_precision(keys)
    bias = group.bias(keys.shape[2] - group.longest, only_last, precision)
    attend = _as_defined if _written_out(keys) else _fused
    attended = attend(queries, keys, values, bias, attention.scaling).transpose(1, 2)
    return attended.flatten(1) if only_last else group.pack(attended.flatten(2))


def _written_out(tensor: torch.Tensor) -> bool:
    """Tell whether attention on this tensor's device is computed operator by operator.

    On the CPU: at the length of a passage torch's fused kernel takes several times as long there, backward above all.
    """
    return tensor.device.type == "cpu"


def _as_defined(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention as it is defined, for [passages, heads, tokens, head width]; `bias` is added to the scores."""
    scores = (queries * scale) @ keys.transpose(2, 3)
    return scores.add_(bias).softmax(dim=-1) @ values


def _fused(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, scale: float
) -> torch.Tensor:
    """The same by torch's kernel: on CUDA the memory-efficient one, as flash attention takes no bias."""
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)


def _fused_precision(keys: torch.Tensor) -> torch.dtype:
    """Return in which precision fused attention takes its bias, which autocast would cast in each block."""
    device = keys.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else keys.dtype
