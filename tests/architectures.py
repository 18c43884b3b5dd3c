"""Tiny random classifiers of the architectures that transformers has, as the harness would load them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STYLES = 3
PAD, END, START, WORDS = 0, 1, 2, range(3, 60)
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
GPT = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 64}
XLM = {"n_layers": 2, "n_heads": 2, "emb_dim": 32}
T5 = {"num_layers": 2, "num_heads": 2, "d_model": 32, "d_ff": 48, "d_kv": 16, "decoder_start_token_id": PAD}
BART = {
    "d_model": 32,
    **{f"{side}_{what}": 2 for side in ("encoder", "decoder") for what in ("layers", "attention_heads")},
    **{f"{side}_ffn_dim": 48 for side in ("encoder", "decoder")},
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": GPT,
    "gptj": {**GPT, "rotary_dim": 8},
    "gpt_neox": LAYERS,
    "bloom": LAYERS,
    "opt": {**LAYERS, "ffn_dim": 48, "word_embed_proj_dim": 16},
    "llama": {**LAYERS, "num_key_value_heads": 1},
    "qwen2": {**LAYERS, "num_key_value_heads": 1},
    "bert": LAYERS,
    "roberta": LAYERS,
    "xlm-roberta": LAYERS,
    "camembert": LAYERS,
    "electra": {**LAYERS, "embedding_size": 16},
    "albert": {**LAYERS, "embedding_size": 16},
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 32, "hidden_dim": 48},
    "mpnet": LAYERS,
    "modernbert": {**LAYERS, "classifier_pooling": "mean"},
    "deberta": LAYERS,
    "deberta-v2": LAYERS,
    "funnel": {"block_sizes": [1, 1], "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48},
    "xlm": XLM,
    "t5": T5,
    "bart": BART,
}


@cache
def tiny(architecture: str) -> PreTrainedModel:
    """Return a classifier of 2 layers, 32 wide, without dropout: one for all that ask, so adapt a copy.

    Its weights are large enough for a token that is read wrongly to show.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    ids = {"pad_token_id": PAD, "eos_token_id": END, "bos_token_id": START}
    sizes = ARCHITECTURES[architecture]
    config = AutoConfig.for_model(architecture, vocab_size=64, num_labels=STYLES, **ids, **sizes)
    config.use_cache = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.train(False)
    return model
