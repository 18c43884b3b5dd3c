"""LoRA: a low-rank update beside each targeted layer."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from methods.base import LearningRate  # noqa: TC001
from methods.peft_method import PeftMethod, classification
from methods.registry import register
from methods.spaces import ALPHA, Range
from methods.targets import Targets, resolve_targets

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from methods.base import Plan


@register
class Lora(PeftMethod):
    """W x + alpha / r · B A x, where A [r, in] and B [out, r] train and B starts at zero.

    `dropout` is peft's default, 0: the backbone's dropout is off for every method, and so is the adapter's.
    """

    name: ClassVar[str] = "lora"
    trains: ClassVar[str] = "a low-rank update of the targeted layers (c_attn on GPT-2), and the head"
    paper: ClassVar[str] = "Hu et al. 2021, arXiv 2106.09685"
    family: ClassVar[str] = "lora-family"
    learning_rate_source: ClassVar[str] = "the paper's for RoBERTa-base classifying sentences with r 8 (its table 9)"
    sweep: ClassVar[Mapping[str, tuple[Any, ...]]] = {"alpha": (8, 32, 128)}
    searched: ClassVar[Mapping[str, Range]] = {"alpha": ALPHA}
    identity_at_start: ClassVar[bool] = True
    peft_type: ClassVar[str] = "LORA"
    peft_names: ClassVar[Mapping[str, str]] = {
        "alpha": "lora_alpha",
        "dropout": "lora_dropout",
        "targets": "target_modules",
    }

    r: Annotated[int, Field(ge=1, le=1024)] = 8
    alpha: Annotated[int, Field(ge=1, le=65536)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Targets = None
    learning_rate: LearningRate = 5e-4

    @property
    def free_in_one_pass(self) -> frozenset[str]:
        """A and B begin as the seed says, whatever the rate and alpha; dropout would draw otherwise than run by run."""
        return frozenset() if self.dropout else frozenset({"learning_rate", "alpha"})

    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return peft's configuration, on the architecture's own targets if none are given."""
        from peft import LoraConfig
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_ARCHITECTURE

        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=resolve_targets(self.name, model, self.targets, BY_ARCHITECTURE),
            **classification(model),
        )
