"""peft's files: what real ones become here, what in them is refused, and that what is written is read again."""

from __future__ import annotations

import json
import re
import warnings
from typing import TYPE_CHECKING, Any

import peft
import pytest
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig

import methods
from methods import MethodError, contract, peft_config
from methods.conv1d import to_linear
from methods.from_peft import RATES
from methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from pathlib import Path

PEFTS = [name for name in methods.names() if getattr(methods.get(name), "peft_type", "")]


def saved(config: PeftConfig, folder: Path) -> dict[str, Any]:
    """What peft itself writes of a configuration."""
    config.save_pretrained(str(folder))
    content: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    return content


def unlike_default(config: PeftConfig, folder: Path) -> tuple[str, dict[str, Any]]:
    """The method that a configuration becomes, and what of it differs from the method's defaults."""
    name, values = peft_config.read(saved(config, folder))
    default = methods.get(name)().hyperparameters()
    return name, {field: value for field, value in values.items() if value != default[field]}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LoraConfig(r=32, lora_alpha=64, task_type="CAUSAL_LM"), ("lora", {"r": 32, "alpha": 64})),
        (LoraConfig(), ("lora", {"alpha": 8})),
        (LoraConfig(target_modules=["v_proj", "q_proj"]), ("lora", {"alpha": 8, "targets": ["q_proj", "v_proj"]})),
        (LoraConfig(target_modules=r".*\.c_attn"), ("lora", {"alpha": 8, "targets": [r".*\.c_attn"]})),
        (LoraConfig(target_modules="all-linear"), ("lora", {"alpha": 8, "targets": ["all-linear"]})),
        (LoraConfig(lora_alpha=32, fan_in_fan_out=True, modules_to_save=["score"]), ("lora", {})),
        (LoraConfig(lora_alpha=32, use_dora=True), ("dora", {})),
        (LoraConfig(use_rslora=True, bias="all"), ("rslora", {"lora_alpha": 8, "bias": "all"})),
        (LoraConfig(lora_alpha=32, use_dora=True, use_rslora=True), ("dora", {"use_rslora": True})),
        (LoraConfig(init_lora_weights="pissa"), ("pissa", {})),
        (LoraConfig(lora_alpha=16, kasa_config={"beta": 1e-4, "gamma": 1e-3}), ("kasa", {})),
        (LoraConfig(lora_alpha=16, monteclora_config={"num_samples": 10}), ("monteclora", {})),
        (peft.OFTConfig(r=32, oft_block_size=0), ("oft", {"r": 32, "oft_block_size": 0})),
        (peft.OFTConfig(), ("oft", {})),
        (peft.MissConfig(init_weights="bat"), ("miss_bat", {})),
        (peft.BOFTConfig(), ("boft", {})),
        (IA3Config(), ("ia3", {})),
        (
            IA3Config(target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"]),
            ("ia3", {"targets": ["c_attn", "mlp.c_proj"]}),
        ),
        (AdaLoraConfig(total_step=5000, tinit=200, tfinal=500, init_r=64), ("adalora", {"init_r": 64, "alpha": 8})),
        (PrefixTuningConfig(num_virtual_tokens=9, encoder_hidden_size=768), ("prefix", {"tokens": 9})),
        (
            PromptTuningConfig(num_virtual_tokens=9, token_dim=64, num_layers=2),
            ("prompt_tuning", {"num_virtual_tokens": 9}),
        ),
    ],
    ids=lambda given: given.peft_type.lower() if isinstance(given, PeftConfig) else given[0],
)
def test_a_file_of_pefts_is_a_method_with_its_settings(
    config: PeftConfig, expected: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    assert unlike_default(config, tmp_path) == expected


def test_what_a_file_leaves_out_is_as_in_peft() -> None:
    name, values = peft_config.read({"peft_type": "LORA", "r": 4})
    assert (name, values["r"], values["alpha"]) == ("lora", 4, LoraConfig().lora_alpha)
    assert not values.keys() & set(RATES)


@pytest.mark.parametrize("name", PEFTS)
def test_a_method_is_adapted_as_peft_does_by_the_file_that_is_written_of_it(name: str, tmp_path: Path) -> None:
    """peft makes the same configuration of that file, field by field, as the method does; and back it is the method."""
    method: Any = methods.get(name)(learning_rate=0.0125)
    model = to_linear(contract.tiny("gpt2", n_layer=2, n_head=4, n_embd=64, n_positions=64))
    used = method.config(model, contract.PLAN)
    resolved = {field: getattr(used, field) for field in method.at_most}
    content = peft_config.write(method, resolved, contract.PLAN.steps)
    named = json.loads(json.dumps(peft_config.describe(method, resolved)))
    (tmp_path / "adapter_config.json").write_text(json.dumps(content), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which is how peft tells of a field that it doesn't know
        loaded = PeftConfig.from_pretrained(str(tmp_path))
    there, here = loaded.to_dict(), used.to_dict()
    by_architecture = {"target_modules", "feedforward_modules"}
    assert {f for f in here if here[f] != there[f]} <= by_architecture | {"peft_version"}
    assert peft_config.read(content, named) == (name, method.hyperparameters())


def test_what_was_changed_in_a_written_file_holds() -> None:
    method = methods.get("miss")(learning_rate=0.0125)
    assert isinstance(method, PeftMethod)
    content, named = peft_config.write(method, {"r": 16}, None), peft_config.describe(method, {"r": 16})
    assert peft_config.read(content, named)[1]["r"] is None
    assert peft_config.read(content)[1]["r"] == 16
    changed = {**content, "r": 8, "target_modules": ["c_fc"]}
    assert peft_config.read(changed, named)[1] == {**method.hyperparameters(), "r": 8, "target_modules": ["c_fc"]}


@pytest.mark.parametrize("target", ["all-linear", r".*\.c_attn"])
def test_what_peft_takes_as_a_text_is_written_as_one(target: str) -> None:
    for name, field in (("lora", "targets"), ("dora", "target_modules")):
        method = methods.get(name)(**{field: [target]})
        assert isinstance(method, PeftMethod)
        content = peft_config.write(method, {}, None)
        assert content["target_modules"] == target
        assert peft_config.read(content)[1][field] == [target]


def test_what_only_an_optimizer_makes_is_told_by_what_stands_beside_the_file() -> None:
    method = methods.get("lora_plus")()
    assert isinstance(method, PeftMethod)
    content = peft_config.write(method, {}, None)
    assert peft_config.read(content)[0] == "lora"
    assert peft_config.read(content, peft_config.describe(method, {}))[0] == "lora_plus"
    with pytest.raises(MethodError, match="peft_type LORA isn't that of vera"):
        peft_config.read(content, {"method": "vera", "hyperparameters": {}})
    with pytest.raises(MethodError, match="names no method with its hyperparameters"):
        peft_config.read(content, {})


LORA = {"peft_type": "LORA"}
VERSION = re.escape(peft.__version__)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, rf"peft {VERSION} has no peft_type None"),
        ({"peft_type": "LORRA"}, rf"peft {VERSION} has no peft_type 'LORRA'; did you mean 'LORA'\?"),
        ({"peft_type": "TRAINABLE_TOKENS"}, "TRAINABLE_TOKENS can't run: trains the embeddings of tokens"),
        ({**LORA, "lora_alhpa": 3}, rf"peft {VERSION} has no field 'lora_alhpa'; did you mean 'lora_alpha'\?"),
        ({**LORA, "r": 0}, r"lora\.r=0 isn't allowed: it must be a whole number at least 1"),
        ({**LORA, "megatron_config": {"a": 1}}, "megatron_config={'a': 1}: nothing is computed in parallel"),
        ({**LORA, "use_qalora": True}, "use_qalora=True: averages inputs to match a quantised backbone"),
        ({**LORA, "init_lora_weights": "eva"}, "init_lora_weights='eva': starts LoRA from the singular vectors"),
        ({**LORA, "init_lora_weights": "gaussian"}, "init_lora_weights='gaussian': lora has no such hyperparameter"),
        ({**LORA, "rank_pattern": {"c_attn": 4}}, "rank_pattern={'c_attn': 4}: all layers have the same settings"),
        ({**LORA, "modules_to_save": ["wte"]}, r"modules_to_save=\['wte'\]: lora trains the head beside the adapter"),
        ({**LORA, "kasa_config": {"beta": 1, "gamma": 1}}, "kasa_config={'beta': 1, 'gamma': 1}: kasa has"),
        ({**LORA, "monteclora_config": {}, "bias": "all"}, "bias='all'"),
        ({**LORA, "use_dora": True, "exclude_modules": ".*lm"}, r"exclude_modules='\.\*lm': name the layers"),
        ({"peft_type": "BOFT", "boft_n_butterfly_factor": 2}, "boft_n_butterfly_factor=2: boft has 1 here"),
        ({"peft_type": "ADALORA", "total_step": 1000, "tinit": 7}, "tinit=7: the schedule is the run's here"),
        ({"peft_type": "IA3", "target_modules": ["fc1"], "feedforward_modules": ["fc1"]}, "leave it out"),
        ({"peft_type": "PROMPT_TUNING"}, "num_virtual_tokens isn't given"),
        ({**LORA, "bias": "all", "layers_to_transform": [1]}, r"bias='all': .*; layers_to_transform=\[1\]: "),
    ],
)
def test_what_would_change_the_adapter_and_cannot_be_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(MethodError, match=said):
        peft_config.read(content)


def test_a_file_of_another_version_is_right_where_what_is_unknown_is_off() -> None:
    content: dict[str, Any] = {
        "peft_type": "OFT",
        "rank_pattern": {},
        "of_tomorrow": None,
        "also": False,
        "peft_version": "99.1",
    }
    assert peft_config.read(content) == peft_config.read({"peft_type": "OFT"})
    with pytest.raises(MethodError, match=f"peft {VERSION} has no field 'of_tomorrow'"):
        peft_config.read({**content, "of_tomorrow": 0.5})


def trained(module: Any) -> dict[str, Any]:
    """The sizes of what trains, by name."""
    return {name: parameter.shape for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", ["lora", "dora", "ia3", "ln_tuning"])
def test_a_regular_expression_names_the_layers_that_it_names_in_peft(name: str) -> None:
    pattern = r".*\.1\.(ln_1|ln_2)" if name == "ln_tuning" else r"transformer\.h\.1\.(attn\.c_attn|mlp\.c_proj)"
    key = "targets" if name in ("lora", "ia3") else "target_modules"
    module: Any = contract.adapted(methods.get(name)(**{key: [pattern]}), contract.tiny_gpt2)
    options = {"use_dora": True} if name == "dora" else {}
    in_peft = type(module.active_peft_config)(target_modules=pattern, task_type="SEQ_CLS", **options)
    assert trained(module) == trained(peft.get_peft_model(to_linear(contract.tiny_gpt2()), in_peft))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(".*q_proj", "matches no layer of GPT2ForSequenceClassification as a whole; it has c_attn"), ("(", "no regular")],
)
def test_an_expression_that_names_nothing_is_explained(pattern: str, said: str) -> None:
    with pytest.raises(MethodError, match=said):
        contract.adapted(methods.get("lora")(targets=[pattern]), contract.tiny_gpt2)


def test_a_block_of_no_size_leaves_it_to_the_rank() -> None:
    module: Any = contract.adapted(methods.get("oft")(r=4, oft_block_size=0), contract.tiny_gpt2)
    in_peft = peft.OFTConfig(r=4, oft_block_size=0, task_type="SEQ_CLS")
    assert trained(module) == trained(peft.get_peft_model(to_linear(contract.tiny_gpt2()), in_peft))
