"""Write the backbone's folder, and measure what is in it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pretraining.data import END
from pretraining.model import Network, to_transformers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer


def write_backbone(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """The model and the tokenizer as transformers loads them.

    Weights are stored in bfloat16, to which training rounds them wherever it multiplies, and load as float32.
    """
    model = to_transformers(network)
    model.config.architectures = [type(model).__name__]
    model.bfloat16().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        padding_side="right",
        model_max_length=network.config.n_positions,
    ).save_pretrained(folder)


@torch.no_grad()
def perplexity(network: Network, tokens: NDArray[np.int32], length: int) -> float:
    """Of every held-out token but the first, each seen with at most `length` tokens before it."""
    device = network.wte.weight.device
    nats = 0.0
    for start in range(0, len(tokens) - 1, length):
        piece = torch.from_numpy(tokens[start : start + length + 1].astype(np.int64))[None].to(device)
        nats += network.loss(piece, torch.zeros(1, dtype=torch.long, device=device)).item() * (piece.shape[1] - 1)
    return math.exp(nats / (len(tokens) - 1))


def bits_per_character(folder: Path, texts: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Of pairs (group, text): each group's total surprise in bits, the end token given, over its characters.

    A text longer than the backbone's positions raises an error.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    bits: dict[str, float] = defaultdict(float)
    characters: dict[str, int] = defaultdict(int)
    for group, text in texts:
        for name in (group, "all"):
            bits[name] += _nats(model, tokenizer, text) / math.log(2)
            characters[name] += len(text)
    return {name: bits[name] / characters[name] for name in bits}


@torch.no_grad()
def _nats(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, text: str) -> float:
    tokens = torch.tensor([[tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])
    logits = model(tokens).logits
    return float(F.cross_entropy(logits[0, :-1], tokens[0, 1:], reduction="sum"))
