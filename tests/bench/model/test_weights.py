"""The model that every method gets: the same one, silent, and no other than the folder's."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from bench.errors import UsageError
from bench.model import backbone, weights
from methods.prepare import head_modules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.spec import BackboneRef


@pytest.fixture(params=["gpt2", "llama", "bert"])
def folder(request: pytest.FixtureRequest) -> Path:
    """A model of each architecture."""
    found: Path = request.getfixturevalue(request.param)
    return found


SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "d_ff", "d_inner", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("d_kv", "d_head", "head_dim"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), 24),
    "vocab_size": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "word_embed_proj_dim": 32,
}
HEADS = (
    *("gpt2", "llama", "opt", "bert", "albert", "roberta", "mpnet", "electra", "distilbert", "deberta-v2"),
    *("modernbert", "eurobert", "flaubert", "xlnet", "bart", "t5"),
)
"""An architecture for each kind of head that transformers has."""


def _config(architecture: str) -> PreTrainedConfig:
    """The configuration of a model 32 wide, whatever the architecture calls its sizes."""
    from transformers import AutoConfig

    names = type(AutoConfig.for_model(architecture)).__dataclass_fields__
    return AutoConfig.for_model(architecture, **{name: size for name, size in SIZES.items() if name in names})


def _saved(model: PreTrainedModel, folder: Path, rename: Callable[[str], str | None] = str) -> BackboneRef:
    """Save the model's weights under other names, without those of which nothing is left."""
    from safetensors.torch import load_file, save_file

    model.save_pretrained(folder)
    named = {rename(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    kept = {name: tensor for name, tensor in named.items() if name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return backbone.local(folder)


def _masked_language_bert(folder: Path, bert: Path, rename: Callable[[str], str | None] = str) -> BackboneRef:
    """A BERT as masked-language training leaves it: with a head for that, and without a pooler."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    for file in bert.glob("tokenizer*"):
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder)
    return _saved(AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(bert)), folder, rename)


def _head(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    heads = head_modules(model).items()
    return {f"{name}.{own}": tensor for name, head in heads for own, tensor in head.named_parameters()}


def _batch(folder: Path) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 200, (4, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_the_weights_are_the_folders_and_the_head_is_the_seeds(folder: Path) -> None:
    from transformers import AutoModel

    ref = backbone.local(folder)
    first, again, other = (weights.load(ref, 3, seed) for seed in (1, 1, 2))
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
    model = weights.load(backbone.local(folder), 3, 0).train()
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
    model = weights.load(backbone.local(tmp_path / "model"), 3, 0).train()
    assert torch.equal(model(**_batch(gpt2)).logits, model(**_batch(gpt2)).logits)


def test_a_head_saved_for_other_styles_is_drawn_anew(gpt2: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    AutoModelForSequenceClassification.from_pretrained(gpt2, num_labels=7).save_pretrained(tmp_path)
    for file in gpt2.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    found = [weights.load(backbone.local(folder), 3, 5).state_dict() for folder in (gpt2, tmp_path)]
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_weights_of_another_shape_than_the_configuration_says_are_refused(gpt2: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2, tmp_path / "model")
    config = json.loads((gpt2 / "config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps({**config, "n_positions": config["n_positions"] * 2}))
    with pytest.raises(UsageError, match=r"transformer\.wpe\.weight is .* and should be"):
        weights.load(backbone.local(tmp_path / "model"), 3, 0)


def test_without_weights_it_is_random_says_so_and_is_the_same_every_time(gpt2: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    ref = backbone.local(tmp_path / "model")
    assert (ref.source, backbone.local(gpt2).source) == ("random", "local")
    before = torch.random.get_rng_state()
    first = weights.load(ref, 3, 0).state_dict()
    torch.manual_seed(77)
    second = weights.load(ref, 3, 0).state_dict()
    torch.random.set_rng_state(before)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("architecture", HEADS)
def test_what_the_checkpoint_has_of_a_head_is_kept_but_for_the_layer_of_the_styles(
    architecture: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    config = _config(architecture)
    config.num_labels = 3
    model = AutoModelForSequenceClassification.from_config(config)
    for parameter in _head(model).values():
        nn.init.uniform_(parameter, 5, 6)  # a head that other texts trained, of as many labels
    ref = _saved(model, tmp_path)
    first, again, other = (_head(weights.load(ref, 3, seed)) for seed in (1, 1, 2))
    trained = _head(model)
    anew = {name for name in first if not torch.equal(first[name], trained[name])}
    assert anew == {name for name, parameter in trained.items() if len(parameter) == 3}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in anew)


@pytest.mark.parametrize("architecture", HEADS)
def test_a_new_head_is_the_one_that_transformers_draws(architecture: str, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification

    ref = _saved(AutoModel.from_config(_config(architecture)), tmp_path)
    torch.manual_seed(7)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=3, dtype=torch.float32)
    found, expected = _head(weights.load(ref, 3, 7)), _head(stock)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    if architecture == "modernbert":
        assert torch.equal(found["head.norm.weight"], torch.ones(32))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", ""])
def test_what_a_wrapper_put_before_the_names_is_taken_off(prefix: str, bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    ref = _saved(AutoModel.from_pretrained(bert), tmp_path, lambda name: f"{prefix}bert.{name}")
    assert weights.contents(ref).stripped_prefix == (prefix or None)
    found, expected = (weights.load(of, 3, 0).state_dict() for of in (ref, backbone.local(bert)))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def _elsewhere(name: str) -> str:
    return f"net.{name}"


def _but_for_one(name: str) -> str | None:
    return None if name == "encoder.layer.1.output.dense.bias" else name


@pytest.mark.parametrize(
    ("rename", "lacking"),
    [
        (_elsewhere, r"lack bert\.embeddings.* and \d\d more;"),
        (_but_for_one, r"lack bert\.encoder\.layer\.1\.output\.dense\.bias;"),
    ],
)
def test_a_backbone_whose_weights_are_not_all_there_is_refused_by_name(
    rename: Callable[[str], str | None], lacking: str, bert: Path, tmp_path: Path
) -> None:
    from transformers import AutoModel

    ref = _saved(AutoModel.from_pretrained(bert), tmp_path, rename)
    with pytest.raises(UsageError, match=lacking):
        weights.contents(ref)
    with pytest.raises(UsageError, match=lacking):
        weights.load(ref, 3, 0)


def test_a_pooler_that_nothing_pretrained_is_the_same_for_every_seed_and_trains(bert: Path, tmp_path: Path) -> None:
    ref = _masked_language_bert(tmp_path, bert)
    assert weights.contents(ref).new_parts == ("bert.pooler",)
    assert weights.contents(backbone.local(bert)).new_parts == ()
    first, other = (weights.load(ref, 3, seed) for seed in (1, 2))
    same = {name for name, tensor in first.state_dict().items() if torch.equal(tensor, other.state_dict()[name])}
    assert {"bert.pooler.dense.weight", "classifier.weight"} & same == {"bert.pooler.dense.weight"}
    assert list(head_modules(first)) == ["bert.pooler", "classifier"]
    assert list(head_modules(weights.load(backbone.local(bert), 3, 1))) == ["classifier"]


def test_half_a_pooler_is_refused(bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    ref = _saved(AutoModel.from_pretrained(bert), tmp_path, lambda name: None if name == "pooler.dense.bias" else name)
    with pytest.raises(UsageError, match=r"lack bert\.pooler\.dense\.bias;"):
        weights.contents(ref)


def _cut_short(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-100])


def _one_shard_of_two(weights: Path) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(weights.parent).save_pretrained(weights.parent, max_shard_size="50KB")
    next(weights.parent.glob("model-00001-of-*")).unlink()
    weights.unlink(missing_ok=True)


def _index_alone(weights: Path) -> None:
    _one_shard_of_two(weights)
    for shard in weights.parent.glob("*.safetensors"):
        shard.unlink()


def _link_to_nowhere(weights: Path) -> None:
    weights.unlink()
    weights.symlink_to("blob-that-is-gone")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut_short, "its weights can't be loaded"),
        (lambda weights: weights.write_bytes(b""), "its weights can't be loaded"),
        (_one_shard_of_two, "its weights can't be loaded.*model-00001-of"),
        (_index_alone, "its index names weight files that are missing"),
        (_link_to_nowhere, r"model\.safetensors can't be read"),
    ],
)
def test_weights_that_can_not_be_read_are_refused(
    spoil: Callable[[Path], None], said: str, gpt2: Path, tmp_path: Path
) -> None:
    shutil.copytree(gpt2, tmp_path / "model")
    spoil(tmp_path / "model/model.safetensors")
    with pytest.raises(UsageError, match=said):
        weights.contents(backbone.local(tmp_path / "model"))


def test_ids_that_the_embedding_has_no_row_for_are_refused(gpt2: Path, tmp_path: Path) -> None:
    ref = backbone.local(gpt2)
    found = weights.contents(ref)
    rows = json.loads((gpt2 / "config.json").read_text())["vocab_size"]
    assert found.vocabulary == rows
    weights.check_ids(ref, found, rows - 1)
    with pytest.raises(UsageError, match=f"ids up to {rows}, but its weights know {rows} tokens"):
        weights.check_ids(ref, found, rows)
