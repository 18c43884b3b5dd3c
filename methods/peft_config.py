"""peft's adapter_config.json -> a method with its hyperparameters, and back; by peft's catalogue, without peft itself.

What a file leaves out has peft's default, as when peft reads it. What it sets becomes a hyperparameter, or is an error:
nothing that would change the adapter is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from methods import from_peft, registry
from methods.catalogue import catalogue
from methods.errors import MethodError, did_you_mean
from methods.from_peft import OWN, RATES
from methods.hyperparameters import shown
from methods.peft_method import PeftMethod
from methods.peft_types import ABOUT, UNABLE
from methods.targets import is_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from methods.catalogue import Catalogue, Hyperparameter

CONFIG_FILE = "adapter_config.json"

SHARED = frozenset({"peft_type", "modules_to_save"})
IDLE = frozenset(
    {
        *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
        *("runtime_config", "fan_in_fan_out", "progressbar"),
        *("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"),
    }
)
"""What doesn't change the adapter here: the task, what the file was of, and what peft reads off a model."""
IDLE_IN = {"prefix_tuning": {"encoder_hidden_size"}}
"""Likewise in one type: peft writes it for a network that makes the prefix, also where there is none."""
HEADS = ("classifier", "score", "pre_classifier", "classification_head", "head")
"""What the heads are called that train with every method."""
SETS = ("target_modules", "exclude_modules")
"""Lists that peft writes in any order."""

_FOR_ALL = "all layers have the same settings here"
_PARALLEL = "nothing is computed in parallel on several devices here"
_WORDS = "it is about single words of a tokenizer"
WHY = {
    **dict.fromkeys(("megatron_config", "megatron_core"), _PARALLEL),
    **dict.fromkeys(("rank_pattern", "alpha_pattern", "lambda_pattern"), _FOR_ALL),
    **dict.fromkeys(("block_size_pattern", "n_frequency_pattern"), _FOR_ALL),
    **dict.fromkeys(("trainable_token_indices", "prompt_tuning_init_text"), _WORDS),
    **dict.fromkeys(("tokenizer_name_or_path", "tokenizer_kwargs"), _WORDS),
    **dict.fromkeys(("use_qalora", "qalora_group_size"), UNABLE["qalora"]),
    **{f"{name}_config": UNABLE[name] for name in ("arrow", "corda", "eva", "loftq", "lora_ga")},
    "alora_invocation_tokens": UNABLE["alora"],
    "use_bdlora": UNABLE["bdlora"],
    "runtime_offload_base_weight": "the whole backbone is kept where it is computed",
    "layer_replication": "it makes another backbone",
    "feedforward_modules": "peft's own for the architecture are taken here; leave it out",
}
"""Why a field can't be set, where more is to be said than that there is no such hyperparameter."""


def read(config: Mapping[str, Any], named: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Return the method that a file's content asks for, and its hyperparameters but for learning rates, as JSON.

    `named` is what `describe` said of it. Its method is taken, which the content must fit, and its hyperparameters as
    far as the content hasn't been changed since, learning rates with them. Raises MethodError with all that is wrong.
    """
    found = catalogue()
    kind = _kind(config, found)
    known = _defaults(kind, found)
    allowed = {*known, *SHARED, *IDLE}
    unknown = [field for field, value in config.items() if field not in allowed and not _is_off(value)]
    if unknown:
        raise MethodError("; ".join(_unknown(field, allowed, found.peft) for field in unknown))
    full = {**known, **{field: value for field, value in config.items() if field in allowed}}
    if named is not None:
        return _as_named(kind, full, named, found)
    tried = {name: _try(name, kind, full, found) for name in _candidates(kind, full, found)}
    name = next((name for name, (_, mistakes) in tried.items() if not mistakes), next(iter(tried)))
    return name, _whole(*tried[name])


def write(method: PeftMethod, resolved: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """Return the content of peft's file for a method; what it leaves to the layers is as `resolved` says it was used.

    `steps` is the length of the run, which AdaLoRA's schedule is made for. Raises MethodError where that isn't known.
    """
    found = catalogue()
    kind = method.peft_type.lower()
    values = {**method.hyperparameters(), **resolved}
    content = _defaults(kind, found) | {"peft_type": method.peft_type, "task_type": "SEQ_CLS", "inference_mode": False}
    for name, value in values.items():
        if name not in RATES and (value is not None or name not in method.at_most):
            content[method.peft_names.get(name, name)] = value
    targets = content.get("target_modules")
    if targets and (targets == ["all-linear"] or is_pattern(targets)):
        content["target_modules"] = targets[0]  # peft takes them as a text only
    if method.of_length(1):
        if steps is None:
            raise MethodError(f"{method.name} has a schedule, and no run of it tells its length in steps")
        content |= method.of_length(steps)
    return {**content, **found.options.get(method.name, {}), "peft_version": found.peft}


def describe(method: PeftMethod, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return what peft's file has no place for: which method it is, learning rates, and what was left to the layers."""
    return {"method": method.name, "hyperparameters": method.hyperparameters(), "resolved": dict(resolved)}


def _kind(config: Mapping[str, Any], found: Catalogue) -> str:
    """Return the type in lower case. Raises MethodError for one that there isn't, or that can't take part."""
    told = config.get("peft_type")
    types = [kind.upper() for kind in found.types]
    if told not in types:
        raise MethodError(f"peft {found.peft} has no peft_type {told!r}{did_you_mean(str(told), types)}")
    kind = str(told).lower()
    if kind in from_peft.unable():
        raise MethodError(f"peft_type {told} can't run: {from_peft.unable()[kind]}")
    return kind


def _defaults(kind: str, found: Catalogue) -> dict[str, Any]:
    return {field: told.default for field, told in found.types[kind].items()} | dict(found.others[kind])


def _unknown(field: str, known: set[str], version: str) -> str:
    return f"peft {version} has no field {field!r}{did_you_mean(field, sorted(known))}"


def _is_off(value: object) -> bool:
    """Return whether a field that isn't known is surely at its default."""
    return value is None or value is False or value in ({}, [], "")


def _candidates(kind: str, full: Mapping[str, Any], found: Catalogue) -> list[str]:
    """Return the methods of a type that these fields make: variants first, and the type itself."""
    made = [name for name in found.options if name in from_peft.names() and _type_of(name) == kind]
    fitting = [name for name in sorted(made) if _is_made(name, full, found)]
    return list(dict.fromkeys([*fitting, OWN.get(kind, kind)]))


def _type_of(name: str) -> str:
    return ((name in ABOUT and ABOUT[name].peft_type) or name).lower()


def _is_made(name: str, full: Mapping[str, Any], found: Catalogue) -> bool:
    return all(_is_option(name, field, full[field], value) for field, value in found.options.get(name, {}).items())


def _is_option(name: str, field: str, value: object, wanted: object) -> bool:
    """Return whether a value is the one that makes a variant; a part of it will do that has all that isn't default."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.items() <= wanted.items() and ABOUT[name].options[field].keys() <= value.keys()
    return value == wanted


def _whole(values: dict[str, Any], mistakes: list[str]) -> dict[str, Any]:
    if mistakes:
        raise MethodError("; ".join(mistakes))
    return values


def _as_named(
    kind: str, full: Mapping[str, Any], named: Mapping[str, Any], found: Catalogue
) -> tuple[str, dict[str, Any]]:
    name, given, resolved = (named.get(key) for key in ("method", "hyperparameters", "resolved"))
    if not isinstance(name, str) or not isinstance(given, dict) or not isinstance(resolved or {}, dict):
        raise MethodError("what stands beside it names no method with its hyperparameters")
    method = registry.get(name)
    if not issubclass(method, PeftMethod) or method.peft_type.lower() != kind:
        raise MethodError(f"peft_type {kind.upper()} isn't that of {name}, which stands beside it")
    built = method(**given)
    given = built.hyperparameters()
    before, _ = _try(name, kind, write(built, resolved or {}, 1), found)
    values = _whole(*_try(name, kind, full, found))
    kept = {here: given[here] if value == before.get(here) else value for here, value in values.items()}
    return name, {**given, **kept}


def _try(name: str, kind: str, full: Mapping[str, Any], found: Catalogue) -> tuple[dict[str, Any], list[str]]:
    """Return a method's hyperparameters by a file's fields, and what is wrong with these."""
    method = registry.get(name)
    assert issubclass(method, PeftMethod)
    own = {field: here for here, field in method.peft_names.items()}
    options, known = found.options.get(name, {}), _defaults(kind, found)
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for field, value in full.items():
        here = own.get(field, field)
        if field in options:
            if not _is_option(name, field, value, options[field]):
                mistakes.append(f"{field}={shown(value)}: {name} has {options[field]!r} here")
        elif here in method.model_fields and here not in RATES and field not in IDLE:
            values[here] = _value(method, here, field, value, found.types[kind][field])
        elif not _is_idle(method, field, full, found) and not _same(value, known.get(field)):
            mistakes.append(f"{field}={shown(value)}: {_why(method, field, value, found)}")
    if isinstance(excluded := full.get("exclude_modules"), str) and is_pattern([excluded]):
        mistakes.append(f"exclude_modules={excluded!r}: name the layers here; a regular expression can't be read")
    if "num_virtual_tokens" in full and full["num_virtual_tokens"] is None:
        mistakes.append("num_virtual_tokens isn't given, and peft has no default for it")
    if mistakes:
        return {}, mistakes
    try:
        built = method(**values).hyperparameters()
    except MethodError as error:
        return {}, [str(error)]
    return {here: built[here] for here in values}, []


def _value(method: type[PeftMethod], here: str, field: str, value: Any, known: Hyperparameter) -> Any:  # noqa: ANN401
    """Return a field's value as the method takes it."""
    if here in method.at_most and value == known.default == method.at_most[here]:
        return None  # as large as the layers allow, up to this
    if isinstance(value, str) and "strings" in known.kinds:
        value = [value]
    return sorted(set(value)) if field in SETS and _is_names(value) else value


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _same(value: object, default: object) -> bool:
    return value == default or (_is_off(value) and _is_off(default))


def _is_idle(method: type[PeftMethod], field: str, full: Mapping[str, Any], found: Catalogue) -> bool:
    """Return whether a field, as it is here, says nothing that the method doesn't do anyway."""
    value = full[field]
    if field == "modules_to_save":
        return _is_names(value) and all(name.rpartition(".")[2] in HEADS for name in value)
    if field == "feedforward_modules":
        targets = full["target_modules"]
        return _is_names(value) and _is_names(targets) and set(value) == set(targets) & set(found.feedforward)
    if field in method.of_length(1):
        steps = full["total_step"]
        return isinstance(steps, int) and value == method.of_length(steps)[field]
    return field == "peft_type" or field in IDLE or field in IDLE_IN.get(method.peft_type.lower(), ())


def _why(method: type[PeftMethod], field: str, value: object, found: Catalogue) -> str:
    """Say why a field can't be set."""
    if isinstance(value, str) and value in UNABLE:
        return UNABLE[value]
    if field in method.of_length(1):
        return f"the schedule is the run's here, with {method.of_length(1000)[field]} in 1000 steps"
    if field == "modules_to_save":
        return f"{method.name} trains the head beside the adapter, and nothing else of the backbone"
    if field in WHY:
        return WHY[field]
    for name, options in sorted(found.options.items()):
        if isinstance(options.get(field), dict):
            return f"{name} has {options[field]!r} here"
    return f"{method.name} has no such hyperparameter here; it has {', '.join(sorted(method.model_fields))}"
