"""peft's methods that need no file of their own: each is made of peft's catalogue and what `peft_types` says of it."""

from __future__ import annotations

from functools import cache
from inspect import signature
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import create_model

from methods.base import LearningRate
from methods.catalogue import Catalogue, Hyperparameter, catalogue
from methods.errors import MethodError
from methods.peft_method import PeftMethod, classification, on_device, refusing, trains_head
from methods.peft_types import ABOUT, UNABLE, About
from methods.targets import resolve_targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peft import PeftConfig
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from transformers import PreTrainedModel

    from methods.base import Plan

OWN = {"adalora": "adalora", "ia3": "ia3", "lora": "lora", "prefix_tuning": "prefix"}
"""peft's types whose methods have a file here, and its name."""
RATES = ("learning_rate", "head_learning_rate")
"""The hyperparameters that aren't peft's."""


class FromPeft(PeftMethod):
    """A type of peft with its configuration's fields as hyperparameters, under peft's names.

    `target_modules` left out are peft's own for the architecture. A field that the layers bound is as large as it can
    be where it is left out, up to its usual value.
    """

    about: ClassVar[About]

    @property
    def prepended_tokens(self) -> int:
        """Virtual tokens take positions from the text."""
        return int(getattr(self, "num_virtual_tokens", 0))

    @property
    def free_in_one_pass(self) -> frozenset[str]:
        """As LoRA's, where that is what trains."""
        also = getattr(self, "lora_dropout", 0) or getattr(self, "use_dora", False)
        return frozenset({"learning_rate", "lora_alpha"}) if self.about.in_one_pass and not also else frozenset()

    def config(self, model: PreTrainedModel, plan: Plan | None) -> PeftConfig:
        """Return peft's configuration."""
        from peft import PeftType
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

        kind = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(self.peft_type)]
        shared = classification(model)
        if not trains_head(kind):
            del shared["modules_to_save"]
        with refusing(f"{self.name} can't tune {type(model).__name__}"):
            return kind(**{**self._values(model), **self.about.options, **shared})

    def _values(self, model: PreTrainedModel) -> dict[str, Any]:
        """Return the hyperparameters as peft takes them, with what is left out filled in from the model."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in RATES}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        by_architecture = self._by_architecture()
        if by_architecture is not None and self._adapts_linear_layers(model, by_architecture):
            values["target_modules"] = resolve_targets(
                self.name, model, getattr(self, "target_modules", None), by_architecture
            )
        for name, fit in self.about.fits.items():
            if values[name] is None:
                values[name] = fit.default(fit.most(model, values.get("target_modules", ())))
        return values

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Wrap the model by peft. Raises MethodError that says the most where a value is too large for the layers."""
        too_large = self._too_large(model)
        try:
            return super().adapt(model, plan)
        except MethodError as error:
            raise MethodError(too_large or str(error)) from error

    def _too_large(self, model: PreTrainedModel) -> str:
        """Say which value that somebody set doesn't fit all layers, or "": what peft makes of it differs by type."""
        targets = self._values(model).get("target_modules", ())
        for name, fit in self.about.fits.items():
            value, most = getattr(self, name), fit.most(model, targets)
            if value and not fit.serves(value, most):  # 0 leaves it to another field, as OFT's r
                return f"{self.name}.{name}={value} doesn't fit the layers of {type(model).__name__}: at most {most}"
        return ""

    def resolved(self, module: nn.Module) -> dict[str, Any]:
        """Return what was left out and filled in from the model, as JSON has it."""
        config: Any = module.active_peft_config
        used = {name: getattr(config, name, None) for name in self.hyperparameters() if getattr(self, name) is None}
        used = {name: sorted(value) if isinstance(value, set) else value for name, value in used.items()}
        return {name: value for name, value in used.items() if value is not None}

    def _adapts_linear_layers(self, model: PreTrainedModel, known: Mapping[str, Any]) -> bool:
        """Return whether all linear layers will do where nothing else is known, which holds for all but norms."""
        return self.peft_type != "LN_TUNING" or model.config.model_type in known

    def _by_architecture(self) -> dict[str, list[str] | str] | None:
        """Return which layers are adapted in each architecture; None for prompts."""
        from peft import PeftType
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        tuner = PEFT_TYPE_TO_TUNER_MAPPING.get(PeftType(self.peft_type))
        pefts = getattr(tuner, "target_module_mapping", None)
        return None if pefts is None else {**pefts, **{name: list(of) for name, of in self.about.targets.items()}}


class WithOptimizer(FromPeft):
    """A variant that is an optimizer of peft's."""

    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Freeze what the optimizer would freeze, so that it counts as what it is."""
        module = super().adapt(model, plan)
        for name, parameter in module.named_parameters():
            if self.about.freezes and self.about.freezes in name:
                parameter.requires_grad_(False)
        return module

    def optimizer(self, module: nn.Module, plan: Plan) -> Optimizer:
        """Return the optimizer, made of AdamW where it takes another one; it steps on the module's device."""
        import peft.optimizers
        import torch

        make = getattr(peft.optimizers, self.about.optimizer)
        known = {"optimizer_cls": torch.optim.AdamW, "r": getattr(self, "r", None)}
        known["lora_alpha"] = getattr(self, "lora_alpha", None)
        wanted = {name: value for name, value in known.items() if name in signature(make).parameters}
        made: Optimizer = make(module, lr=self.learning_rate, **wanted, **self.about.optimizer_options)
        step = on_device(next(module.parameters()).device)(type(made).step)
        made.step = MethodType(step, made)  # type: ignore[method-assign]
        return made


class WithHeadRate(FromPeft):
    """A type whose adapter and head train at rates of their own."""

    head_learning_rate: LearningRate

    def optimizer(self, module: nn.Module, plan: Plan) -> Optimizer:
        """Return AdamW with a rate for each."""
        import torch

        trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        head = [p for name, p in trained if ".modules_to_save." in name]
        adapter = [p for name, p in trained if ".modules_to_save." not in name]
        groups: list[dict[str, Any]] = [{"params": adapter}, {"params": head, "lr": self.head_learning_rate}]
        return torch.optim.AdamW(groups, lr=self.learning_rate)


class WithPenalty(FromPeft):
    """A variant that adds a penalty of its own to the loss."""

    def penalty(self, module: nn.Module) -> Tensor:
        """Return the penalty."""
        tuner: Any = module.base_model
        found: Tensor = getattr(tuner, self.about.penalty)()
        return found


def names() -> list[str]:
    """Return the names of the methods that are made here and can take part."""
    return sorted(set(_candidates(catalogue())) - unable().keys())


@cache
def get(name: str) -> type[FromPeft]:
    """Return the method of that name, which is one of `names`."""
    return _class(name, catalogue())


def unable() -> dict[str, str]:
    """Return the types and variants that can't take part, each with the reason in one line."""
    found = catalogue()
    return {**{name: f"peft {found.peft}: {why}" for name, why in found.errors.items()}, **UNABLE}


def methods_of(found: Catalogue) -> dict[str, type[FromPeft]]:
    """Return a method for each type and variant in the catalogue that isn't known to need more than it can be given."""
    return {name: _class(name, found) for name in _candidates(found)}


def _candidates(found: Catalogue) -> list[str]:
    variants = {name for name, about in ABOUT.items() if about.peft_type.lower() in found.types}
    return sorted((found.types.keys() - OWN.keys() | variants) - UNABLE.keys())


def _unknown(name: str) -> About:
    """Say of a type that came with a newer peft what can be said."""
    return About(
        trains="what peft trains for it, and the head",
        paper="see peft's documentation",
        family="other",
        learning_rate=1e-4,
        learning_rate_source="the default of peft's own comparison (MetaMathQA)",
    )


def _class(name: str, found: Catalogue) -> type[FromPeft]:
    about = ABOUT.get(name) or _unknown(name)
    peft_type = about.peft_type or name.upper()
    fields = {field: _field(field, about, known) for field, known in found.types[peft_type.lower()].items()}
    for field in about.options:
        fields.pop(field, None)
    if about.head_learning_rate is not None:
        fields["head_learning_rate"] = (LearningRate, about.head_learning_rate)
    fields["learning_rate"] = (LearningRate, about.learning_rate)
    title = "".join(part.capitalize() for part in name.split("_"))
    build: Any = create_model  # its result has the fields and the class attributes of its base
    made: type[FromPeft] = build(title, __base__=_base(about), __module__=__name__, __doc__=about.trains, **fields)
    made.name, made.about, made.peft_type = name, about, peft_type
    for attribute in ("trains", "paper", "family", "learning_rate_source", "defaults_source"):
        setattr(made, attribute, getattr(about, attribute))
    made.at_most = {field: fit.usual for field, fit in about.fits.items()}
    made.identity_at_start = name in found.identities
    made.resumable = about.resumable
    made.searched = about.searched
    made.needs_linear = name in found.linear_only
    made.moves_weights = name in found.movers
    return made


def _base(about: About) -> type[FromPeft]:
    if about.optimizer:
        return WithOptimizer
    if about.penalty:
        return WithPenalty
    return FromPeft if about.head_learning_rate is None else WithHeadRate


def _field(name: str, about: About, known: Hyperparameter) -> tuple[Any, Any]:
    """Return a hyperparameter's type and default."""
    if name in about.fits:
        return known.annotation() | None, None
    return known.annotation(), about.defaults.get(name, known.default)
