"""Prefix tuning: learned keys and values before every text, in every layer."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from inspect import signature
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from methods.base import LearningRate  # noqa: TC001
from methods.errors import MethodError
from methods.peft_method import PeftMethod, classification
from methods.prepare import base_model
from methods.registry import register
from methods.spaces import TOKENS, Range

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from methods.base import Plan


@register
class Prefix(PeftMethod):
    """`tokens` learned keys and values a layer, that the text attends to; they start random, not as an identity.

    The keys and values train themselves, as in P-Tuning v2: no network makes them.
    """

    name: ClassVar[str] = "prefix"
    trains: ClassVar[str] = "keys and values before the text in every layer, and the head"
    paper: ClassVar[str] = "Li & Liang 2021, arXiv 2101.00190; as P-Tuning v2, Liu et al. 2022, arXiv 2110.07602"
    family: ClassVar[str] = "prompts"
    learning_rate_source: ClassVar[str] = "P-Tuning v2's published scripts for BERT on BoolQ and RoBERTa on RTE"
    searched: ClassVar[Mapping[str, Range]] = {"tokens": TOKENS}
    peft_type: ClassVar[str] = "PREFIX_TUNING"
    peft_names: ClassVar[Mapping[str, str]] = {"tokens": "num_virtual_tokens"}

    tokens: Annotated[int, Field(ge=1, le=4096)] = 20
    learning_rate: LearningRate = 5e-3

    @property
    def prepended_tokens(self) -> int:
        """The prefix takes positions from the text."""
        return self.tokens

    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return peft's configuration; raise MethodError where the model takes no prefix, or not such a long one."""
        from peft import PrefixTuningConfig

        if not any("past_key_values" in signature(part.forward).parameters for part in (model, base_model(model))):
            raise MethodError(f"prefix can't tune {type(model).__name__}: it doesn't take keys and values from outside")
        if model.config.is_encoder_decoder:
            raise MethodError(f"prefix can't tune {type(model).__name__}: its encoder takes no keys and values")
        positions = getattr(model.config, "max_position_embeddings", None)
        if positions is not None and self.tokens >= positions:
            raise MethodError(
                f"prefix.tokens={self.tokens} leaves no room for a text: "
                f"{type(model).__name__} has {positions} positions"
            )
        return PrefixTuningConfig(num_virtual_tokens=self.tokens, **classification(model))
