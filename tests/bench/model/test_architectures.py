"""Whatever the architecture and the method: a text is classified by itself, by the token that transformers reads."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, END, PAD, START, STYLES, WORDS, tiny

import methods
from bench.data import TokenSplit
from bench.model import features
from bench.model.features import CachedForward
from bench.model.forward import Forward
from methods import MethodError
from methods.prepare import base_model, head_modules

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROMPT = 3
METHODS: dict[str, dict[str, int]] = {
    "head": {},
    "lora": {"r": 4},
    "ia3": {},
    "prefix": {"tokens": PROMPT},
    "prompt_tuning": {"num_virtual_tokens": PROMPT},
    "p_tuning": {"num_virtual_tokens": PROMPT},
}
NO_PREFIX = ("albert", "bart", "deberta", "deberta-v2", "distilbert", "funnel", "modernbert", "mpnet", "t5", "xlm")
REFUSED = {
    *((architecture, "prefix") for architecture in NO_PREFIX),
    *((architecture, name) for architecture in ("bart", "funnel") for name in ("prompt_tuning", "p_tuning")),
}
"""What transformers or peft has no way for, each said in one line before any training."""
LENGTHS = (5, 19, 12, 3)


def _texts() -> TokenSplit:
    draw = np.random.default_rng(0)
    texts = [np.array([START, *draw.choice(WORDS, length - 2), END], dtype=np.int32) for length in LENGTHS]
    labels = np.arange(len(texts), dtype=np.int64) % STYLES
    return TokenSplit(np.concatenate(texts), np.cumsum([0, *LENGTHS]).astype(np.int64), labels)


TEXTS = _texts()
TOGETHER = np.arange(len(LENGTHS))


def _adapted(name: str, architecture: str) -> Forward:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = methods.get(name)(**METHODS[name]).apply(deepcopy(tiny(architecture)))
    return Forward(module.eval(), "cpu", "fp32", PAD, STYLES)


def _stock(model: PreTrainedModel, row: int) -> torch.Tensor:
    """Return the logits [styles] that transformers has for the text alone."""
    ids = torch.from_numpy(TEXTS.row(row).astype(np.int64))[None]
    found: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_a_text_is_classified_alone_as_in_a_batch(architecture: str) -> None:
    for name in METHODS:
        if (architecture, name) in REFUSED:
            with pytest.raises(MethodError, match=rf"^{name} can't tune \w+: [^\n]+$"):
                _adapted(name, architecture)
            continue
        forward = _adapted(name, architecture)
        together = forward(TEXTS, TOGETHER)
        for row in TOGETHER:
            alone = forward(TEXTS, np.array([row]))[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)
            if methods.get(name).identity_at_start:
                torch.testing.assert_close(alone, _stock(tiny(architecture), int(row)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_kept_features_give_what_transformers_gives(architecture: str) -> None:
    forward = _adapted("head", architecture)
    heads = list(head_modules(tiny(architecture)))
    if len(heads) > 1:
        return  # a run keeps features where the head is one module
    head = forward.module.get_submodule(heads[0])
    kept = features.one_pass(forward, head, TEXTS, None).features
    cached = CachedForward(forward.module, "cpu", "fp32", PAD, STYLES, head=head, features={TEXTS: kept})
    expected = torch.stack([_stock(tiny(architecture), int(row)) for row in TOGETHER])
    torch.testing.assert_close(cached(TEXTS, TOGETHER), expected, rtol=1e-4, atol=1e-5)
    assert kept.numel() == len(TOGETHER) * kept.shape[-1]  # one token's a text


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"bart", "funnel", "t5"}))
@torch.no_grad()
def test_with_a_prompt_the_texts_own_token_is_read(architecture: str) -> None:
    """The classifier of transformers finds its token by the text; what it finds there is seen through the prompt."""
    forward = _adapted("prompt_tuning", architecture)
    module: Any = forward.module
    stock = deepcopy(tiny(architecture))
    base: Any = base_model(stock)
    for row in TOGETHER:
        ids = torch.from_numpy(TEXTS.row(int(row)).astype(np.int64))[None]
        words = base.get_input_embeddings()(ids)
        fed = torch.cat([module.get_prompt(1), words], dim=1)
        states = base(inputs_embeds=fed, attention_mask=torch.ones(fed.shape[:2])).last_hidden_state[:, PROMPT:]

        def seen(_: torch.nn.Module, inputs: object, output: Any, states: torch.Tensor = states) -> Any:
            output.last_hidden_state = states
            return output

        part = base.encoder if getattr(base, "pooler", None) is not None else base
        with part.register_forward_hook(seen):
            expected = _stock(stock, int(row))
        torch.testing.assert_close(forward(TEXTS, TOGETHER)[row], expected, rtol=1e-4, atol=1e-5)
