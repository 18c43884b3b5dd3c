"""The methods that peft implements."""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod
from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

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
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, UserWarning) as error:
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

    peft_type: ClassVar[str] = ""
    """peft's name of the type; "" for a method that isn't to be read from and written to peft's files."""
    peft_names: ClassVar[Mapping[str, str]] = {}
    """What peft calls the hyperparameters that have another name here."""

    @classmethod
    def of_length(cls, steps: int) -> dict[str, Any]:
        """Return those of the configuration's fields that a run's length decides."""
        return {}

    @abstractmethod
    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return a new configuration for this model: peft changes the one that it is given."""

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Wrap the model by peft, and keep what trains in float32 on a bfloat16 backbone."""
        from peft import get_peft_model

        from methods.peft_layers import without_detours

        config: Any = self.config(model, plan)
        if feeds_embeddings(config):
            embeddings: Any = model.get_input_embeddings()
            config.token_dim = embeddings.weight.shape[1]  # peft takes the hidden states' width
            config.num_attention_heads = getattr(model.config, "num_attention_heads", None)  # peft knows few names
        with refusing(f"{self.name} can't tune {type(model).__name__}"), on_device(model.device):
            module: nn.Module = get_peft_model(model, config)
        if not trains_head(type(config)):
            for head in head_modules(model).values():
                head.requires_grad_(True)
        for parameter in module.parameters():
            if parameter.requires_grad:  # peft does it for some of its types
                parameter.data = parameter.data.float()
        without_detours(module)
        if config.is_prompt_learning:
            with refusing(f"{self.name} can't tune {type(model).__name__}"):
                read_right_token(module)
                _try(module)
        return module


def _try(module: nn.Module) -> None:
    """Feed the module a text of two tokens: whether an architecture takes what peft feeds it shows there only.

    The second is the model's end of text, by which T5 finds what to classify.
    """
    import torch

    half = next(p.dtype for p in module.parameters() if not p.requires_grad) == torch.bfloat16
    end = getattr(module.config, "eos_token_id", None)
    ids = torch.tensor([[2 if end == 1 else 1, end if isinstance(end, int) else 1]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        module(input_ids=ids, attention_mask=torch.ones_like(ids))


def classification(model: PreTrainedModel) -> dict[str, Any]:
    """Return the options of every peft configuration here: the task, and the head by its name in this model."""
    others = [name for name in head_modules(model) if name not in PEFT_HEADS]
    return {"task_type": "SEQ_CLS", "modules_to_save": others or None}


def trains_head(config: type[PeftConfig]) -> bool:
    """Return whether peft trains and saves the head beside an adapter of this configuration."""
    return any(field.name == "modules_to_save" for field in fields(config))


def feeds_embeddings(config: PeftConfig) -> bool:
    """Return whether an adapter of this configuration is virtual tokens that are embedded beside those of the text."""
    return bool(config.is_prompt_learning) and config.peft_type not in KEYS_AND_VALUES


def read_right_token(module: nn.Module) -> None:
    """Let a model with virtual tokens before the text classify what it classifies without them: the text's own tokens.

    Which of them a classifier reads, it finds by their ids or by their places, and peft feeds it neither but the
    embeddings of all. So only the pretrained part gets those; what is around it sees the text alone. With keys and
    values for a prefix the text comes as tokens, and nothing is to be done.
    """
    config: Any = module.active_peft_config
    if not feeds_embeddings(config):
        return
    model: Any = module.get_base_model()  # type: ignore[operator]
    base: Any = base_model(model)
    names = signature(base.forward).parameters
    text: dict[str, Tensor] = {}
    with_prompt: dict[str, Tensor] = {}

    def remember(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        text["input_ids"] = inputs[0] if inputs else options["input_ids"]

    def take_prompt_out(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
        if options.get("inputs_embeds") is None:  # peft's adapters can be switched off
            return None
        with_prompt.update(inputs_embeds=options["inputs_embeds"], attention_mask=options["attention_mask"])
        mask = options["attention_mask"][:, config.num_virtual_tokens :]
        return inputs, {**options, **text, "inputs_embeds": None, "attention_mask": mask}

    def put_prompt_in(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
        if not with_prompt:
            return None
        given = {**dict(zip(names, inputs, strict=False)), **options, "input_ids": None, **with_prompt}
        with_prompt.clear()  # it holds the graph
        return (), given

    def of_the_text(states: Tensor) -> Tensor:
        tokens = text["input_ids"].shape[1]
        if states.shape[1] == tokens:  # without the prompt already, or a decoder's whose encoder read the prompt
            return states
        if states.shape[1] != tokens + config.num_virtual_tokens:
            raise ValueError("it gives another number of tokens than it takes, so that the text's own can't be told")
        return states[:, config.num_virtual_tokens :]

    def read_text(_: nn.Module, inputs: Any, output: Any) -> Any:  # noqa: ANN401
        if not text:  # the pretrained part by itself, without peft
            return output
        if isinstance(output, tuple):
            return (of_the_text(output[0]), *output[1:])
        output.last_hidden_state = of_the_text(output.last_hidden_state)
        return output

    module.register_forward_pre_hook(remember, with_kwargs=True)
    model.register_forward_pre_hook(take_prompt_out, with_kwargs=True)
    base.register_forward_pre_hook(put_prompt_in, with_kwargs=True)
    if getattr(base, "pooler", None) is not None:  # BERT's, which reads the first token before the base returns
        base.encoder.register_forward_hook(read_text)
    base.register_forward_hook(read_text)
    base.register_forward_hook(lambda *_: text.clear())
