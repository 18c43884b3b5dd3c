"""The contract notices features that a method calls fixed, or is fitted to, and that aren't."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
import torch

import methods
from methods import contract
from methods.prepare import base_model

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class Fixed(methods.Method):
    """Trains the head by gradient steps on features that stay as they are."""

    name: ClassVar[str] = "fits"
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    fixed_features: ClassVar[bool] = True
    learning_rate: methods.LearningRate = 1e-1

    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        return model


class Fits(Fixed):
    """Is fitted, as it should be: a text gets the style whose texts' mean is nearest, where the head has a bias."""

    def fit(self, head: nn.Linear, features: Tensor, labels: Tensor) -> None:
        means = torch.stack([features[labels == style].mean(dim=0) for style in range(contract.STYLES)])
        with torch.no_grad():
            head.weight.copy_(means)
            if head.bias is not None:
                head.bias.copy_(-means.square().sum(dim=1) / 2)


class FitsToWhatMayChange(Fits):
    fixed_features: ClassVar[bool] = False


class FitsWhatDoesNotTrain(Fits):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        return model.requires_grad_(False)


class ChangesTheFeaturesFirst(Fits):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        base_model(model).ln_f.register_forward_hook(lambda module, inputs, output: 2 * output)  # type: ignore[union-attr]
        return model


class TrainsABiasBelowTheHead(Fixed):
    def adapt(self, model: PreTrainedModel, plan: methods.Plan | None) -> nn.Module:
        base_model(model).ln_f.bias.requires_grad_(True)  # type: ignore[union-attr]
        return model


class LeavesTheHead(Fits):
    def fit(self, head: nn.Linear, features: Tensor, labels: Tensor) -> None:
        """Do nothing."""


@pytest.mark.parametrize("architecture", contract.BACKBONES)
def test_a_fitted_method_passes(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.registry._registered, "fits", Fits)
    assert contract.violations(Fits(), contract.BACKBONES[architecture]) == {}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (FitsToWhatMayChange, "features that it doesn't call fixed"),
        (FitsWhatDoesNotTrain, "nothing that trains"),
        (ChangesTheFeaturesFirst, "differs from the backbone's"),
        (TrainsABiasBelowTheHead, "differs from the backbone's"),
    ],
)
def test_features_that_change_are_noticed(method: type[Fixed], said: str) -> None:
    with pytest.raises(contract.ContractViolation, match=said), torch.random.fork_rng():
        contract.fixed_features_stay_fixed(method(), contract.tiny_gpt2)


def test_a_fit_that_leaves_the_head_as_it_was_is_noticed() -> None:
    with pytest.raises(contract.ContractViolation, match=r"reaches score\.weight"), torch.random.fork_rng():
        contract.gradient_reaches_every_parameter(LeavesTheHead(), contract.tiny_gpt2)
