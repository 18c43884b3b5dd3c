"""IA3: a learned scale on the activations of each targeted layer."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from typing import TYPE_CHECKING, ClassVar

from methods.base import LearningRate  # noqa: TC001
from methods.peft_method import PeftMethod, classification
from methods.registry import register
from methods.targets import Targets, matches, resolve_targets

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from methods.base import Plan


@register
class IA3(PeftMethod):
    """One vector a layer, starting at one, scales its output, or its input where it ends a feed-forward block.

    On GPT-2 the fused `c_attn` is scaled as a whole: queries too, where the paper scales keys and values only.
    """

    name: ClassVar[str] = "ia3"
    trains: ClassVar[str] = "a scale on activations (c_attn and mlp.c_proj on GPT-2), and the head"
    paper: ClassVar[str] = "Liu et al. 2022, arXiv 2205.05638"
    family: ClassVar[str] = "scaling"
    learning_rate_source: ClassVar[str] = "the paper's for T-Few (its section 3.6)"
    identity_at_start: ClassVar[bool] = True
    peft_type: ClassVar[str] = "IA3"
    peft_names: ClassVar[Mapping[str, str]] = {"targets": "target_modules"}

    targets: Targets = None
    learning_rate: LearningRate = 3e-3

    @property
    def free_in_one_pass(self) -> frozenset[str]:
        """The scales begin at one, whatever the rate."""
        return frozenset({"learning_rate"})

    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return peft's configuration; which targets are feed-forward ones is peft's to know."""
        from peft import IA3Config
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as BY_ARCHITECTURE

        targets = resolve_targets(self.name, model, self.targets, BY_ARCHITECTURE)
        feedforward = FEEDFORWARD.get(model.config.model_type, [])
        return IA3Config(
            target_modules=targets,
            feedforward_modules=[target for target in targets if any(matches(target, end) for end in feedforward)],
            **classification(model),
        )
