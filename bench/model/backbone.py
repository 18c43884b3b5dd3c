"""The folder of the pretrained model under all methods: its name and revision, its tokenizer and configuration.

A backbone is a folder as transformers saves one: from the Hub's cache, the user's own, or the one that is embedded.
A folder with a configuration and a tokenizer but no weights gives a model with random ones, recorded as `random`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError, first_line
from bench.spec import BackboneRef

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

EMBEDDED = Path(__file__).parents[1] / "assets" / "backbone"
_CONTENT = ("*.json", "*.safetensors", "*.txt", "*.model")
_WORDS = 20
_COUNT_FROM_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Architectures whose first token has the position pad_token_id + 1; those before it are never used."""
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
    try:
        if not (folder / "config.json").is_file():
            raise UsageError(f"--model {folder}: no config.json there; name a folder that save_pretrained wrote")
        if not any(weight_files(folder)) and any(folder.glob("*.bin")):
            raise UsageError(f"--model {folder}: its weights aren't safetensors; save it again with save_pretrained")
        if not any(weight_files(folder)) and any(folder.glob("*.safetensors.index.json")):
            raise UsageError(f"--model {folder}: its index names weight files that are missing; copy the whole folder")
        return _in_folder(folder.resolve(), folder.resolve().name, "local")
    except OSError as error:
        raise UsageError(f"--model {folder}: {error.filename} can't be read: {error.strerror}") from error


def from_hub(name: str, folder: Path, commit: str) -> BackboneRef:
    """Return the Hub's model `name`, whose snapshot of `commit` lies in `folder`."""
    return BackboneRef(name=name.partition("@")[0], source="hub", revision=commit, folder=str(folder))


def _in_folder(folder: Path, name: str, source: Literal["local", "embedded"]) -> BackboneRef:
    has_weights = any(weight_files(folder))
    return BackboneRef(
        name=name, source=source if has_weights else "random", revision=_content_hash(folder), folder=str(folder)
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold weights, of which there may be none."""
    return sorted(folder.glob("*.safetensors"))


def files(folder: Path) -> list[Path]:
    """Return the files in a folder that make the model and its tokenizer."""
    return sorted({file for pattern in _CONTENT for file in folder.glob(pattern)})


def _content_hash(folder: Path) -> str:
    """Hash the names and contents of the files that make the model and its tokenizer."""
    digest = hashlib.sha256()
    for path in files(folder):
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
        raise UsageError(f"--model {ref.name}: its tokenizer can't be loaded: {first_line(error)}") from error
    if not isinstance(found, PreTrainedTokenizerFast):
        raise UsageError(f"--model {ref.name}: it has no fast tokenizer; save one as tokenizer.json beside it")
    try:
        ids = found(_own_words(found), add_special_tokens=False)["input_ids"]
    except Exception as error:  # which is what tokenizers raises for a word that it doesn't know
        raise UsageError(f"--model {ref.name}: its tokenizer can't read text: {first_line(error)}") from error
    if not ids:
        raise UsageError(f"--model {ref.name}: its tokenizer produces no tokens; is tokenizer.json missing?")
    return found


def _own_words(tokens: PreTrainedTokenizerFast) -> str:
    """Return a text that the tokenizer was made for: one of words may know no other than those of its vocabulary."""
    special = set(tokens.all_special_ids)
    own = [place for place in sorted(tokens.get_vocab().values()) if place not in special]
    return str(tokens.decode(own[:_WORDS]))


def check(ref: BackboneRef) -> None:
    """Raise UsageError where the model has no weights that are safe to load, transformers can't classify with its
    architecture, that one isn't indifferent to padding, or its tokenizer doesn't work or doesn't fit it."""
    if ref.source == "hub" and not weight_files(Path(ref.folder)):
        raise UsageError(f"--model {ref.name}: neither the Hub nor its cache has its weights as safetensors")
    config = classifier_config(ref, 2)
    text = tokenizer(ref)("text")["input_ids"]
    if config.model_type in _SEES_PADDING:
        raise UsageError(
            f"--model {ref.name}: the output of a {config.model_type!r} model for a text depends on the padding "
            "after it, and so on the other texts in its batch; choose another architecture"
        )
    end = end_id(ref)
    if end is not None and end not in text:
        raise UsageError(
            f"--model {ref.name}: its tokenizer doesn't end texts with token {end} (eos_token_id in config.json), "
            f"which a {config.model_type!r} model reads to classify a text"
        )


def models_language(ref: BackboneRef) -> bool:
    """Tell whether the checkpoint was saved as a causal language model; a BERT wasn't, nor was a classifier."""
    from transformers.models.auto import modeling_auto

    if ref.source == "random":
        return False
    config = classifier_config(ref, 2)
    kind = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    may_look_ahead = config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    looks_ahead = config.is_encoder_decoder or (may_look_ahead and not getattr(config, "is_decoder", False))
    return kind in (config.architectures or ()) and not looks_ahead


def classifier_config(ref: BackboneRef, styles: int) -> PreTrainedConfig:
    """Return the configuration of a classifier with so many styles, dropout and the KV cache off.

    Raises UsageError where the folder's can't be used, or transformers can't classify with its architecture.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            ref.folder, num_labels=styles, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"--model {ref.name}: its config.json can't be used: {first_line(error)}") from error
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
    return int(classifier_config(ref, 2).pad_token_id)


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
    config = classifier_config(ref, 2)
    return int(config.eos_token_id) if config.model_type in _READS_END else None


def max_positions(ref: BackboneRef) -> int | None:
    """Return the longest input in tokens that the model takes, or None where its config doesn't tell."""
    config = json.loads((Path(ref.folder) / "config.json").read_text())
    found = config.get("max_position_embeddings", config.get("n_positions"))
    if found is None:
        return None
    unused = config.get("pad_token_id", 1) + 1 if config["model_type"] in _COUNT_FROM_PADDING else 0
    return int(found) - int(unused)
