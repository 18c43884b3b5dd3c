"""Where the backbone and the texts come from: a preset, the Hub, a folder, or what is embedded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench import hub
from bench.data import DataOptions, load_hub, load_local, load_open_authors
from bench.data.tables import is_table
from bench.errors import UsageError, told_at
from bench.model import backbone
from bench.spec import LearningRates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.data import Corpus
    from bench.spec import BackboneRef
    from bench.store.record import Preset


_AS_FOUND = DataOptions()


@dataclass(frozen=True)
class Defaults:
    """What a preset names and states: the backbone, the texts, and how long and in what portions to train.

    `learning_rates` are for its own backbone, where the methods' defaults aren't for one of that size.
    """

    model: str
    data: str
    epochs: int
    batch_size: int
    max_length: int
    learning_rates: LearningRates = field(default_factory=LearningRates)


PRESETS: dict[Literal["full", "demo"], Defaults] = {
    "full": Defaults("openai-community/gpt2", "hallisky/AuthorMix", epochs=3, batch_size=16, max_length=256),
    "demo": Defaults(
        *("the embedded GPT-2", "open-authors"),
        epochs=2,
        batch_size=16,
        max_length=256,
        learning_rates=LearningRates({"head": 2.3e-2, "lora": 7.4e-3, "ia3": 1.2e-2, "prefix": 3.3e-2}),
    ),
}
"""The demo's learning rates are what a search chose on its validation split (docs/measuring.md)."""


@dataclass(frozen=True)
class Sources:
    """What a study runs on, and why it isn't `full` where that was to be tried and couldn't be had."""

    preset: Preset
    defaults: Defaults
    backbone: BackboneRef
    corpus: Corpus
    fallback: str | None

    @property
    def learning_rates(self) -> LearningRates:
        """The preset's, where the backbone is its own."""
        return self.defaults.learning_rates if self.backbone.source == "embedded" else LearningRates()


def resolve(
    preset: Literal["full", "demo"] | None,
    model: str | None,
    data: str | None,
    categories: Sequence[str] | None = None,
    train_size: int | None = None,
    options: DataOptions = _AS_FOUND,
) -> Sources:
    """Find the backbone and the texts, and choose among these; what is local is checked before the Hub is asked.

    `options` say how the texts are to be read, where they aren't those that ship with the project.

    What isn't named comes from `preset`; without one, from `full` where the Hub or its cache has it and else from
    `demo`. Raises UsageError where something named can't be had.
    """
    local_model = _local_model(model)
    local_path, config = local_texts(data)
    local_data = None
    if local_path:
        with told_at(options.stated_at):
            local_data = load_local(local_path, options, config).select(categories, train_size, options.sample)
    fallback = None
    base: Literal["full", "demo"] = preset or "full"
    needs_hub = base == "full" and (model is None or data is None)
    if needs_hub:
        fallback = _why_not_full(model is None, data is None)
        if fallback and preset == "full":
            raise UsageError(
                f"--preset full needs the Hugging Face Hub or its cache: {fallback}\n"
                "Go on with local folders (--model DIR --data DIR) or with --preset demo."
            )
        base = "demo" if fallback else "full"
    found_model = local_model or _model(model, base)
    with told_at(options.stated_at):
        corpus = local_data or _corpus(data, base, options).select(categories, train_size, options.sample)
    return Sources(
        preset="custom" if model or data else base,
        defaults=PRESETS[base],
        backbone=found_model,
        corpus=corpus,
        fallback=fallback,
    )


def at_hand(
    preset: Literal["full", "demo"] | None, model: str | None, data: str | None, options: DataOptions
) -> Sources | None:
    """Return what `resolve` would for what needs neither the Hub nor torch, and None for the rest.

    The backbone isn't checked. Raises UsageError as `resolve` does.
    """
    path, config = local_texts(data)
    folder = existing(model, "--model")
    if (model and not folder) or (data and not path) or (preset != "demo" and not (model and data)):
        return None
    with told_at(options.stated_at):
        corpus = load_local(path, options, config) if path else _corpus(None, "demo", options)
    return Sources(
        preset="custom" if model or data else "demo",
        defaults=PRESETS["full" if preset == "full" else "demo"],
        backbone=backbone.local(folder) if folder else backbone.embedded(),
        corpus=corpus,
        fallback=None,
    )


def _why_not_full(model: bool, data: bool) -> str | None:
    """Return why what `full` names, as far as it is needed, can't be had here; None where it can."""
    try:
        if model:
            hub.snapshot(PRESETS["full"].model, "model")
        if data:
            hub.snapshot(PRESETS["full"].data, "dataset")
    except hub.HubUnavailable as error:
        return str(error)
    return None


def _local_model(model: str | None) -> BackboneRef | None:
    folder = existing(model, "--model")
    if folder is None:
        return None
    if not folder.is_dir():
        raise UsageError(f"--model {model}: not a folder; name the one that save_pretrained wrote")
    try:
        found = backbone.local(folder)
    except OSError as error:
        raise UsageError(f"--model {model}: {error.filename or folder} can't be read: {error.strerror}") from error
    backbone.check(found)
    return found


def local_texts(data: str | None) -> tuple[Path | None, str | None]:
    """Return the file or folder that --data names and the configuration of DIR:CONFIG; None for a name on the Hub."""
    if data is None:
        return None, None
    name, _, config = data.rpartition(":")
    if name and config and not Path(data).expanduser().exists() and Path(name).expanduser().is_dir():
        return Path(name).expanduser(), config
    return existing(data, "--data"), None


def existing(name: str | None, option: str) -> Path | None:
    """Return the path that `name` is, or None where it is a name on the Hub. Raises UsageError where it is neither."""
    if name is None:
        return None
    path = Path(name).expanduser()
    try:
        if path.exists():
            return path
    except OSError as error:
        raise UsageError(f"{option} {name}: can't be read: {error.strerror}") from error
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or is_table(path.name):
        raise UsageError(f"{option} {name}: no such file or folder")
    return None


def _model(name: str | None, base: Literal["full", "demo"]) -> BackboneRef:
    if name is None and base == "demo":
        return backbone.embedded()
    name = name or PRESETS["full"].model
    found = backbone.from_hub(name, *_snapshot(name, "model"))
    backbone.check(found)
    return found


def _corpus(name: str | None, base: Literal["full", "demo"], options: DataOptions) -> Corpus:
    if name is None and base == "demo":
        if replace(options, sample=None) != _AS_FOUND:
            raise UsageError(
                "--text, --label, --group, --document and --splits go with --data, not with the demo's texts"
            )
        return load_open_authors()
    name, at, revision = (name or PRESETS["full"].data).partition("@")
    repository, _, config = name.partition(":")
    folder, commit = _snapshot(repository + at + revision, "dataset")
    return load_hub(folder, name, commit, options, config or None)


def _snapshot(name: str, kind: Literal["model", "dataset"]) -> tuple[Path, str]:
    try:
        return hub.snapshot(name, kind)
    except hub.HubUnavailable as error:
        option = "--model" if kind == "model" else "--data"
        raise UsageError(
            f"{option} {name}: no such folder, and the Hugging Face Hub can't be reached: {error}"
        ) from error
