"""Full fine-tuning: everything trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from methods.base import LearningRate, Method, Plan
from methods.registry import register

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@register
class Full(Method):
    """The whole backbone trains, embeddings included, and the head: the anchor that the other methods try to reach."""

    name: ClassVar[str] = "full"
    trains: ClassVar[str] = "everything: the whole backbone, and the head"
    paper: ClassVar[str] = "Radford et al. 2018, Improving Language Understanding by Generative Pre-Training"
    family: ClassVar[str] = "anchors"
    learning_rate_source: ClassVar[str] = "the paper's for classification, with a model of GPT-2's size and shape"
    identity_at_start: ClassVar[bool] = True

    learning_rate: LearningRate = 6.25e-5

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Thaw the backbone, in float32 even where it is kept in bfloat16: what trains is."""
        model.float().requires_grad_(True)
        return model
