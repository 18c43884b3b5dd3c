"""A model reads the two texts of a pair as its own tokenizer puts them to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from small import save_model

from bench.data import SPLITS, Corpus, Splits, tokenise
from bench.data.frames import frame
from bench.model import backbone, weights
from bench.model.forward import Forward

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = ["the moon was silver", "butter", "smoke of iron wheel"], ["it was night", "bread and plum jam", "rail"]


@pytest.mark.parametrize(("name", "pack"), [("bert", True), ("gpt2", True), ("gpt2", False)])
def test_logits_are_those_of_transformers_for_the_pair(
    name: str, pack: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BERT is told which of the two a token belongs to; GPT-2, which would take that for a word, isn't."""
    if not pack:
        monkeypatch.setattr("bench.model.packed.gpt2", lambda module: None)
    ref = backbone.local(save_model(name, tmp_path / "model"))
    tokenizer, module = backbone.tokenizer(ref), weights.load(ref, 2, seed=0).eval()
    rows = frame((text, "ab"[i % 2], None, None) for i, text in enumerate(ONE)).assign(pair=TWO)
    tokenise(Corpus("some", "local", None, dict.fromkeys(SPLITS, rows)), tokenizer, 64).save(tmp_path)
    with torch.inference_mode():
        found = Forward(module, "cpu", "fp32", backbone.pad_id(ref), 2)(Splits.load(tmp_path).test, np.arange(3))
        for i, pair in enumerate(zip(ONE, TWO, strict=True)):
            told = tokenizer(*pair, return_tensors="pt", return_token_type_ids=True)
            assert set(told["token_type_ids"][0].tolist()) == {0, 1}
            types = {"token_type_ids": told["token_type_ids"]} if name == "bert" else {}
            expected = module(input_ids=told["input_ids"], attention_mask=told["attention_mask"], **types).logits
            assert torch.allclose(found[i], expected[0], atol=1e-5)
