"""The methods that peft implements."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from methods.base import Method, Plan
from methods.errors import MethodError
from methods.prepare import head_modules

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn
    from transformers import PreTrainedModel

PEFT_HEADS = ("classifier", "score")
"""The heads that peft trains and saves by itself in a model for classification."""


class PeftMethod(Method):
    """A method that is a peft configuration: it only says how to make one."""

    @abstractmethod
    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return a new configuration for this model: peft changes the one that it is given."""

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Wrap the model by peft, which keeps adapters in float32 on a bfloat16 backbone."""
        from peft import get_peft_model

        config = self.config(model, plan)
        try:
            module: nn.Module = get_peft_model(model, config)
        except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
            reason = " ".join(str(error).split())
            raise MethodError(f"{self.name} can't tune {type(model).__name__}: {reason}") from error
        return module


def classification(model: PreTrainedModel) -> dict[str, Any]:
    """Return the options of every peft configuration here: the task, and the head by its name in this model."""
    others = [name for name in head_modules(model) if name not in PEFT_HEADS]
    return {"task_type": "SEQ_CLS", "modules_to_save": others or None}
