"""Only the classification head: a linear probe trained by gradient steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from methods.base import LearningRate, Method, Plan
from methods.registry import register

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@register
class Head(Method):
    """The classification head trains, the backbone stays as it is."""

    name: ClassVar[str] = "head"
    trains: ClassVar[str] = "the classification head"
    paper: ClassVar[str] = "Alain & Bengio 2016, arXiv 1610.01644 (linear probes)"
    family: ClassVar[str] = "anchors"
    learning_rate_source: ClassVar[str] = "Adam's own default (Kingma & Ba 2015, arXiv 1412.6980)"
    fixed_features: ClassVar[bool] = True
    identity_at_start: ClassVar[bool] = True

    learning_rate: LearningRate = 1e-3

    @property
    def free_in_one_pass(self) -> frozenset[str]:
        """Heads on the same features differ in what they learn alone."""
        return frozenset({"learning_rate"})

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Return the model as it comes: only its head requires grad."""
        return model
