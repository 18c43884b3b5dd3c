"""The methods that peft implements."""

from __future__ import annotations

import logging
import sys
import warnings
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from methods.base import Method, Plan
from methods.errors import MethodError
from methods.prepare import base_model, head_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    import torch
    from peft import PeftConfig
    from torch import Tensor, nn
    from transformers import PreTrainedModel

PEFT_HEADS = ("classifier", "score")
"""The heads that peft trains and saves by itself in a model for classification."""
KEYS_AND_VALUES = ("PREFIX_TUNING", "CARTRIDGE")
"""peft's prompts that come as keys and values."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Tell what peft raises within as a MethodError that begins with `what`, and keep peft's routine warnings quiet."""
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for an attribute by its old name, once a model
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            # about layer types whose predictions the contract's checks compare
            warnings.filterwarnings("ignore", category=UserWarning)
            # only a warning to peft, but then a part of the adapter stays at its random start
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            yield
    except (ValueError, TypeError, AttributeError, NotImplementedError, RuntimeError, UserWarning) as error:
        raise MethodError(f"{what}: {' '.join(str(error).split())}") from error


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Within, peft takes `device` for the one to compute on, and builds no extension for CUDA.

    Left to itself it asks what the machine has, and not where the model is: what it computes on the processor would
    depend on whether there is a GPU.
    """
    places = _asking()
    before = [getattr(module, name) for module, name in places]
    answers: dict[str, Callable[[], Any]] = {"infer_device": lambda: device.type, "get_fbd_cuda": lambda: None}
    if device.type == "cpu":
        answers["is_bf16_available"] = lambda: True
    try:
        for module, name in places:
            setattr(module, name, answers.get(name, getattr(module, name)))
        yield
    finally:
        for (module, name), function in zip(places, before, strict=True):
            setattr(module, name, function)


@cache
def _asking() -> list[tuple[ModuleType, str]]:
    """Return the modules of peft that ask about the machine, each with the name of the function that it asks."""
    import peft.optimizers

    return [
        (module, name)
        for of, module in sorted(sys.modules.items())
        if of.partition(".")[0] == peft.__name__
        for name in ("infer_device", "is_bf16_available", "get_fbd_cuda")
        if name in vars(module)
    ]


class PeftMethod(Method):
    """A method that is a peft configuration: it only says how to make one."""

    @abstractmethod
    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return a new configuration for this model: peft changes the one that it is given."""

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Wrap the model by peft, and keep what trains in float32 on a bfloat16 backbone."""
        from peft import get_peft_model

        config = self.config(model, plan)
        with refusing(f"{self.name} can't tune {type(model).__name__}"), on_device(model.device):
            module: nn.Module = get_peft_model(model, config)
        if not trains_head(type(config)):
            for head in head_modules(model).values():
                head.requires_grad_(True)
        for parameter in module.parameters():
            if parameter.requires_grad:  # peft does it for some of its types
                parameter.data = parameter.data.float()
        read_right_token(module)
        return module


def classification(model: PreTrainedModel) -> dict[str, Any]:
    """Return the options of every peft configuration here: the task, and the head by its name in this model."""
    others = [name for name in head_modules(model) if name not in PEFT_HEADS]
    return {"task_type": "SEQ_CLS", "modules_to_save": others or None}


def _of_anything_but_padding(record: logging.LogRecord) -> bool:
    """Return whether a message of transformers is about something other than padding that it doesn't see."""
    return "will not detect padding tokens" not in record.getMessage()


def trains_head(config: type[PeftConfig]) -> bool:
    """Return whether peft trains and saves the head beside an adapter of this configuration."""
    return any(field.name == "modules_to_save" for field in fields(config))


def read_right_token(module: nn.Module) -> None:
    """Let the head of a model with virtual tokens before the text read the token that it reads without them.

    Fed with embeddings, transformers doesn't see the padding and reads the last place, be it padded; a pooler of the
    first token, BERT's, would read a virtual one. With keys and values for a prefix the text comes as tokens, and the
    model knows.
    """
    config: Any = module.active_peft_config
    if not config.is_prompt_learning or config.peft_type in KEYS_AND_VALUES:
        return
    model: Any = module.get_base_model()  # type: ignore[operator]
    masks: list[Tensor] = []
    for module_name in (type(model).__module__, "transformers.modeling_layers"):
        logging.getLogger(module_name).addFilter(_of_anything_but_padding)

    def remember(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        masks[:] = [options["attention_mask"]]

    def last(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if inputs[0].ndim != 3:
            return None
        rows = masks[0].long().sum(1, keepdim=True) - 1
        return (inputs[0].take_along_dim(rows[..., None], dim=1), *inputs[1:])

    def without_virtual(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0][:, config.num_virtual_tokens :], *inputs[1:])

    model.register_forward_pre_hook(remember, with_kwargs=True)
    for head in head_modules(model).values():
        head.register_forward_pre_hook(last)
    pooler = getattr(base_model(model), "pooler", None)
    if pooler is not None:
        pooler.register_forward_pre_hook(without_virtual)
