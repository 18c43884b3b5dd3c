"""The backbone as it comes, with a head that never learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from methods.base import Method, Plan
from methods.registry import register

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@register
class Frozen(Method):
    """Nothing trains: how the backbone does before training."""

    name: ClassVar[str] = "frozen"
    trains: ClassVar[str] = "nothing: an untrained head on the untouched backbone"
    paper: ClassVar[str] = "none: the floor that the other methods are compared with"
    family: ClassVar[str] = "anchors"
    learning_rate_source: ClassVar[str] = "nothing trains"
    fixed_features: ClassVar[bool] = True
    identity_at_start: ClassVar[bool] = True

    learning_rate: Annotated[float, Field(ge=0, le=0)] = 0.0

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Freeze the head too."""
        return model.requires_grad_(False)
