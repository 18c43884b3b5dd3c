"""What every method is: its hyperparameters as validated fields, and one verb, `apply`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from methods.errors import MethodError
from methods.hyperparameters import explain, from_text, number
from methods.spaces import Range, around

if TYPE_CHECKING:
    from pydantic import ValidationInfo
    from torch import nn
    from transformers import PreTrainedModel

LearningRate = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Plan:
    """What a method may ask of the run it is applied for."""

    epochs: int
    steps: int


class Method(BaseModel):
    """A way to tune a backbone. Its hyperparameters are its fields, its one verb is `apply`.

    A new method is a subclass with the class attributes below, its fields with defaults, and `adapt`;
    the decorator `methods.register` makes it known by its `name`.

    A few methods need more of the run than that, and define one or more of these, which the harness looks for:
    `optimizer(module, plan) -> torch.optim.Optimizer`, `penalty(module) -> Tensor` that is added to the loss,
    `after_step(module, step)` once after each optimizer step while its gradients are still there, and
    `fit(head, features, labels)` in place of training by gradient steps.

    Raises `MethodError`, in one line, for a hyperparameter that doesn't exist or can't have that value.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    name: ClassVar[str]
    trains: ClassVar[str]
    """One line: what trains."""
    paper: ClassVar[str]
    family: ClassVar[str] = "other"
    """A group of methods that work alike; `--methods` takes its name for all of them."""
    learning_rate_source: ClassVar[str]
    defaults_source: ClassVar[str] = ""
    """Where the other defaults come from, where that isn't the paper or peft."""
    at_most: ClassVar[Mapping[str, int]] = {}
    """The fields that, left out, are as large as the model's layers allow, up to this value."""
    sweep: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """The values that a study tries when it is told nothing else: field -> values."""
    searched: ClassVar[Mapping[str, Range]] = {}
    """What a search for good settings tries beside the learning rate: two fields at most, each with the reason."""
    fixed_features: ClassVar[bool] = False
    """Whether what the head reads never changes, so that one pass over the texts serves every epoch."""
    identity_at_start: ClassVar[bool] = False
    """Whether a freshly adapted model predicts exactly what the backbone predicts."""
    moves_weights: ClassVar[bool] = False
    """Whether `apply` takes a part out of the backbone's weights, with which the adapter begins."""
    resumable: ClassVar[bool] = True
    """Whether all that lives from step to step is in parameters, buffers and torch's generators, so that a run goes on
    from a checkpoint bit for bit. A method with `after_step` or an `optimizer` isn't resumed, whatever it says."""
    needs_linear: ClassVar[bool] = False
    """Whether its adapter fits linear layers only, so that a stock GPT-2, which has Conv1D, can't load it."""

    learning_rate: LearningRate

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise MethodError(explain(self.name, type(self), values, error)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> object:
        return from_text(cls.model_fields[str(info.field_name)].annotation, value)

    @classmethod
    def parse_value(cls, field: str, text: str) -> Any:  # noqa: ANN401  (the field says of what type)
        """Return the value of `field` that `text` spells: "8", "1e-3", "none", "c_attn+c_proj" for a list."""
        return getattr(cls(**{field: text}), field)

    @classmethod
    def parse_values(cls, field: str, text: str) -> tuple[Any, ...]:
        """Return the values that `text` asks to sweep: a comma between values, a plus within a list."""
        return tuple(cls.parse_value(field, part) for part in text.split(","))

    @classmethod
    def space(cls) -> dict[str, Range]:
        """Return what a search for good settings tries, field -> range: the learning rate, if there is one, goes first.

        Its range is three decades around the default, for every method.
        """
        rate = cls().learning_rate
        return {**({"learning_rate": around(rate)} if rate else {}), **cls.searched}

    @classmethod
    def takes(cls, field: str) -> Literal["whole", "real"] | None:
        """Return what numbers a field takes; None where it takes none."""
        return number(cls.model_fields[field].annotation)

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """Return what a list of the methods shows, as JSON has it."""
        return {
            "name": cls.name,
            "trains": cls.trains,
            "defaults": cls().hyperparameters(),
            "at_most": dict(cls.at_most),
            "sweep": {field: list(values) for field, values in cls.sweep.items()},
            "space": {field: asdict(range_) for field, range_ in cls.space().items()},
            "family": cls.family,
            "paper": cls.paper,
            "learning_rate_source": cls.learning_rate_source,
            "defaults_source": cls.defaults_source,
        }

    def hyperparameters(self) -> dict[str, Any]:
        """Return every field with its value as JSON has it, defaults included."""
        return self.model_dump(mode="json")

    def resolved(self, module: nn.Module) -> dict[str, Any]:
        """Return the fields that were left out and filled in from the model, with the values that `module` has."""
        return {}

    @property
    def free_in_one_pass(self) -> frozenset[str]:
        """The fields in which runs with one seed may differ that are trained in one pass; empty: they can't be."""
        return frozenset()

    @property
    def prepended_tokens(self) -> int:
        """How many of the model's positions the method takes for itself, before the text."""
        return 0

    def apply(self, model: PreTrainedModel, plan: Plan | None = None) -> nn.Module:
        """Adapt `model`, which must be fresh, in place and return the module to train in its stead.

        Exactly the method's own parameters and the classification head require grad, all of them in float32
        whatever the backbone is kept in. The result takes `input_ids` and `attention_mask`, both int64
        [batch, tokens] and padded on the right, and returns an object with `logits` [batch, styles].
        New parameters are drawn from torch's global generator.

        Raises MethodError where the method can't serve the model.
        """
        from methods.prepare import prepare

        prepare(model)
        module = self.adapt(model, plan)
        mark_applied(self, model, module)
        return module

    @abstractmethod
    def adapt(self, model: PreTrainedModel, plan: Plan | None) -> nn.Module:
        """Return the module to train. `model` comes frozen but for its head, with Linear in Conv1D's place."""


def mark_applied(method: Method, *modules: nn.Module) -> None:
    """Note on the modules which method they carry: saving needs it, and a second `apply` is refused."""
    for module in modules:
        module.applied_method = method  # type: ignore[assignment]


def applied_method(module: nn.Module) -> Method:
    """Return the method that `apply` gave this module; raise MethodError for a module that never met one."""
    method: Any = getattr(module, "applied_method", None)
    if not isinstance(method, Method):
        raise MethodError(f"no method was applied to this {type(module).__name__}")
    return method
