"""The model that every method gets: the same one, silent, and no other than the folder's."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from bench.errors import UsageError
from bench.model import backbone
from methods.prepare import head_modules

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["gpt2", "llama", "bert"])
def folder(request: pytest.FixtureRequest) -> Path:
    """A model of each architecture."""
    found: Path = request.getfixturevalue(request.param)
    return found


def _batch(folder: Path) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 200, (4, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_the_weights_are_the_folders_and_the_head_is_the_seeds(folder: Path) -> None:
    from transformers import AutoModel

    ref = backbone.local(folder)
    first, again, other = (backbone.load(ref, 3, seed) for seed in (1, 1, 2))
    stock = AutoModel.from_pretrained(folder)
    expected = stock(**_batch(folder)).last_hidden_state
    torch.testing.assert_close(first.base_model(**_batch(folder)).last_hidden_state, expected, rtol=0, atol=1e-5)
    heads = [
        torch.cat([parameter.flatten() for module in head_modules(model).values() for parameter in module.parameters()])
        for model in (first, again, other)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_nothing_is_random_in_training_and_nothing_is_cached(folder: Path) -> None:
    model = backbone.load(backbone.local(folder), 3, 0).train()
    dropouts = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert not any(dropouts)
    first, second = model(**_batch(folder)), model(**_batch(folder))
    assert torch.equal(first.logits, second.logits)
    assert getattr(first, "past_key_values", None) is None


def test_a_model_saved_with_another_dropout_is_silent_too(gpt2: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2, tmp_path / "model")
    config = json.loads((gpt2 / "config.json").read_text())
    assert config["resid_pdrop"] > 0
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "attn_pdrop": 0.5, "use_cache": True}))
    model = backbone.load(backbone.local(tmp_path / "model"), 3, 0).train()
    assert torch.equal(model(**_batch(gpt2)).logits, model(**_batch(gpt2)).logits)


def test_a_head_saved_for_other_styles_is_drawn_anew(gpt2: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(gpt2, num_labels=7).save_pretrained(tmp_path)
    for file in gpt2.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    found = [backbone.load(backbone.local(folder), 3, 5).state_dict() for folder in (gpt2, tmp_path)]
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_weights_of_another_shape_than_the_configuration_says_are_refused(gpt2: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2, tmp_path / "model")
    config = json.loads((gpt2 / "config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "n_positions": config["n_positions"] * 2}))
    with pytest.raises(UsageError, match=r"transformer\.wpe\.weight is .* and should be"):
        backbone.load(backbone.local(tmp_path / "model"), 3, 0)


def test_without_weights_it_is_random_says_so_and_is_the_same_every_time(gpt2: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    ref = backbone.local(tmp_path / "model")
    assert (ref.source, backbone.local(gpt2).source) == ("random", "local")
    before = torch.random.get_rng_state()
    first = backbone.load(ref, 3, 0).state_dict()
    torch.manual_seed(77)
    second = backbone.load(ref, 3, 0).state_dict()
    torch.random.set_rng_state(before)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_revision_is_the_contents(gpt2: Path, tmp_path: Path) -> None:
    first = backbone.local(gpt2)
    shutil.copytree(gpt2, tmp_path / "same")
    (tmp_path / "same/README.md").write_text("about it")
    assert backbone.local(tmp_path / "same").revision == first.revision
    weights = tmp_path / "same/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
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
    backbone.load(ref, 3, 0)
    assert not (tmp_path / "was-run").exists()


def test_the_padding_and_the_positions(gpt2: Path, llama: Path, bert: Path) -> None:
    for folder in (gpt2, llama, bert):
        ref = backbone.local(folder)
        tokenizer = backbone.tokenizer(ref)
        assert backbone.max_positions(ref) == 128
        padding = tokenizer.pad_token_id if folder == bert else tokenizer.eos_token_id
        assert backbone.pad_id(ref) == padding
        assert backbone.load(ref, 3, 0).config.pad_token_id == padding


def test_the_embedded_one_can_be_loaded() -> None:
    ref = backbone.embedded()
    backbone.check(ref)
    model = backbone.load(ref, 14, 0)
    assert sum(parameter.numel() for parameter in model.parameters()) > 10**6
