"""Small real models and texts, written where a test wants them."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

WORDS = {
    "ann": "moon river silver night owl water",
    "bob": "engine wheel iron smoke rail station",
    "cat": "bread butter honey kitchen plum spoon",
}
COMMON = ["the", "a", "and", "of", "to", "in", "it", "was"]
CATEGORY = {"ann": "letters", "bob": "letters", "cat": "songs"}
COUNTS = {
    "train": {"ann": 16, "bob": 12, "cat": 9},
    "validation": {"ann": 4, "bob": 4, "cat": 4},
    "test": {"ann": 6, "bob": 5, "cat": 4},
}
END = "<|endoftext|>"
_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "max_position_embeddings": 128}
_USUAL: dict[str, Any] = {**_LAYERS, "intermediate_size": 64}
_LLAMA = {**_USUAL, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 128},
    "gpt_neox": _USUAL,
    "opt": {**_LAYERS, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "bert": _USUAL,
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 32, "hidden_dim": 64, "max_position_embeddings": 128},
    "modernbert": {**_USUAL, "global_attn_every_n_layers": 2, "local_attention": 16},
    "roberta": _USUAL,
    "t5": {"num_layers": 2, "num_decoder_layers": 2, "num_heads": 2, "d_model": 32, "d_kv": 16, "d_ff": 64},
}
MARKED = ("bert", "distilbert", "modernbert", "roberta", "t5")
"""The architectures whose tokenizer puts [CLS] and [SEP] around a text."""


def passages(style: str, count: int, seed: int) -> list[str]:
    """Texts of 4 to 16 words, two of three the style's own, so that styles can be told apart."""
    draw = random.Random(f"{style} {seed}")
    own = WORDS[style].split()
    return [" ".join(draw.choice([*own, *own, *COMMON]) for _ in range(draw.randint(4, 16))) for _ in range(count)]


def write_texts(folder: Path) -> Path:
    """Write what `texts` is into a new folder."""
    folder.mkdir()
    for number, (split, counts) in enumerate(COUNTS.items()):
        rows = [
            {"text": text, "style": style, "category": CATEGORY[style], "document": f"{style} {split}"}
            for style, count in counts.items()
            for text in passages(style, count, number)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(content, encoding="utf-8")
    return folder


def save_model(architecture: str, folder: Path, *, language: bool = False) -> Path:
    """Write a model with random weights, and its tokenizer, into a new folder; with the head for `language`, if asked.

    A language model's weights are large enough for a head that isn't its own to show.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    tokenizer = _tokenizer(marks=architecture in MARKED)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if architecture == "t5":  # it reads the one token that ends the text
        ids |= {"eos_token_id": tokenizer.sep_token_id, "decoder_start_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(
        architecture, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **ids, **SIZES[architecture]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind: Any = AutoModelForCausalLM if language else AutoModel
        model = kind.from_config(config)
        if language:
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.normal_(parameter, std=0.15)
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(marks: bool) -> PreTrainedTokenizerFast:
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]"] if marks else [END]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([text for style in WORDS for text in passages(style, 20, 9)], 320, 2, False, special)
    inner = trained._tokenizer
    if not marks:
        return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=END, eos_token=END)
    inner.post_processor = processors.BertProcessing(
        ("[SEP]", inner.token_to_id("[SEP]")), ("[CLS]", inner.token_to_id("[CLS]"))
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
