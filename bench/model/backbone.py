"""The pretrained model under all methods, with a fresh classification head, and its tokenizer.

A backbone is a folder as transformers saves one: from the Hub's cache, the user's own, or the one that is embedded.
A folder with a configuration and a tokenizer but no weights gives a model with random ones, recorded as `random`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import UsageError
from bench.spec import BackboneRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

EMBEDDED = Path(__file__).parents[1] / "assets" / "backbone"
_CONTENT = ("*.json", "*.safetensors", "*.txt", "*.model")
_RANDOM_WEIGHTS_SEED = 0
_CHUNK = 1 << 20
_SEES_PADDING = ("convbert", "fnet", "mobilebert", "nystromformer", "xlnet", "yoso")
"""Architectures whose logits for a text change with the padding after it; XLNet's classifier even reads that."""
_READS_END = ("bart", "bigbird_pegasus", "mbart", "mt5", "mvp", "plbart", "t5", "umt5")
"""Architectures whose classifier reads where the text has its end-of-text token."""


def embedded() -> BackboneRef:
    """Return the small GPT-2 that ships with the project."""
    return _in_folder(EMBEDDED, "embedded-gpt2", "embedded")


def local(folder: Path) -> BackboneRef:
    """Return the model in `folder`. Raises UsageError where it isn't one that can be loaded safely."""
    if not (folder / "config.json").is_file():
        raise UsageError(f"--model {folder}: no config.json there; name a folder that save_pretrained wrote")
    if not any(_weights(folder)) and any(folder.glob("*.bin")):
        raise UsageError(f"--model {folder}: its weights aren't safetensors; save it again with save_pretrained")
    return _in_folder(folder.resolve(), folder.resolve().name, "local")


def from_hub(name: str, folder: Path, commit: str) -> BackboneRef:
    """Return the Hub's model `name`, whose snapshot of `commit` lies in `folder`."""
    return BackboneRef(name=name.partition("@")[0], source="hub", revision=commit, folder=str(folder))


def _in_folder(folder: Path, name: str, source: Literal["local", "embedded"]) -> BackboneRef:
    has_weights = any(_weights(folder))
    return BackboneRef(
        name=name, source=source if has_weights else "random", revision=_content_hash(folder), folder=str(folder)
    )


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _content_hash(folder: Path) -> str:
    """Hash the names and contents of the files that make the model and its tokenizer."""
    digest = hashlib.sha256()
    for path in sorted({file for pattern in _CONTENT for file in folder.glob(pattern)}):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:40]


def tokenizer(ref: BackboneRef) -> PreTrainedTokenizerFast:
    """Return the backbone's tokenizer. Raises UsageError where the folder has none that works."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        found = AutoTokenizer.from_pretrained(ref.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--model {ref.name}: its tokenizer can't be loaded: {_first_line(error)}") from error
    if not isinstance(found, PreTrainedTokenizerFast):
        raise UsageError(f"--model {ref.name}: it has no fast tokenizer; save one as tokenizer.json beside it")
    if not found("text", add_special_tokens=False)["input_ids"]:
        raise UsageError(f"--model {ref.name}: its tokenizer turns text into nothing; tokenizer.json is missing?")
    return found


def check(ref: BackboneRef) -> None:
    """Raise UsageError where the model has no weights that are safe to load, transformers can't classify with its
    architecture, that one isn't indifferent to padding, or its tokenizer doesn't work or doesn't fit it."""
    if ref.source == "hub" and not _weights(Path(ref.folder)):
        raise UsageError(f"--model {ref.name}: neither the Hub nor its cache has its weights as safetensors")
    config = _config(ref, 2)
    text = tokenizer(ref)("text")["input_ids"]
    if config.model_type in _SEES_PADDING:
        raise UsageError(
            f"--model {ref.name}: what a {config.model_type!r} model makes of a text depends on the padding after it, "
            "and so on the texts beside it; choose another architecture"
        )
    end = end_id(ref)
    if end is not None and end not in text:
        raise UsageError(
            f"--model {ref.name}: its tokenizer doesn't end texts with token {end} (eos_token_id in config.json), "
            f"where a {config.model_type!r} model classifies them"
        )


def load(ref: BackboneRef, styles: int, seed: int) -> PreTrainedModel:
    """Return the model in fp32 with a head for `styles` styles drawn from `seed`, dropout and the KV cache off.

    The head's weights are the same for every method with the same seed. GPT-2's Conv1D layers are nn.Linear.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    from methods.conv1d import to_linear
    from methods.prepare import head_modules

    config = _config(ref, styles)
    if ref.source == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_RANDOM_WEIGHTS_SEED)
            model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    else:
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            ref.folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # a head for other styles; anything else is refused below
            dtype=torch.float32,
            output_loading_info=True,
        )
        _check_loading(ref, model, loading["mismatched_keys"])
    to_linear(model)
    _draw_head(head_modules(model).values(), config, seed)
    return model.float()  # type: ignore[no-any-return]


def _check_loading(ref: BackboneRef, model: PreTrainedModel, mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    """Raise UsageError where weights of the backbone itself have another shape than the configuration says."""
    from methods.prepare import head_modules

    heads = tuple(f"{name}." for name in head_modules(model))
    for name, found, expected in mismatched:
        if not name.startswith(heads):
            raise UsageError(
                f"--model {ref.name}: its weights don't fit its config.json: "
                f"{name} is {tuple(found)} and should be {tuple(expected)}"
            )


def _draw_head(modules: Iterable[nn.Module], config: PreTrainedConfig, seed: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    for module in modules:
        for name, parameter in module.named_parameters():
            with torch.no_grad():
                if name.endswith("bias"):
                    parameter.zero_()
                else:
                    parameter.normal_(std=getattr(config, "initializer_range", 0.02), generator=generator)


def _config(ref: BackboneRef, styles: int) -> PreTrainedConfig:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            ref.folder, num_labels=styles, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"--model {ref.name}: its config.json can't be used: {_first_line(error)}") from error
    if config.model_type not in CLASSIFIERS:
        raise UsageError(f"--model {ref.name}: transformers can't classify texts with a {config.model_type!r} model")
    config.use_cache = False
    if config.pad_token_id is None:
        config.pad_token_id = _filler(ref)
    if getattr(config, "activation_function", None) == "gelu_new":
        config.activation_function = "gelu_pytorch_tanh"  # the same function as one kernel in place of eight
    for name, value in config.to_dict().items():
        if ("drop" in name) and isinstance(value, float):
            setattr(config, name, 0.0)
    return config


def pad_id(ref: BackboneRef) -> int:
    """Return the token that fills a batch: the model's own, or one that no text ends with.

    A decoder's classifier reads a text's last token that isn't this one.
    """
    return int(_config(ref, 2).pad_token_id)


def _filler(ref: BackboneRef) -> int:
    """Return a token to fill batches with for a model that names none: its tokenizer's, or the end of text.

    Where the tokenizer ends each text with that very token, it is another one: all texts end alike, in none but that.
    """
    tokens = tokenizer(ref)
    usual = [token for token in (tokens.pad_token_id, tokens.eos_token_id) if token is not None]
    end = tokens("text")["input_ids"][-1]
    if end in tokens("text", add_special_tokens=False)["input_ids"]:  # a word's, as nothing is put behind it
        found = usual
    else:
        found = [token for token in (*usual, *tokens.all_special_ids, 0, 1) if token != end]
    if not found:
        raise UsageError(f"--model {ref.name}: its tokenizer has neither a padding nor an end-of-text token")
    return int(found[0])


def end_id(ref: BackboneRef) -> int | None:
    """Return the token that a text must have for the model to classify it: T5 and BART read what is there."""
    config = _config(ref, 2)
    return int(config.eos_token_id) if config.model_type in _READS_END else None


def max_positions(ref: BackboneRef) -> int | None:
    """Return the longest input in tokens that the model takes, or None where its config doesn't tell."""
    config = json.loads((Path(ref.folder) / "config.json").read_text())
    found = config.get("max_position_embeddings", config.get("n_positions"))
    return None if found is None else int(found)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
