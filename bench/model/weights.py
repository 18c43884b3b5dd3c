"""A backbone's weights: the model that they make, with a fresh classification head, and what they lack."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError, first_line
from bench.model import backbone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.spec import BackboneRef

WRAPPED = r"^(?:_orig_mod\.|module\.)+"
"""What torch.compile and DataParallel put before the name of each parameter."""
_SEED_OF_THE_REST = 0
_NAMED = 5


@dataclass(frozen=True)
class Contents:
    """What a folder's weights turned out to hold.

    `stripped_prefix` stood before all names, `new_parts` are modules of the pretrained model that they lack, and
    `vocabulary` says how many token ids they know; None where a model has no table of them. `packs`: a classifier of
    theirs is computed without padding.
    """

    stripped_prefix: str | None = None
    new_parts: tuple[str, ...] = ()
    vocabulary: int | None = None
    packs: bool = False


def contents(ref: BackboneRef) -> Contents:
    """Look into the folder's weights without keeping them, as `load` would. What ships with the project is known.

    Raises UsageError where weights of the backbone are missing, don't fit, or can't be read.
    """
    if ref.source == "embedded":
        return Contents(packs=True)
    config = backbone.classifier_config(ref, 2)
    try:
        with quiet():
            model, missing = _build(ref, config, "meta")
        prefix = _prefix(ref)
    except UsageError:
        raise
    except Exception as error:  # of whatever type: a file that is missing, cut short, empty, or not to be read
        raise UsageError(f"--model {ref.name}: its weights can't be loaded: {first_line(error)}") from error
    from bench.model.packed import gpt2

    return Contents(prefix, _new_parts(ref, model, missing), _vocabulary(model), gpt2(model) is not None)


def outline(ref: BackboneRef) -> PreTrainedModel:
    """Return the model as `load` would, but without weights: its layers have names and sizes, and compute nothing."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from methods.conv1d import to_linear

    with quiet(), torch.device("meta"):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(backbone.classifier_config(ref, 2))
    return to_linear(model)


def _vocabulary(model: PreTrainedModel) -> int | None:
    try:
        return len(model.get_input_embeddings().get_parameter("weight"))
    except NotImplementedError:  # CANINE hashes characters
        return None


def check_ids(ref: BackboneRef, found: Contents, largest: int) -> None:
    """Raise UsageError where the model doesn't know all ids: those of the texts, up to `largest`, and of padding."""
    largest = max(largest, backbone.pad_id(ref))
    if found.vocabulary is not None and largest >= found.vocabulary:
        raise UsageError(
            f"--model {ref.name}: its tokenizer produces ids up to {largest}, but its weights know {found.vocabulary} "
            "tokens; use the tokenizer that it was trained with, or resize its embeddings and save it again"
        )


def warm_up() -> None:
    """Do once what transformers else does in each process that loads a model: compile how old names become new ones.

    It does so for all architectures, which takes longer than loading a small model. It starts no thread, so that
    processes can be forked afterwards.
    """
    try:
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    except ImportError:  # another version of transformers, which does it when it loads
        return
    get_checkpoint_conversion_mapping("gpt2")


def load(ref: BackboneRef, styles: int, seed: int) -> PreTrainedModel:
    """Return the model in fp32 with a head for `styles` styles, dropout and the KV cache off.

    What the checkpoint has of the head is kept, but for the layer that gives the styles: that and what is new is drawn
    as transformers does it, from `seed`, the same for every method. torch's global generator goes on from there. A
    pooler that the checkpoint lacks is the same for every seed, and counts to the head. GPT-2's Conv1D layers are
    nn.Linear. Raises UsageError where other weights are missing, don't fit, or can't be read.
    """
    import torch

    from methods.conv1d import to_linear
    from methods.prepare import count_to_head

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED_OF_THE_REST)
        model, missing = _build(ref, backbone.classifier_config(ref, styles), None)
    count_to_head(model, _new_parts(ref, model, missing))
    _draw_head(model, missing, seed)
    to_linear(model)
    return model.float()  # type: ignore[no-any-return]


def _build(ref: BackboneRef, config: PreTrainedConfig, device: str | None) -> tuple[PreTrainedModel, set[str]]:
    """Return the model on `device`, and the names of the parameters that the folder's weights don't give.

    Raises UsageError where weights of the backbone have another shape than the configuration says.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from methods.prepare import modules_beside_base

    if ref.source == "random":
        with torch.device(device or "cpu"):
            model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        heads = modules_beside_base(model)
        return model, {f"{name}.{own}" for name, head in heads.items() for own, _ in head.named_parameters()}
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        ref.folder,
        config=config,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,  # a head for other styles; anything else is refused below
        key_mapping={WRAPPED: ""},
        dtype=torch.float32,
        device_map=device,
        output_loading_info=True,
    )
    beside = tuple(f"{name}." for name in modules_beside_base(model))
    for name, found, expected in loading["mismatched_keys"]:
        if not name.startswith(beside):
            raise UsageError(
                f"--model {ref.name}: its weights don't fit its config.json: "
                f"{name} is {tuple(found)} and should be {tuple(expected)}"
            )
    return model, {*loading["missing_keys"], *(name for name, _, _ in loading["mismatched_keys"])}


def _new_parts(ref: BackboneRef, model: PreTrainedModel, missing: set[str]) -> tuple[str, ...]:
    """Return what the checkpoint lawfully lacks of the pretrained model: its pooler, after masked-language training.

    Raises UsageError where it lacks anything else.
    """
    from methods.prepare import base_model, modules_beside_base

    pooler = f"{model.base_model_prefix}.pooler"
    module = getattr(base_model(model), "pooler", None)
    of_pooler = {f"{pooler}.{name}" for name, _ in module.named_parameters()} if module is not None else set()
    lacks_pooler = bool(of_pooler) and of_pooler <= missing
    heads = tuple(f"{name}." for name in modules_beside_base(model))
    lacking = sorted(name for name in missing - (of_pooler if lacks_pooler else set()) if not name.startswith(heads))
    if lacking:
        named = ", ".join(lacking[:_NAMED]) + (f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else "")
        raise UsageError(
            f"--model {ref.name}: its weights lack {named}; save the whole model again with save_pretrained"
        )
    return (pooler,) if lacks_pooler else ()


def _draw_head(model: PreTrainedModel, missing: set[str], seed: int) -> None:
    """Draw from `seed`, as transformers initialises it, what is `missing` of the head, and the layer of the styles."""
    import torch

    from methods.prepare import modules_beside_base

    heads = modules_beside_base(model).items()
    parts = [(f"{name}.{own}".rstrip("."), part) for name, head in heads for own, part in head.named_modules()]
    styles = model.config.num_labels
    last = [part for _, part in parts if any(len(p) == styles for p in part.parameters(recurse=False))][-1]
    for parameter in model.parameters():
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]
    model._is_hf_initialized = False  # ModernBERT's own way with its head is the whole model's
    for name, part in parts:
        part._is_hf_initialized = False
        for own, parameter in part.named_parameters(recurse=False):
            parameter._is_hf_initialized = part is not last and f"{name}.{own}" not in missing
    torch.manual_seed(seed)
    model.initialize_weights()


def _prefix(ref: BackboneRef) -> str | None:
    """Return what a wrapper put before the names of the weights; None where nothing stands there."""
    from safetensors import safe_open

    for path in backbone.weight_files(Path(ref.folder)):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118  (the file isn't a dict)
                if found := re.match(WRAPPED, name):
                    return found.group()
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own report of a loading, and its progress bar, from the terminal."""
    from transformers import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
