"""From a model's folder: which token fills a batch, which is read, and what can't be had is refused before any run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, STYLES
from in_process import ran

import methods
from bench.data import load_local, tokenise
from bench.errors import UsageError
from bench.model import backbone, features, weights
from bench.model.features import CachedForward
from bench.model.forward import Forward
from methods.prepare import base_model, head_modules

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import TokenSplit
    from bench.spec import BackboneRef

NAMES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
TOGETHER = np.arange(8)


def _folder(
    folder: Path, architecture: str, ends: bool = True, named: dict[str, str] | None = None, **sizes: Any
) -> Path:
    """Write a model with random weights and a byte-level tokenizer that puts </s> after each text if it `ends` them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    words = [*NAMES.values(), *(named or {}).values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if ends:
        inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    PreTrainedTokenizerFast(tokenizer_object=inner, **NAMES, **(named or {})).save_pretrained(folder)
    sizes = ARCHITECTURES.get(architecture, {}) | sizes
    config = AutoConfig.for_model(architecture, vocab_size=len(words), bos_token_id=1, eos_token_id=2, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return folder


def _adapted(ref: BackboneRef, name: str) -> Forward:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = methods.get(name)().apply(weights.load(ref, STYLES, seed=0)).eval()
    return Forward(module, "cpu", "fp32", backbone.pad_id(ref), STYLES)


def _test_split(ref: BackboneRef, texts: Path) -> TokenSplit:
    return tokenise(load_local(texts), backbone.tokenizer(ref), 64).test


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@torch.no_grad()
def test_a_text_that_ends_with_the_padding_is_read_as_transformers_reads_it_alone(
    architecture: str, padding: int | None, texts: Path, tmp_path: Path
) -> None:
    """Without a padding token in the configuration that is the </s> at its end; where that is it, the token before."""
    from transformers import AutoModelForSequenceClassification

    ref = backbone.local(_folder(tmp_path, architecture, pad_token_id=padding, max_position_embeddings=128))
    split = _test_split(ref, texts)
    forward = _adapted(ref, "head")
    stock = AutoModelForSequenceClassification.from_pretrained(ref.folder, num_labels=STYLES).eval()
    assert stock.config.pad_token_id == padding
    (head,) = head_modules(forward.module).values()  # type: ignore[arg-type]
    stock.score.load_state_dict(head.state_dict())
    alone = [torch.from_numpy(split.row(int(row)).astype(np.int64))[None] for row in TOGETHER]
    assert all(ids[0, -1] == 2 for ids in alone)
    expected = torch.cat([stock(input_ids=ids).logits for ids in alone])
    kept = features.one_pass(forward, head, split, None).features
    cached = CachedForward(forward.module, "cpu", "fp32", forward.pad_id, STYLES, head=head, features={split: kept})
    for reader in (forward, cached):
        torch.testing.assert_close(reader(split, TOGETHER), expected, rtol=1e-4, atol=1e-5)

    prompted = _adapted(ref, "prompt_tuning")
    module: Any = prompted.module
    base: Any = base_model(module.get_base_model())
    for row, ids in zip(TOGETHER, alone, strict=True):
        fed = torch.cat([module.get_prompt(1), base.get_input_embeddings()(ids)], dim=1)
        state = base(inputs_embeds=fed).last_hidden_state[:, -1 if padding is None else -2]
        torch.testing.assert_close(
            prompted(split, TOGETHER)[row], module.get_base_model().score(state)[0], rtol=1e-4, atol=1e-5
        )


def test_what_fills_a_batch_is_the_models_own_padding_even_where_its_file_leaves_it_out(tmp_path: Path) -> None:
    """Older releases of transformers left an architecture's default out; its classifier looks for that one."""
    folder = _folder(tmp_path, "opt", ends=False, named={"pad_token": "<pad>"})
    config = json.loads((folder / "config.json").read_text())
    del config["pad_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    ref = backbone.local(folder)
    assert backbone.tokenizer(ref).pad_token_id == 3
    assert backbone.pad_id(ref) == weights.load(ref, STYLES, 0).config.pad_token_id == 1


SMALL: dict[str, dict[str, Any]] = {
    "fnet": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48},
    "xlnet": {"n_layer": 1, "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 48},
}


@pytest.mark.parametrize("architecture", SMALL)
def test_an_architecture_that_sees_padding_is_refused(architecture: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, architecture, **SMALL[architecture])
    with pytest.raises(UsageError, match=rf"a '{architecture}' model for a text depends on the padding"):
        backbone.check(backbone.local(folder))


@pytest.mark.parametrize("architecture", ["t5", "bart"])
def test_a_model_that_looks_for_the_end_of_a_text_needs_a_tokenizer_that_puts_it_there(
    architecture: str, tmp_path: Path
) -> None:
    with_end = backbone.local(_folder(tmp_path / "with", architecture))
    backbone.check(with_end)
    assert backbone.end_id(with_end) == 2
    with pytest.raises(UsageError, match="its tokenizer doesn't end texts with token 2"):
        backbone.check(backbone.local(_folder(tmp_path / "without", architecture, ends=False)))


def test_a_run_with_t5_has_everything_to_its_end(texts: Path, tmp_path: Path) -> None:
    """Also what is computed of made-up passages after training: they end as T5 needs it."""
    outcome = ran("lora", _folder(tmp_path / "model", "t5"), texts, tmp_path / "scratch")
    assert outcome.compute is not None
    assert outcome.compute.flops > 0
