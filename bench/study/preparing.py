"""A request -> a task that knows what it runs: its backbone, its texts, its grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import console
from bench.data import SPLITS, held_out, tokenise
from bench.errors import UsageError, together
from bench.model import backbone, weights
from bench.sources import resolve
from bench.spec import DataRef, Study, TrainingSpec
from bench.store.files import Store
from methods import MethodError, Plan
from methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bench.data import Corpus
    from bench.data.frames import Split
    from bench.sources import Sources
    from bench.spec import BackboneRef, RunSpec, Variant
    from bench.study.request import Request


@dataclass(frozen=True)
class Prepared:
    """A task that knows what it runs: its grid, its texts, and where it puts what it finds."""

    study: Study
    sources: Sources
    corpus: Corpus
    store: Store
    held_out: str | None
    """The text by which forgetting is measured."""

    @property
    def name(self) -> str:
        """The texts, how many there are to train on where not all, and the backbone, for people."""
        corpus = self.corpus
        size = f", {len(corpus.frames['train']):,} train passages" if corpus.drawn_from else ""
        return f"{corpus.name}{size} · {self.sources.backbone.name}"

    def own(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """Return the runs that are the task's."""
        return [spec for spec in specs if (spec.backbone, spec.data) == (self.study.backbone, self.study.data)]


def prepare_all(requests: Sequence[Request], also: Sequence[Variant] = ()) -> list[Prepared]:
    """Prepare the tasks of one study, saying once what is true of several.

    Raises UsageError for what is wrong with one, and where two are the same.
    """
    said: set[tuple[str, str]] = set()

    def warn(title: str, text: str) -> None:
        if (title, text) not in said:
            said.add((title, text))
            console.warn(title, text)

    found: dict[tuple[str, str], Prepared] = {}
    before: tuple[Request, Prepared] | None = None
    for request in requests:
        one = prepare(request, also, warn)
        if before and replace(before[0], model=None) == replace(request, model=None):
            corpus = before[1].corpus  # the same texts for another backbone are held once
            one = replace(one, corpus=corpus, sources=replace(one.sources, corpus=corpus))
        before = request, one
        task = one.study.backbone.revision, one.study.data.fingerprint
        if task in found:
            raise UsageError(f"{one.name} and {found[task].name} are the same texts and backbone: name them once")
        found[task] = one
    return list(found.values())


def prepare(
    request: Request, also: Sequence[Variant] = (), warn: Callable[[str, str], None] = console.warn
) -> Prepared:
    """Find the backbone and the texts and unfold the grid. Raises UsageError for what is wrong.

    Passages are as long as the grid's variants, and those in `also`, leave room for. `warn` is given what nobody may
    miss, a title and a text.
    """
    request.variants()
    text = held_out.asked(request.forgetting)
    device, dtype = request.engine.hardware(request.device, request.dtype)
    sources = resolve(
        *(request.preset, request.model, request.data, request.categories, request.train_size, request.reading)
    )
    if sources.fallback:
        warn("This is not GPT-2 124M on AuthorMix", _explain(sources, sources.fallback))
    corpus = sources.corpus
    if corpus.notes:
        warn(f"The texts of {corpus.name}", "\n".join(corpus.notes))
    unfolded = request.unfolded(sources.learning_rates)
    _check_layers(sources.backbone, unfolded)
    chosen = [variant for variant, _ in unfolded]
    training = TrainingSpec(
        epochs=request.epochs or sources.defaults.epochs,
        max_steps=request.max_steps,
        batch_size=request.batch_size or sources.defaults.batch_size,
        max_length=_max_length(request, sources, [*chosen, *also]),
        dtype=dtype,
        device=device,
        feature_cache=request.feature_cache,
    )
    study = Study(
        variants=tuple(chosen),
        seeds=request.seeds,
        preset=sources.preset,
        backbone=sources.backbone,
        data=DataRef(name=corpus.name, source=corpus.source, revision=corpus.revision, fingerprint=corpus.fingerprint),
        training=training,
    )
    store = Store(request.results or Path("results") / sources.preset)
    _make("--results", store.folder)
    if request.save_adapters:
        _make("--save-adapters", request.save_adapters)
    return Prepared(study, sources, corpus, store, text)


def look(request: Request) -> tuple[Corpus, dict[Split, NDArray[np.int64]]]:
    """Return the texts as a study would read them, and the length of each in the backbone's tokens."""
    sources = resolve(
        *(request.preset, request.model, request.data, request.categories, request.train_size, request.reading)
    )
    with console.progress("tokenising") as watch:
        splits = tokenise(sources.corpus, backbone.tokenizer(sources.backbone), None, watch)
    return sources.corpus, {split: getattr(splits, split).lengths for split in SPLITS}


def _check_layers(ref: BackboneRef, unfolded: Sequence[tuple[Variant, Sequence[str]]]) -> None:
    """Refuse files that name layers which the backbone lacks: they were made for another one, as likely as not."""
    read = [
        (method, files[0]) for variant, files in unfolded if files and isinstance(method := variant.build(), PeftMethod)
    ]
    if not read:
        return
    model, wrong = weights.outline(ref), []
    for method, file in read:
        try:
            method.config(model, Plan(epochs=1, steps=1000))
        except MethodError as error:
            wrong.append(f"{file}: {error}")
    if wrong:
        raise together(wrong)


def _make(option: str, folder: Path) -> None:
    """Make the folder now: that it can't be made is better known before the first run than after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {folder}: can't create the folder: {error.strerror}") from error


def _explain(sources: Sources, reason: str) -> str:
    model = ["the small GPT-2"] if sources.backbone.source == "embedded" else []
    texts = ["the corpus open-authors"] if sources.corpus.source == "embedded" else []
    return (
        f"The Hugging Face Hub can't be reached ({reason}), and its cache here doesn't hold what `full` needs.\n"
        f"The preset `demo` runs instead, with what ships with the project: {' and '.join(model + texts)}.\n"
        "The figures say nothing about GPT-2 124M on AuthorMix; each record and report carries which it was."
    )


def _max_length(request: Request, sources: Sources, chosen: Sequence[Variant]) -> int:
    """The same for every method: what the preset states or was asked for, as far as the model has positions for it."""
    positions = backbone.max_positions(sources.backbone)
    if positions is None:
        return request.max_length or sources.defaults.max_length
    greediest = max(chosen, key=lambda variant: variant.build().prepended_tokens)
    taken = greediest.build().prepended_tokens
    room = positions - taken
    if room < 1 or (request.max_length or 0) > room:
        taker = f", {taken} of which {greediest.method} takes" if taken else ""
        raise UsageError(
            f"--max-length {request.max_length or 1}: {sources.backbone.name} has {positions} positions{taker}"
        )
    return min(request.max_length or sources.defaults.max_length, room)
