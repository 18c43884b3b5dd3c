"""peft's methods: each is here or says why not, trains as in peft, and is computed packed as it computes itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from peft import PeftModel
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

import methods
from bench.data import TokenSplit
from bench.model import packed
from bench.model.forward import Forward
from methods import adapters, catalogue, contract, from_peft
from methods.conv1d import to_linear
from methods.peft_types import ABOUT, UNABLE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROOT = Path(__file__).parents[2]
OWN_NAMES = set(from_peft.OWN.values())
PADDED = {"adaption_prompt", "cartridge", "p_tuning", "prompt_tuning"}
"""What changes more than the layers within GPT-2's blocks."""


def test_every_type_of_peft_is_a_method_or_says_why_not() -> None:
    types = {kind.value.lower() for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert types == set(from_peft.names()) & types | set(from_peft.OWN) | set(methods.unable()) & types
    assert set(methods.names()) >= OWN_NAMES | set(from_peft.names())
    assert all(why and "\n" not in why for why in methods.unable().values())


def test_a_type_that_a_newer_peft_adds_is_a_method_by_itself() -> None:
    found = catalogue.catalogue()
    newer = found.model_copy(update={"types": {**found.types, "vera_two": found.types["vera"]}})
    method: Any = from_peft.methods_of(newer)["vera_two"]
    assert method(r=4).hyperparameters()["r"] == 4
    assert method.learning_rate_source == "the default of peft's own comparison (MetaMathQA)"


def test_a_version_that_none_ships_for_is_looked_at_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The child process looks at the peft that is installed, so it finds what the catalogue for that one says.

    Where it doesn't, `python -m methods.survey` makes the file that ships again.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    catalogue._of.cache_clear()
    assert catalogue._of("99.1") == catalogue.catalogue()
    assert "peft 99.1 is new here" in capfd.readouterr().err
    catalogue._of.cache_clear()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert catalogue._of("99.1") == catalogue.catalogue()
    catalogue._of.cache_clear()


def test_a_damaged_cache_is_no_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "peft.json"
    file.write_text('{"peft": "0.21.2", "types": ')
    assert catalogue.read(file) is None
    catalogue.write(catalogue.catalogue(), file)
    assert catalogue.read(file) == catalogue.catalogue()


def test_the_list_says_of_each_what_it_is_without_torch() -> None:
    code = "import sys; from bench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code, "list", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    listed = {one["name"]: one for one in json.loads(done.stdout)}
    assert listed["vera"]["family"] == "lora-family"
    assert listed["vera"]["defaults"]["r"] == 256
    assert listed["xlora"] == {"name": "xlora", "unable": UNABLE["xlora"]}
    assert all(one.get("learning_rate_source") or one.get("unable") for one in listed.values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("poly", "'poly' can't run: learns from several tasks"),
        ("prefix_tuning", "peft's 'prefix_tuning' is called 'prefix' here"),
        ("dorra", "did you mean 'dora'"),
    ],
)
def test_a_name_that_cannot_be_had_is_explained(name: str, said: str) -> None:
    with pytest.raises(methods.MethodError, match=said):
        methods.get(name)


def test_hyperparameters_have_pefts_names_and_types() -> None:
    method = methods.get("vera")
    assert method.parse_values("target_modules", "c_attn+c_proj,c_fc") == (("c_attn", "c_proj"), ("c_fc",))
    with pytest.raises(methods.MethodError, match=r"vera has no hyperparameter 'rank'"):
        method(rank=3)
    with pytest.raises(methods.MethodError, match=r"vera\.r='many' isn't allowed: it must be a whole number"):
        method(r="many")
    with pytest.raises(methods.MethodError, match="no hyperparameter 'use_dora'"):
        methods.get("dora")(use_dora=False)


def test_what_must_divide_the_widths_does() -> None:
    method = methods.get("c3a")()
    narrow, wide = contract.tiny_gpt2(), contract.tiny("gpt2", n_layer=1, n_head=4, n_embd=96, n_positions=64)
    assert [cast("Any", method).config(to_linear(model), None).block_size for model in (narrow, wide)] == [64, 96]


def narrow_llama() -> PreTrainedModel:
    """Return a Llama whose narrowest layers are 16 by 8."""
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return contract.tiny("llama", **heads, hidden_size=16, intermediate_size=32, max_position_embeddings=64)


FITTED = {
    "adaption_prompt": ("adapter_layers", 2),
    "boft": ("boft_block_size", 4),
    "c3a": ("block_size", 8),
    "fourierft": ("n_frequency", 128),
    "gralora": ("gralora_k", 2),
    "kasa": ("r", 7),
    "mica": ("r", 8),
    "psoft": ("r", 8),
    "shira": ("r", 5),
    "vblora": ("vector_length", 8),
    "waveft": ("n_frequency", 128),
}
"""What is used of a hyperparameter on the narrow Llama where none is set."""
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj")


def _with_targets(name: str, **values: Any) -> methods.Method:
    targets = {} if name == "adaption_prompt" else {"target_modules": ALL_LINEAR}
    return methods.get(name)(**targets, **values)


@pytest.mark.parametrize("name", FITTED)
def test_a_default_shrinks_to_fit_the_layers_and_is_told(name: str) -> None:
    field, value = FITTED[name]
    method = _with_targets(name)
    assert method.hyperparameters()[field] is None
    with torch.random.fork_rng():
        module = contract.adapted(method, narrow_llama)
        assert method.resolved(module)[field] == value
        contract.train(method, module)


@pytest.mark.parametrize("name", ["adaption_prompt", "c3a", "fourierft", "kasa", "mica", "psoft", "shira", "waveft"])
def test_a_value_that_does_not_fit_is_refused_with_the_largest(name: str) -> None:
    field, most = FITTED[name]
    too_large = rf"^{name}\.{field}=129 doesn't fit the layers of LlamaForSequenceClassification: at most {most}$"
    with pytest.raises(methods.MethodError, match=too_large):
        contract.adapted(_with_targets(name, **{field: 129}), narrow_llama)
    with torch.random.fork_rng():
        contract.adapted(_with_targets(name, **{field: most}), narrow_llama)


def test_what_a_method_chose_by_architecture_is_told() -> None:
    method = methods.get("vera")()
    assert method.resolved(contract.adapted(method, contract.tiny_bert)) == {"target_modules": ["query", "value"]}
    assert methods.get("lora")().resolved(contract.adapted(methods.get("lora")(), contract.tiny_bert)) == {}


def _trained(name: str, backbone: contract.Backbone = contract.tiny_gpt2) -> torch.nn.Module:
    with torch.random.fork_rng():
        method = methods.get(name)()
        module = contract.adapted(method, backbone)
        contract.train(method, module)
    return module


@pytest.mark.parametrize("name", sorted({*from_peft.names(), *OWN_NAMES, "full", "bitfit"}))
def test_packed_is_what_the_module_computes_itself(name: str) -> None:
    """Where it isn't computed padded, that is."""
    module = _trained(name)
    model = packed.gpt2(module)
    assert (model is None) == (name in PADDED)
    if model is None:
        return
    ids, mask, _ = contract.batch()
    lengths = mask.sum(1).numpy()
    split = TokenSplit(
        ids=ids[mask.bool()].to(torch.int32).numpy(),
        offsets=np.concatenate([[0], lengths.cumsum()]),
        labels=np.zeros(len(lengths), dtype=np.int64),
    )
    with torch.no_grad():
        found = Forward(module.eval(), "cpu", "fp32", 0, styles=3)(split, np.arange(len(lengths)))
    assert contract.difference(found, contract.logits(module)) <= contract.SAME


@pytest.mark.parametrize("name", ["prompt_tuning", "p_tuning"])
def test_prompts_are_read_where_the_text_is_read(name: str) -> None:
    """GPT-2's head reads a text's last token, BERT's pooler its first, wherever virtual tokens have put it."""
    ids, mask, _ = contract.batch()
    for backbone in (contract.tiny_gpt2, contract.tiny_bert):
        module = cast("PeftModel", _trained(name, backbone).eval())
        model: Any = module.get_base_model()
        with torch.no_grad():
            prompt = module.get_prompt(batch_size=1)
            for row, length in enumerate(mask.sum(1).tolist()):
                words = model.get_input_embeddings()(ids[row : row + 1, :length])
                states = model.base_model(inputs_embeds=torch.cat([prompt, words], dim=1)).last_hidden_state
                if backbone is contract.tiny_gpt2:
                    expected = model.score(states[:, -1])
                else:
                    first = states[:, prompt.shape[1]]
                    expected = model.classifier(torch.tanh(model.bert.pooler.dense(first)))
                assert contract.difference(expected[0], contract.logits(module)[row]) <= contract.SAME


def test_adalora_gives_its_budget_to_what_matters() -> None:
    steps = 40
    method = methods.get("adalora")(init_r=6, target_r=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = method.apply(contract.tiny_gpt2(), methods.Plan(epochs=1, steps=steps))
        optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-2)
        ids, mask, labels = contract.batch()
        for step in range(steps):
            optimizer.zero_grad()
            found = module(input_ids=ids, attention_mask=mask).logits
            (torch.nn.functional.cross_entropy(found, labels) + cast("Any", method).penalty(module)).backward()
            optimizer.step()
            cast("Any", method).after_step(module, step)
    kept = [int((p != 0).sum()) for name, p in module.named_parameters() if "lora_E" in name]
    assert sum(kept) == 2 * len(kept)


def test_adaloras_penalty_is_what_peft_adds_to_a_loss() -> None:
    method, module = methods.get("adalora")(), _trained("adalora")
    ids, mask, labels = contract.batch()
    pefts = module(input_ids=ids, attention_mask=mask, labels=labels).loss
    ours = torch.nn.functional.cross_entropy(contract.logits(module), labels) + cast("Any", method).penalty(module)
    assert pefts.item() == pytest.approx(ours.item(), rel=1e-5)


def test_an_adapter_that_needs_linear_layers_says_so(tmp_path: Path) -> None:
    for name, noted in (("boft", True), ("dora", False)):
        adapters.save(_trained(name), tmp_path / name)
        described = json.loads((tmp_path / name / "method.json").read_text())
        assert ("note" in described) == noted
    adapters.save(_trained("boft", contract.tiny_llama), tmp_path / "llama")
    assert "note" not in json.loads((tmp_path / "llama" / "method.json").read_text())
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        PeftModel.from_pretrained(contract.tiny_gpt2(), str(tmp_path / "boft"))
    PeftModel.from_pretrained(to_linear(contract.tiny_gpt2()), str(tmp_path / "boft"))


def test_variants_are_their_type_with_options() -> None:
    assert {name for name, about in ABOUT.items() if about.peft_type} <= set(methods.names())
    assert any(parameter.numel() for name, parameter in _trained("dora").named_parameters() if "magnitude" in name)
