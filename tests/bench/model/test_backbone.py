"""A model's folder: what it is called by, its tokenizer, and what may be put into the model."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from architectures import ARCHITECTURES, LAYERS
from tokenizers import Tokenizer, models, pre_tokenizers

from bench.errors import UsageError
from bench.model import backbone, weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_revision_is_the_contents(gpt2: Path, tmp_path: Path) -> None:
    first = backbone.local(gpt2)
    shutil.copytree(gpt2, tmp_path / "same")
    (tmp_path / "same/README.md").write_text("about it")
    assert backbone.local(tmp_path / "same").revision == first.revision
    file = tmp_path / "same/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert backbone.local(tmp_path / "same").revision != first.revision


def test_code_that_comes_with_a_model_is_never_run(gpt2: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(gpt2, model)
    (model / "code.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n")
    names = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")
    for file, named in (("config.json", names), ("tokenizer_config.json", ("AutoTokenizer",))):
        said = json.loads((model / file).read_text())
        said["auto_map"] = dict.fromkeys(named, "code.Own")
        (model / file).write_text(json.dumps(said))
    ref = backbone.local(model)
    backbone.tokenizer(ref)
    weights.load(ref, 3, 0)
    assert not (tmp_path / "was-run").exists()


def test_the_padding_and_the_positions(gpt2: Path, llama: Path, bert: Path) -> None:
    for folder in (gpt2, llama, bert):
        ref = backbone.local(folder)
        tokenizer = backbone.tokenizer(ref)
        assert backbone.max_positions(ref) == 128
        padding = tokenizer.pad_token_id if folder == bert else tokenizer.eos_token_id
        assert backbone.pad_id(ref) == padding
        assert weights.load(ref, 3, 0).config.pad_token_id == padding


def test_the_embedded_one_can_be_loaded() -> None:
    ref = backbone.embedded()
    backbone.check(ref)
    model = weights.load(ref, 14, 0)
    assert sum(parameter.numel() for parameter in model.parameters()) > 10**6


def _words() -> models.Model:
    return models.WordLevel({"[UNK]": 0, "moon": 1, "river": 2}, unk_token="[UNK]")


def _letters() -> models.Model:
    return models.BPE({"[UNK]": 0, "o": 1, "v": 2}, [])  # leaves out what it doesn't know


@pytest.mark.parametrize(("make", "text"), [(_words, "river moon"), (_letters, "vo")])
def test_a_tokenizer_is_tried_on_what_it_knows(
    make: Callable[[], models.Model], text: str, gpt2: Path, tmp_path: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(make())
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=own, unk_token="[UNK]").save_pretrained(tmp_path)
    shutil.copy(gpt2 / "config.json", tmp_path)
    found = backbone.tokenizer(backbone.local(tmp_path))
    assert found(text)["input_ids"] == [2, 1]
    assert found("qqq")["input_ids"] in ([], [0])


def test_a_tokenizer_that_stumbles_over_words_is_refused(gpt2: Path, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.WordLevel({"moon-river": 0}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=own).save_pretrained(tmp_path)
    shutil.copy(gpt2 / "config.json", tmp_path)
    with pytest.raises(UsageError, match=r"can't read text: .*Missing \[UNK\] token"):
        backbone.tokenizer(backbone.local(tmp_path))


@pytest.mark.parametrize("architecture", ["roberta", "mpnet", "longformer", "bert", "bart", "gpt2"])
def test_the_longest_input_is_taken_and_none_that_is_longer(architecture: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    ids = {"pad_token_id": 1, "eos_token_id": 2}
    positions = {"n_positions" if architecture == "gpt2" else "max_position_embeddings": 24}
    sizes = ARCHITECTURES.get(architecture, LAYERS) | positions
    config = AutoConfig.for_model(architecture, vocab_size=64, **ids, **sizes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(tmp_path)
    longest = backbone.max_positions(backbone.local(tmp_path))
    assert longest is not None
    text = torch.full((1, longest + 1), 5)
    text[:, -2:] = ids["eos_token_id"]  # BART reads there
    model(input_ids=text[:, :-1])
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=text)
