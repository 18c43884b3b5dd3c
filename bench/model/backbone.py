"""The pretrained model under all methods, with a fresh classification head, and its tokenizer.

A backbone is a folder as transformers saves one: from the Hub's cache, the user's own, or the one that is embedded.
A folder with a configuration and a tokenizer but no weights gives a model with random ones, recorded as `random`.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError
from bench.spec import BackboneRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

EMBEDDED = Path(__file__).parents[1] / "assets" / "backbone"
_CONTENT = ("*.json", "*.safetensors", "*.txt", "*.model")
_SEED_OF_THE_REST = 0
WRAPPED = r"^(?:_orig_mod\.|module\.)+"
"""What torch.compile and DataParallel put before the name of each parameter."""
_NAMED = 5
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
        if not any(_weights(folder)) and any(folder.glob("*.bin")):
            raise UsageError(f"--model {folder}: its weights aren't safetensors; save it again with save_pretrained")
        if not any(_weights(folder)) and any(folder.glob("*.safetensors.index.json")):
            raise UsageError(f"--model {folder}: its index names weight files that are missing; copy the whole folder")
        return _in_folder(folder.resolve(), folder.resolve().name, "local")
    except OSError as error:
        raise UsageError(f"--model {folder}: {error.filename} can't be read: {error.strerror}") from error


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
        raise UsageError(f"--model {ref.name}: its tokenizer can't be loaded: {_first_line(error)}") from error
    if not isinstance(found, PreTrainedTokenizerFast):
        raise UsageError(f"--model {ref.name}: it has no fast tokenizer; save one as tokenizer.json beside it")
    try:
        ids = found(_own_words(found), add_special_tokens=False)["input_ids"]
    except Exception as error:  # which is what tokenizers raises for a word that it doesn't know
        raise UsageError(f"--model {ref.name}: its tokenizer can't read text: {_first_line(error)}") from error
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
    if ref.source == "hub" and not _weights(Path(ref.folder)):
        raise UsageError(f"--model {ref.name}: neither the Hub nor its cache has its weights as safetensors")
    config = _config(ref, 2)
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
    config = _config(ref, 2)
    try:
        with quiet():
            model, missing = _build(ref, config, "meta")
        prefix = _prefix(ref)
    except UsageError:
        raise
    except Exception as error:  # of whatever type: a file that is missing, cut short, empty, or not to be read
        raise UsageError(f"--model {ref.name}: its weights can't be loaded: {_first_line(error)}") from error
    from bench.model.packed import gpt2

    return Contents(prefix, _new_parts(ref, model, missing), _vocabulary(model), gpt2(model) is not None)


def outline(ref: BackboneRef) -> PreTrainedModel:
    """Return the model as `load` would, but without weights: its layers have names and sizes, and compute nothing."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from methods.conv1d import to_linear

    with quiet(), torch.device("meta"):
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(_config(ref, 2))
    return to_linear(model)


def _vocabulary(model: PreTrainedModel) -> int | None:
    try:
        return len(model.get_input_embeddings().get_parameter("weight"))
    except NotImplementedError:  # CANINE hashes characters
        return None


def models_language(ref: BackboneRef) -> bool:
    """Tell whether the checkpoint was saved as a causal language model; a BERT wasn't, nor was a classifier."""
    from transformers.models.auto import modeling_auto

    if ref.source == "random":
        return False
    config = _config(ref, 2)
    kind = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    may_look_ahead = config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    looks_ahead = config.is_encoder_decoder or (may_look_ahead and not getattr(config, "is_decoder", False))
    return kind in (config.architectures or ()) and not looks_ahead


def check_ids(ref: BackboneRef, found: Contents, largest: int) -> None:
    """Raise UsageError where the model doesn't know all ids: those of the texts, up to `largest`, and of padding."""
    largest = max(largest, pad_id(ref))
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
        model, missing = _build(ref, _config(ref, styles), None)
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

    for path in _weights(Path(ref.folder)):
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
    if found is None:
        return None
    unused = config.get("pad_token_id", 1) + 1 if config["model_type"] in _COUNT_FROM_PADDING else 0
    return int(found) - int(unused)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
