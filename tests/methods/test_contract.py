"""Every registered method keeps every promise, on every architecture; and the checks notice broken promises."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import bench
import methods
from methods import adapters, contract
from methods.conv1d import to_linear
from methods.prepare import count_to_head, head_modules
from methods.spaces import Range

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@cache
def _embedded() -> PreTrainedModel:
    folder = Path(bench.__file__).parent / "assets" / "backbone"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=contract.STYLES, pad_token_id=contract.PAD, use_cache=False, dtype=torch.float32
        )
    return model


BACKBONES: dict[str, contract.Backbone] = {
    "embedded": lambda: copy.deepcopy(_embedded()),
    "llama": contract.tiny_llama,
    "bert": contract.tiny_bert,
}
UNSERVED = {
    ("adaption_prompt", "bert"): "Unsupported model type",
    ("bitfit", "llama"): "its backbone has no biases",
}
"""What a method says of an architecture that it can't serve."""


@pytest.mark.parametrize("architecture", BACKBONES)
@pytest.mark.parametrize("name", methods.names())
def test_method_keeps_its_promises(name: str, architecture: str) -> None:
    """A method that can't serve an architecture says so in the words expected here."""
    if (name, architecture) in UNSERVED:
        with pytest.raises(methods.MethodError, match=UNSERVED[name, architecture]):
            contract.violations(methods.get(name)(), BACKBONES[architecture])
        return
    assert contract.violations(methods.get(name)(), BACKBONES[architecture]) == {}


def _bert_without_a_pretrained_pooler() -> PreTrainedModel:
    model = contract.tiny_bert()
    count_to_head(model, ["bert.pooler"])
    return model


@pytest.mark.parametrize("name", ["frozen", "head", "lora", "prefix", "prompt_tuning", "full"])
def test_a_pooler_that_counts_to_the_head_is_trained_saved_and_loaded_with_it(name: str, tmp_path: Path) -> None:
    method = methods.get(name)()
    assert contract.violations(method, _bert_without_a_pretrained_pooler) == {}
    module = contract.adapted(method, _bert_without_a_pretrained_pooler)
    trained = contract.train(method, module)
    assert any("pooler" in parameter for parameter in trained) == (name != "frozen")
    adapters.save(module, tmp_path)
    elsewhere = adapters.load(contract.tiny_bert(), tmp_path)  # a model for which nobody said so
    assert contract.difference(contract.logits(elsewhere), contract.logits(module)) <= contract.SAME


class Broken(methods.Method):
    """A method that keeps every promise but the one that a test takes from it."""

    name: ClassVar[str] = "broken"
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    learning_rate: methods.LearningRate = 1e-2

    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        return model


class ForgetsTheHead(Broken):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        model.requires_grad_(False)
        next(model.parameters()).requires_grad_(True)
        return model


class TouchesTheBackbone(Broken):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        with torch.no_grad():
            next(model.parameters()).add_(1.0)
        return model


class ChangesTheBackboneInTraining(Broken):
    def after_step(self, module: nn.Module, step: int) -> None:
        with torch.no_grad():
            next(module.parameters()).add_(1.0)


class TrainsWhatNothingReads(Broken):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        model.idle = torch.nn.Parameter(torch.ones(1))
        return model


class TrainsInHalfPrecision(Broken):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        for head in head_modules(model).values():
            head.to(torch.bfloat16)
        return model


class CallsItselfAnIdentity(Broken):
    identity_at_start: ClassVar[bool] = True

    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        for head in head_modules(model).values():
            torch.nn.init.normal_(next(head.parameters()))
        return model


class KeepsStateOutsideItsParameters(Broken):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        shift = torch.randn(1)
        head_modules(model).popitem()[1].register_forward_hook(lambda module, inputs, output: output + shift)
        return model


class ReadsThePadding(Broken):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        model.config.pad_token_id = 95
        return model


class SweepsNonsense(Broken):
    sweep: ClassVar[dict[str, tuple[Any, ...]]] = {"learning_rate": (1e-3, -1.0)}


class SearchesNonsense(Broken):
    searched: ClassVar[dict[str, Range]] = {"learning_rate": Range(1e-3, 2.0, why="large rates are quick")}


class TakesAnything(Broken):
    free: Any = None


@pytest.mark.parametrize(
    ("method", "check"),
    [
        (ForgetsTheHead, contract.own_parameters_and_head_train),
        (TrainsInHalfPrecision, contract.own_parameters_and_head_train),
        (TouchesTheBackbone, contract.backbone_stays_bit_identical),
        (ChangesTheBackboneInTraining, contract.backbone_stays_bit_identical),
        (TrainsWhatNothingReads, contract.gradient_reaches_every_parameter),
        (CallsItselfAnIdentity, contract.fresh_one_changes_nothing),
        (KeepsStateOutsideItsParameters, contract.saved_and_loaded_predicts_the_same),
        (ReadsThePadding, contract.padding_makes_no_difference),
        (SweepsNonsense, contract.default_sweep_is_valid),
        (SearchesNonsense, contract.space_is_valid),
        (TakesAnything, contract.bad_hyperparameters_are_refused_by_name),
    ],
)
def test_check_notices_a_broken_promise(
    method: type[methods.Method], check: contract.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        monkeypatch.setitem(methods.registry._registered, "broken", Broken)
        check(Broken(), contract.tiny_gpt2)
        monkeypatch.setitem(methods.registry._registered, "broken", method)
        with pytest.raises(contract.ContractViolation):
            check(method(), contract.tiny_gpt2)


def test_violations_names_the_broken_check_and_says_how() -> None:
    found = contract.violations(TouchesTheBackbone(), contract.tiny_gpt2)
    assert "changes the backbone's transformer.wte.weight" in found["backbone_stays_bit_identical"]
    assert contract.violations(methods.get("lora")(), contract.tiny_gpt2) == {}


def test_violations_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    contract.violations(methods.get("prefix")(), contract.tiny_gpt2)
    assert torch.equal(torch.get_rng_state(), before)


def test_violations_refuses_a_backbone_that_the_method_cannot_serve() -> None:
    with pytest.raises(methods.MethodError, match="leaves no room"):
        contract.violations(methods.get("prefix")(tokens=64), lambda: to_linear(contract.tiny_gpt2()))
