"""The methods with a file of their own: what they train on GPT-2, and what they say to a model they can't serve."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

import methods
from methods import adapters, contract


def gpt2_124m() -> PreTrainedModel:
    """Return GPT-2 124M with 14 styles, without memory behind its tensors."""
    with torch.device("meta"):
        config = AutoConfig.for_model("gpt2", num_labels=14, pad_token_id=50256, use_cache=False)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
        return model


def tiny_distilbert() -> PreTrainedModel:
    return contract.tiny("distilbert", n_layers=2, n_heads=4, dim=32, hidden_dim=48)


HEAD = 14 * 768
GPT2 = 124_450_560


@pytest.mark.parametrize(
    ("name", "values", "adapter"),
    [
        ("head", {}, 0),
        ("probe", {}, 0),
        ("lora", {}, 294_912),
        ("lora", {"alpha": 128}, 294_912),
        ("lora", {"r": 2}, 36_864 * 2),
        ("ia3", {}, 64_512),
        ("prefix", {}, 368_640),
        ("prefix", {"tokens": 3}, 18_432 * 3),
    ],
)
def test_parameters_that_train_on_gpt2(name: str, values: dict[str, Any], adapter: int) -> None:
    assert adapters.count(methods.get(name)(**values).apply(gpt2_124m())) == (HEAD + adapter, GPT2 + adapter)


def test_frozen_trains_nothing() -> None:
    assert adapters.count(methods.get("frozen")().apply(gpt2_124m())) == (0, GPT2)


def test_full_trains_everything() -> None:
    assert adapters.count(methods.get("full")().apply(gpt2_124m())) == (GPT2, GPT2)


def test_bitfit_trains_every_bias_and_no_weight() -> None:
    module = methods.get("bitfit")().apply(gpt2_124m())
    block = 768 + 3 * 768 + 768 + 768 + 4 * 768 + 768  # ln_1, c_attn, c_proj, ln_2, c_fc, c_proj
    assert adapters.count(module) == (12 * block + 768 + HEAD, GPT2)
    assert {name.rpartition(".")[2] for name in adapters.trainable(module) if name != "score.weight"} == {"bias"}


def test_bitfit_says_which_model_has_no_biases() -> None:
    with pytest.raises(methods.MethodError, match=r"bitfit can't tune LlamaForSequenceClassification: .* no biases"):
        methods.get("bitfit")().apply(contract.tiny_llama())


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_bitfit_keeps_biases_in_float32_on_a_half_precision_backbone(architecture: str) -> None:
    """Trained in float32 and put onto the same backbone in bfloat16, they give what is near the rounding away."""

    def rounded() -> PreTrainedModel:
        return contract.in_bfloat16(contract.BACKBONES[architecture]())

    method = methods.get("bitfit")(learning_rate=0.02)
    exact = contract.adapted(method, lambda: rounded().float())
    start = contract.logits(exact)
    contract.train(method, exact)
    half = contract.adapted(method, rounded)
    own = {name: tensor for name, tensor in exact.state_dict().items() if name in adapters.trainable(exact)}
    half.load_state_dict(own, strict=False)
    inner = [
        (name, tensor) for name, tensor in half.named_parameters() if "score" not in name and "classif" not in name
    ]
    kinds = {name.rpartition(".")[2]: tensor.dtype for name, tensor in inner}
    assert kinds == {"weight": torch.bfloat16, "bias": torch.float32}
    moved = contract.difference(contract.logits(exact), start)
    off = contract.difference(contract.logits(half), contract.logits(exact))
    with torch.autocast("cpu", torch.bfloat16):
        off_under_autocast = contract.difference(contract.logits(half), contract.logits(exact))
    assert max(off, off_under_autocast) < 0.05 * moved


def test_bitfit_says_which_layer_it_does_not_know_in_half_precision() -> None:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
    half = contract.in_bfloat16(contract.tiny("deberta", **sizes))
    with pytest.raises(methods.MethodError, match="the bias of a DebertaLayerNorm in float32"):
        methods.get("bitfit")().apply(half)


@pytest.mark.parametrize(
    ("architecture", "head"), [("distilbert", "pre_classifier, classifier"), ("roberta", "classifier")]
)
def test_probe_says_which_head_is_more_than_a_layer(architecture: str, head: str) -> None:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
    model = tiny_distilbert() if architecture == "distilbert" else contract.tiny(architecture, **sizes)
    with pytest.raises(methods.MethodError, match=rf"its head \({head}\) isn't one linear layer"):
        methods.get("probe")().apply(model)


def test_targets_are_the_users_to_choose() -> None:
    module = methods.get("lora")(targets="c_attn,mlp.c_proj").apply(contract.tiny_gpt2())
    adapted = {name.split(".lora_A")[0].rpartition("h.0.")[2] for name in adapters.trainable(module) if "h.0." in name}
    assert {name for name in adapted if "lora_B" not in name} == {"attn.c_attn", "mlp.c_proj"}


def test_all_linear_is_every_linear_layer_of_the_backbone() -> None:
    module = methods.get("lora")(targets="all-linear", r=1).apply(contract.tiny_gpt2())
    assert sum("lora_A" in name for name in adapters.trainable(module)) == 8


@pytest.mark.parametrize("name", ["lora", "ia3"])
def test_wrong_targets_get_the_nearest_and_all_there_are(name: str) -> None:
    said = r"targets: GPT2For\w+ has no linear layer 'c_atn'; did you mean 'c_attn'\?; it has c_attn, c_fc, c_proj"
    with pytest.raises(methods.MethodError, match=said):
        methods.get(name)(targets="c_attn,c_atn").apply(contract.tiny_gpt2())


def test_the_head_is_no_target() -> None:
    with pytest.raises(methods.MethodError, match="no linear layer 'score'"):
        methods.get("lora")(targets="score").apply(contract.tiny_gpt2())


@pytest.mark.parametrize("name", ["head", "lora", "ia3"])
def test_an_architecture_that_peft_has_no_targets_for_is_served_with_its_whole_head(name: str) -> None:
    module = methods.get(name)().apply(tiny_distilbert())
    trained = " ".join(adapters.trainable(module))
    assert "pre_classifier" in trained
    assert " classifier" in trained or ".classifier" in trained
    if name != "head":
        assert "q_lin" in trained
        assert "lin2" in trained


@pytest.mark.parametrize("name", ["head", "lora"])
def test_a_head_that_peft_does_not_know_by_name_trains_whole(name: str) -> None:
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48}
    module = methods.get(name)().apply(contract.tiny("deberta-v2", **sizes))
    trained = {part for parameter in adapters.trainable(module) for part in parameter.split(".")}
    assert {"pooler", "classifier"} <= trained


def test_alpha_over_r_scales_the_update_of_lora() -> None:
    moved = []
    for values in ({"r": 2, "alpha": 4}, {"r": 2, "alpha": 8}, {"r": 4, "alpha": 8}):
        merged = methods.get("lora")(**values).apply(contract.tiny_gpt2())
        for name, parameter in adapters.trainable(merged).items():
            torch.nn.init.constant_(parameter, 0.1 if "lora_" in name else 0.0)
        layer = merged.get_submodule("base_model.model.transformer.h.0.attn.c_attn")
        moved.append(float(layer.get_delta_weight("default").mean()))  # type: ignore[operator]
    assert moved == pytest.approx([2 * 2 * 0.01, 4 * 2 * 0.01, 2 * 4 * 0.01])


def test_prefix_says_which_model_takes_none() -> None:
    said = "prefix can't tune DistilBertForSequenceClassification: it doesn't take keys and values"
    with pytest.raises(methods.MethodError, match=said):
        methods.get("prefix")().apply(tiny_distilbert())


def test_prefix_says_when_it_is_too_long() -> None:
    with pytest.raises(methods.MethodError, match=r"prefix\.tokens=64 leaves no room for a text: .* has 64 positions"):
        methods.get("prefix")(tokens=64).apply(contract.tiny_gpt2())


def test_prefix_says_how_many_positions_it_takes() -> None:
    assert methods.get("prefix")(tokens=7).prepended_tokens == 7
    assert methods.get("lora")().prepended_tokens == 0


def test_what_peft_refuses_is_said_in_one_line() -> None:
    model = contract.tiny_gpt2()
    model.gradient_checkpointing_enable()
    with pytest.raises(methods.MethodError, match=r"^prefix can't tune GPT2ForSequenceClassification: .*checkpointing"):
        methods.get("prefix")().apply(model)


@pytest.mark.parametrize("name", methods.names())
def test_a_model_without_a_head_is_refused(name: str) -> None:
    config = GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=16, n_positions=32, bos_token_id=1, eos_token_id=1)
    for model in (GPT2LMHeadModel(config), GPT2Model(config)):
        with pytest.raises(methods.MethodError, match=f"{type(model).__name__} has no classification head"):
            methods.get(name)().apply(model)


@pytest.mark.parametrize("name", methods.names())
def test_a_model_that_carries_a_method_is_refused(name: str) -> None:
    model = contract.tiny_gpt2()
    methods.get(name)().apply(model, contract.PLAN)
    with pytest.raises(methods.MethodError, match=f"carries the method '{name}' already"):
        methods.get("head")().apply(model)


@pytest.mark.parametrize("name", ["lora", "ia3"])
def test_a_saved_adapter_works_on_a_stock_gpt2_through_peft_alone(name: str, tmp_path: Any) -> None:
    method = methods.get(name)()
    module = contract.adapted(method, contract.tiny_gpt2)
    contract.train(method, module)
    adapters.save(module, tmp_path)
    stock = contract.backbone_with_another_head(contract.tiny_gpt2)
    loaded = PeftModel.from_pretrained(stock, str(tmp_path))
    assert any(isinstance(part, Conv1D) for part in loaded.modules())
    assert contract.difference(contract.logits(loaded), contract.logits(module)) < contract.SAME
    assert contract.difference(contract.logits(module), contract.logits(contract.tiny_gpt2())) > contract.SAME


@pytest.mark.parametrize("name", methods.names())
def test_autocast_works_on_a_half_precision_backbone(name: str) -> None:
    exact = contract.logits(contract.adapted(methods.get(name)(), contract.tiny_gpt2))
    module = contract.adapted(methods.get(name)(), lambda: contract.in_bfloat16(contract.tiny_gpt2()))
    with torch.autocast("cpu", torch.bfloat16):
        assert contract.difference(contract.logits(module), exact) < 0.05


@pytest.mark.parametrize("architecture", contract.BACKBONES)
def test_the_prefix_is_read_with_the_cache_off(architecture: str) -> None:
    module = contract.adapted(methods.get("prefix")(), contract.BACKBONES[architecture])
    before = contract.logits(module)
    with torch.no_grad():
        for name, parameter in adapters.trainable(module).items():
            if "prompt_encoder" in name:
                parameter.mul_(-3)
    assert contract.difference(contract.logits(module), before) > 1e-4
