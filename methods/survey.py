"""Ask the installed peft what it has, and try each of its methods: `python -m methods.survey` prints the catalogue."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import io
import sys
import types
import warnings
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import peft
import torch
from peft import PeftConfig, PeftModel, PromptLearningConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING

from methods import adapters, contract, from_peft
from methods.catalogue import KINDS, Catalogue, Hyperparameter
from methods.peft_method import read_right_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedModel

    from methods.from_peft import FromPeft
    from methods.peft_method import PeftMethod

SHARED = {field.name for field in dataclasses.fields(PeftConfig)} | {"modules_to_save"}
"""What every configuration has, or what the harness says itself: the task, and that the head trains."""
CONVERTED = {"fan_in_fan_out"}
"""It is about Conv1D layers, which are converted."""
ELSEWHERE = {
    *("megatron_core", "use_qalora", "qalora_group_size", "runtime_offload_base_weight"),
    *("alora_invocation_tokens", "trainable_token_indices", "prompt_tuning_init_text", "tokenizer_name_or_path"),
}
"""It is about parallel training, quantised or huge backbones, or single tokens of a known tokenizer."""
BY_MODEL = {"token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"}
"""What peft reads off the model for prompts."""
NAMES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "NoneType": "null"}


def survey() -> Catalogue:
    """Return what the installed peft has, each method tried."""
    found = {kind.value.lower(): hyperparameters(config) for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    untried = Catalogue(
        peft=peft.__version__,
        types=found,
        others={kind.value.lower(): others(config) for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()},
        options={},
        feedforward=feedforward(),
        errors={},
        identities=(),
        movers=(),
        linear_only=(),
    )
    made = {name: options(method) for name, method in from_peft.methods_of(untried).items() if method.about.options}
    errors: dict[str, str] = {}
    true: dict[str, list[str]] = {"identities": [], "movers": [], "linear_only": []}
    for name, method in from_peft.methods_of(untried).items():
        try:
            with _quiet():
                facts = _try(method)
        except Exception as error:  # whatever a method of another version does wrong
            errors[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        for fact in facts:
            true[fact].append(name)
    return untried.model_copy(
        update={"options": made, "errors": errors, **{fact: tuple(of) for fact, of in true.items()}}
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what peft prints and warns of from the catalogue's reader."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def hyperparameters(config: type[PeftConfig]) -> dict[str, Hyperparameter]:
    """Return the fields of a configuration that a person can set: those whose values are numbers, names or lists."""
    hidden = SHARED | CONVERTED | ELSEWHERE | (BY_MODEL if issubclass(config, PromptLearningConfig) else set())
    types_of = get_type_hints(config)
    found = {}
    for field in dataclasses.fields(config):
        if field.name not in hidden:
            kinds, choices = _kinds(types_of[field.name])
            default = _default(field)
            if default is None and "null" not in kinds:
                kinds = [*kinds, "null"]
            if set(kinds) - {"null"} or choices:
                found[field.name] = Hyperparameter(kinds=tuple(kinds), choices=tuple(choices), default=default)
    return found


def others(config: type[PeftConfig]) -> dict[str, Any]:
    """Return what a file of such a configuration has beside that, with peft's defaults."""
    known = SHARED | hyperparameters(config).keys()
    found = {field.name: _initial(field) for field in dataclasses.fields(config) if field.name not in known}
    return {name: value for name, value in found.items() if value is None or isinstance(value, str | bool | int | dict)}


def options(method: type[FromPeft]) -> dict[str, Any]:
    """Return the fields that make a method of its type, with all that peft's files say of them."""
    made = PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(method.peft_type)](**method.about.options).to_dict()
    return {name: made[name] for name in method.about.options}


def feedforward() -> tuple[str, ...]:
    """Return the names of layers that end a feed-forward block wherever a model has them."""
    names = {name for of in TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.values() for name in of}
    return tuple(sorted(name for name in names if not any(other.endswith(f".{name}") for other in names)))


def _default(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401
    """Return peft's default as JSON has it; None where it is something else."""
    value = _initial(field)
    return value if isinstance(value, str | bool | int | float) else None


def _initial(field: dataclasses.Field[Any]) -> Any:  # noqa: ANN401
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return value.value if isinstance(value, enum.Enum) else value


def _kinds(annotation: Any) -> tuple[list[str], list[str]]:  # noqa: ANN401
    """Return the kinds of value that a type takes, and the names where it takes only some."""
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [_kinds(part) for part in get_args(annotation)]
        kinds = [kind for found, _ in parts for kind in found]
        choices = [choice for _, found in parts for choice in found]
    elif get_origin(annotation) is Literal:
        kinds, choices = [], [str(choice) for choice in get_args(annotation)]
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        kinds, choices = [], [str(member.value) for member in annotation]
    elif get_origin(annotation) is list:
        kinds, choices = [f"{NAMES.get(get_args(annotation)[0].__name__)}s"], []
    else:
        kinds, choices = [NAMES.get(getattr(annotation, "__name__", ""), "")], []
    kinds = [kind for kind in dict.fromkeys(kinds) if kind in KINDS]
    if choices and "string" in kinds:  # a type such as `str | Enum`: the names say more
        kinds.remove("string")
    if "strings" in kinds and "string" in kinds:  # one name is a list of one
        kinds.remove("string")
    return kinds, choices


def _wide_gpt2() -> PreTrainedModel:
    """Return one block as wide as GPT-2's: some methods don't fit into a narrow one."""
    return contract.tiny("gpt2", n_layer=1, n_head=12, n_embd=768, n_positions=64)


def _try(kind: Callable[[], PeftMethod]) -> list[str]:
    """Train for a few steps; return which of the catalogue's facts are true of the method."""
    method, stock = kind(), _wide_gpt2()
    with torch.random.fork_rng():
        module = contract.adapted(method, _wide_gpt2)
        facts = {
            "identities": contract.difference(contract.logits(module), contract.logits(stock)) <= contract.SAME,
            "movers": contract.moves_weights(method, _wide_gpt2),
        }
        contract.train(method, module)
    expected = contract.logits(module)
    if not bool(expected.isfinite().all()):
        raise ValueError("after three steps its predictions aren't numbers")
    facts["linear_only"] = not _fits_stock(module, expected)
    return [fact for fact, true in facts.items() if true]


def _fits_stock(module: torch.nn.Module, expected: torch.Tensor) -> bool:
    with TemporaryDirectory() as folder:
        adapters.save(module, folder)
        try:
            stock = PeftModel.from_pretrained(_wide_gpt2(), folder)
            read_right_token(stock)
            return contract.difference(contract.logits(stock), expected) <= contract.SAME
        except Exception:  # what peft raises differs from method to method
            return False


if __name__ == "__main__":
    sys.stdout.write(survey().model_dump_json(indent=1) + "\n")
