"""Computed packed, a model gives the logits and gradients of its own forward pass on the padded batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention
from transformers import GPT2Config, GPT2ForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

import methods
from bench.data import TokenSplit, collate
from bench.model import packed
from bench.model.forward import Forward

STYLES, PAD = 5, 0
SHARED: dict[str, Any] = {"vocab_size": 300, "num_labels": STYLES, "pad_token_id": PAD, "use_cache": False}
SIZES: dict[str, Any] = {
    **SHARED,
    "n_layer": 3,
    "n_embd": 48,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": PAD,
    "eos_token_id": PAD,
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
}


def passages(*lengths: int) -> TokenSplit:
    rng = np.random.default_rng(0)
    return TokenSplit(
        ids=rng.integers(1, 300, sum(lengths)).astype(np.int32),
        offsets=np.cumsum([0, *lengths], dtype=np.int64),
        labels=np.zeros(len(lengths), dtype=np.int64),
    )


def adapted(name: str, **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(**{**SIZES, **settings})
    module = methods.get(name)().apply(GPT2ForSequenceClassification(config))
    with torch.no_grad():  # away from the identity that LoRA and IA3 start as
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def padded_logits(module: torch.nn.Module, split: TokenSplit) -> torch.Tensor:
    ids, mask, _ = collate(split, np.arange(len(split.labels)), PAD)
    logits: torch.Tensor = module(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
    return logits


@pytest.mark.parametrize("lengths", [(5, 9, 3, 9), (2, 40, 20, 3, 37), (7, 7), (1, 4), (6,)])
@pytest.mark.parametrize("name", ["frozen", "head", "lora", "ia3", "prefix", "full", "bitfit"])
def test_logits_and_gradients_are_the_models_own(name: str, lengths: tuple[int, ...]) -> None:
    module, split = adapted(name), passages(*lengths)
    assert packed.gpt2(module) is not None
    own = padded_logits(module, split)
    found = Forward(module, "cpu", "fp32", PAD, STYLES)(split, np.arange(len(lengths)))
    torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-5)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if trained:
        torch.testing.assert_close(
            torch.autograd.grad(found.square().sum(), trained),
            torch.autograd.grad(own.square().sum(), trained),
            rtol=1e-3,
            atol=1e-4,
        )


@pytest.mark.parametrize("setting", ["scale_attn_by_inverse_layer_idx", "scale_attn_weights"])
def test_unusual_attention_scales_are_kept(setting: str) -> None:
    module, split = adapted("lora", **{setting: setting != "scale_attn_weights"}), passages(4, 8)
    found = Forward(module, "cpu", "fp32", PAD, STYLES)(split, np.arange(2))
    torch.testing.assert_close(found, padded_logits(module, split), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_packed_is_padded() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(**{**SHARED, **sizes})
    module, split = methods.get("lora")().apply(LlamaForSequenceClassification(config)), passages(5, 9)
    forward = Forward(module, "cpu", "fp32", PAD, STYLES)
    assert packed.gpt2(module) is None
    assert forward.slots(split, np.arange(2)) == 2 * 9
    torch.testing.assert_close(forward(split, np.arange(2)), padded_logits(module, split))
    assert packed.gpt2(adapted("lora", reorder_and_upcast_attn=True)) is None


@pytest.mark.parametrize(("width", "slots"), [(48, 192), (768, 160)])
def test_a_packed_batch_is_filled_up_to_few_shapes_and_in_a_wide_model_to_more(width: int, slots: int) -> None:
    module, split = adapted("lora", n_embd=width, n_layer=1), passages(30, 40, 60)
    assert Forward(module, "cpu", "fp32", PAD, STYLES).slots(split, np.arange(3)) == slots


def test_attention_pads_to_passages_of_similar_length_only() -> None:
    split = passages(7, 55, 20, 60, 40)
    layout = packed.Layout.of([split.row(i) for i in range(5)], 48, PAD, "cpu")
    assert [(group.passages, group.longest) for group in layout.groups] == [(2, 64), (2, 48), (1, 16)]
    assert layout.filling == 192 - 182


def test_a_passage_as_long_as_the_model_allows_is_packed_too() -> None:
    module, split = adapted("lora", n_positions=60), passages(60, 7)
    found = Forward(module, "cpu", "fp32", PAD, STYLES)(split, np.arange(2))
    torch.testing.assert_close(found, padded_logits(module, split), rtol=1e-4, atol=1e-5)


BATCHES = {
    "one passage": (6,),
    "equal lengths": (7, 7, 7),
    "equal lengths that fill their places": (16, 16),
    "very different lengths": (2, 61, 20, 3, 37),
    "a passage of one token": (1, 4),
    "one token alone": (1,),
    "as long as the model allows": (64, 5),
}
"""Lengths in tokens."""


def trained_gradients(module: torch.nn.Module, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.autograd.grad((logits * weights).sum(), trained)


@pytest.mark.parametrize("together", [2, 64], ids=["two at a time", "all at once"])
@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("name", ["full", "lora", "ia3", "prefix"])
def test_fused_attention_is_the_one_that_is_written_out(
    name: str, lengths: tuple[int, ...], together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU is fed with, computed here in float64: logits and gradients are those of attention as it is defined.

    That of transformers, operator by operator on the padded batch, is the measure of both.
    """
    split = passages(*lengths)
    found: dict[str, torch.Tensor] = {}
    gradients: dict[str, tuple[torch.Tensor, ...]] = {}
    calls: list[torch.Tensor] = []

    def watched(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(options["attn_mask"])
        return scaled_dot_product_attention(*arguments, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", watched)
    monkeypatch.setattr(packed, "_TOGETHER", together)
    settings = {"n_positions": 64 + 20 if name == "prefix" else 64}
    for way in ("padded", "written out", "fused"):
        module = adapted(name, attn_implementation="eager", **settings).double()
        if way == "fused":
            monkeypatch.setattr(packed, "_written_out", lambda _: False)
        calls.clear()
        if way == "padded":
            found[way] = padded_logits(module, split)
        else:
            model = packed.gpt2(module)
            assert model is not None
            found[way] = model.score(packed.features(module, [split.row(i) for i in range(len(lengths))], PAD, "cpu"))
        gradients[way] = trained_gradients(module, found[way])
        assert (len(calls) > 0) == (way == "fused")
    assert {bias.stride(0) % packed._ALIGNED for bias in calls} == {0}
    assert 3 * len({bias.data_ptr() for bias in calls}) == 2 * len(calls)  # made for the last block, and for the others
    for way in ("written out", "fused"):
        torch.testing.assert_close(found[way], found["padded"], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(gradients[way], gradients["padded"], rtol=1e-8, atol=1e-9)
