"""The methods that peft implements."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from methods.base import Method, Plan
from methods.errors import MethodError
from methods.prepare import head_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftConfig
    from torch import nn
    from transformers import PreTrainedModel

PEFT_HEADS = ("classifier", "score")
"""The heads that peft trains and saves by itself in a model for classification."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Tell what peft raises within as a MethodError that begins with `what`, and keep peft's routine warnings quiet."""
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for an attribute by its old name, once a model
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            # only a warning to peft, but then a part of the adapter stays at its random start
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            yield
    except (ValueError, TypeError, AttributeError, NotImplementedError, RuntimeError, UserWarning) as error:
        raise MethodError(f"{what}: {' '.join(str(error).split())}") from error


class PeftMethod(Method):
    """A method that is a peft configuration: it only says how to make one."""

    @abstractmethod
    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return a new configuration for this model: peft changes the one that it is given."""

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Wrap the model by peft, which keeps adapters in float32 on a bfloat16 backbone."""
        from peft import get_peft_model

        config = self.config(model, plan)
        with refusing(f"{self.name} can't tune {type(model).__name__}"):
            module: nn.Module = get_peft_model(model, config)
        return module


def classification(model: PreTrainedModel) -> dict[str, Any]:
    """Return the options of every peft configuration here: the task, and the head by its name in this model."""
    others = [name for name in head_modules(model) if name not in PEFT_HEADS]
    return {"task_type": "SEQ_CLS", "modules_to_save": others or None}
