"""From what a person asked for to runs, and from runs to records in a store."""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safetensors import SafetensorError

import methods
from bench import console, resume
from bench.data import SPLITS, DataOptions, overview, text_hashes, tokenise
from bench.errors import UsageError
from bench.execution import baseline, child, engine, results
from bench.job import Job, examples_path
from bench.machine import cores, facts
from bench.model import backbone
from bench.sources import PRESETS, at_hand, resolve
from bench.spec import CORE, DataRef, LearningRates, Study, TrainingSpec, Variant, parse_sweeps, variants
from bench.store import baseline as kept
from bench.store import speeds
from bench.store.claims import Owner
from bench.store.files import Store, is_uid, move_aside
from bench.store.record import Backbone, Baseline, Data, Majority, RecordError, Sizes, alone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bench.data import Corpus, Splits
    from bench.data.frames import Split
    from bench.resume import Rerun
    from bench.sources import Sources
    from bench.spec import RunSpec
    from bench.store.record import Record

EXAMPLE_COLUMNS = ["text_hash", "document", "category", "style"]
"""What is told of each test example beside its prediction; its text stays with the user."""

CHECKPOINTS = ".checkpoints"
LONG_EPOCH_S = 60.0
"""An epoch that takes so long is worth keeping without being asked."""

_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Request:
    """What was asked for; None leaves the choice to the preset."""

    methods: tuple[str, ...] = CORE
    settings: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    preset: Literal["full", "demo"] | None = None
    model: str | None = None
    data: str | None = None
    categories: tuple[str, ...] | None = None
    train_size: int | None = None
    reading: DataOptions = field(default_factory=DataOptions)
    epochs: int | None = None
    max_steps: int | None = None
    batch_size: int | None = None
    max_length: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    feature_cache: bool = True
    results: Path | None = None
    save_adapters: Path | None = None
    rerun: Rerun = "failed"
    timeout_s: float | None = None
    checkpoint: Literal["auto", "on", "off"] = "auto"
    baseline: bool = True
    timing: bool = True
    engine: engine.Settings = field(default_factory=engine.settings)

    def variants(self, learning_rates: LearningRates | None = None) -> list[Variant]:
        """Unfold methods and sweeps; what is wrong with them is raised here, before any text is read.

        `learning_rates` are the preset's; without a backbone at hand, those that the preset named here would use.
        """
        if learning_rates is None:
            learning_rates = PRESETS[self.preset].learning_rates if self.preset and not self.model else LearningRates()
        for what, values in (("--methods", self.methods), ("--seeds", self.seeds)):
            if not values:
                raise UsageError(f"{what} is empty; leave it out for the default")
            repeated = [str(value) for value, count in Counter(values).items() if count > 1]
            if repeated:
                raise UsageError(f"{what}: {', '.join(repeated)} is given twice")
        for seed in self.seeds:
            if not 0 <= seed <= _LARGEST_SEED:
                raise UsageError(f"--seeds {seed}: a seed is a whole number from 0 to {_LARGEST_SEED}")
        for name in self.methods:
            methods.get(name)
        return variants(self.methods, parse_sweeps(self.settings, self.methods), learning_rates)


@dataclass(frozen=True)
class Prepared:
    """A study that knows what it runs: its grid, its texts, and where it puts what it finds."""

    study: Study
    sources: Sources
    corpus: Corpus
    store: Store


def prepare(request: Request, also: Sequence[Variant] = ()) -> Prepared:
    """Find the backbone and the texts and unfold the grid. Raises UsageError for what is wrong.

    Passages are as long as the grid's variants, and those in `also`, leave room for.
    """
    request.variants()
    device, dtype = request.engine.hardware(request.device, request.dtype)
    sources = resolve(
        *(request.preset, request.model, request.data, request.categories, request.train_size, request.reading)
    )
    if sources.fallback:
        console.warn("This is not GPT-2 124M on AuthorMix", _explain(sources, sources.fallback))
    corpus = sources.corpus
    if corpus.notes:
        console.warn(f"The texts of {corpus.name}", "\n".join(corpus.notes))
    chosen = request.variants(sources.learning_rates)
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
    return Prepared(study, sources, corpus, store)


def estimate(request: Request) -> speeds.Estimate | None:
    """Estimate a study without torch; None where the texts or the backbone's tokenizer aren't at hand.

    Speeds are those of the records in the store that was named, and in those within `results`.
    """
    sources = at_hand(request.preset, request.model, request.data, request.reading)
    if sources is None:
        return None
    corpus = sources.corpus.select(request.categories, request.train_size, request.reading.sample)
    chosen = request.variants(sources.learning_rates)
    found = overview.tokens(corpus, Path(sources.backbone.folder), request.max_length or sources.defaults.max_length)
    if found is None:
        return None
    folders = {path.parent for path in Path("results").glob("*/*.json")} | {request.results or Path("results")}
    records = [record for folder in folders if folder.is_dir() for record in Store(folder).read().records]
    devices = ("cuda", "cpu") if request.device == "auto" else (request.device,)
    on_each = [speeds.speeds(records, sources.backbone.revision, name, facts.processor()) for name in devices]
    known = next(filter(None, on_each), {})
    epochs: float = request.epochs or sources.defaults.epochs
    if request.max_steps:
        batches = -(-len(corpus.frames["train"]) // (request.batch_size or sources.defaults.batch_size))
        epochs = min(epochs, request.max_steps / batches)
    names = [variant.method for variant in chosen]
    work = speeds.Work(**found, epochs=epochs)
    return speeds.Estimate(
        tokens=found,
        seconds=speeds.study_seconds(names, len(request.seeds), work, known),
        measured=sum(name in known for name in names),
        variants=len(names),
        runs=len(names) * len(request.seeds),
    )


def look(request: Request) -> tuple[Corpus, dict[Split, NDArray[np.int64]]]:
    """Return the texts as a study would read them, and the length of each in the backbone's tokens."""
    sources = resolve(
        *(request.preset, request.model, request.data, request.categories, request.train_size, request.reading)
    )
    with console.progress("tokenising") as watch:
        splits = tokenise(sources.corpus, backbone.tokenizer(sources.backbone), None, watch)
    return sources.corpus, {split: getattr(splits, split).lengths for split in SPLITS}


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


def run(request: Request) -> tuple[Store, list[Record]]:
    """Run what was asked for and isn't there; return the grid's records, in its order, and the store that holds them.

    Raises UsageError for what is wrong with what was asked for, and where the store can't be written, and OSError where
    the system refuses something else.
    """
    request.variants()
    if not _holds_records(request):
        child.warm_up()
    prepared = prepare(request)
    return prepared.store, complete(prepared, prepared.study.runs(), request)


def complete(prepared: Prepared, specs: Sequence[RunSpec], request: Request) -> list[Record]:
    """Run what of the runs isn't in the store; return their records, in order. They are all trials, or none is one.

    Raises UsageError where the store can't be written, and OSError where the system refuses something else.
    """
    contents = prepared.store.read()
    plan = resume.plan(specs, contents.records, request.rerun, request.save_adapters)
    if said := plan.sentence():
        console.say(said)
    damaged = [path for path, _ in contents.unreadable]
    try:
        found = _run(prepared, plan, damaged, request) if plan.todo or damaged or _untimed(plan, request) else {}
    except OSError as error:
        if not _within(error, prepared.store.folder):
            raise
        raise _unwritable(prepared.store.folder, error) from error
    records = {**plan.known, **found}
    return [records[spec.uid] for spec in plan.runs if spec.uid in records]


def _within(error: OSError, folder: Path) -> bool:
    """Tell whether a file of the folder's was refused, for a reason of its own."""
    if not isinstance(error.filename, str) or error.errno in (errno.EMFILE, errno.ENFILE):
        return False
    return Path(error.filename).absolute().is_relative_to(folder.absolute())


def _unwritable(folder: Path, error: Exception) -> UsageError:
    return UsageError(f"{folder} can't be written: {error}")


def _holds_records(request: Request) -> bool:
    """Tell whether there may be nothing to run; which store it is depends on sources that aren't known yet."""
    folder, pattern = (request.results, "*.json") if request.results else (Path("results"), "*/*.json")
    try:
        return any(folder.glob(pattern))
    except OSError:  # which is said where the store is made
        return False


def _run(prepared: Prepared, plan: resume.Plan, damaged: Sequence[Path], request: Request) -> dict[str, Record]:
    """Set aside what is damaged, run what is to be run, and return its records, by uid."""
    folder = prepared.store.folder
    with Owner(folder) as owner:
        _set_aside(prepared.store, owner, damaged)
        if not plan.todo and not _untimed(plan, request):
            return {}
        child.warm_up()
        model = prepared.sources.backbone
        contents, tokenizer = backbone.contents(model), backbone.tokenizer(model)
        with console.progress("tokenising") as watch:
            splits = tokenise(prepared.corpus, tokenizer, prepared.study.training.max_length, watch)
        backbone.check_ids(model, contents, max(int(getattr(splits, split).ids.max()) for split in SPLITS))
        _say(model.name, contents)
        if splits.train.types is not None and not tokenizer.num_special_tokens_to_add(pair=True):
            console.say(f"{model.name}'s tokenizer puts nothing between the two texts of a pair.")
        if prepared.corpus.understood and prepared.corpus.label != "style":  # our own columns go without saying
            console.say(f"{prepared.corpus.name}: {prepared.corpus.understood}")
        jobs = _jobs(prepared, plan.todo, splits, owner.folder / "runs", request)
        tested = any(job.spec.search is None for job in jobs)  # a search looks at no test split, nor does its baseline
        figures = _baseline(prepared, jobs[0].scratch) if request.baseline and tested else None
        shared = _shared(prepared, contents, splits.truncated, figures)
        store, view = Store(folder, aside=owner.folder), console.view(len(jobs))
        found = results.Results(shared, store, owner, view, plan.known, request.save_adapters)
        try:
            with view, request.engine.open(found, request.timeout_s) as doing:
                if jobs:
                    doing.run(jobs)
                specs = _first_seeds(plan.runs, {**plan.known, **found.records}) if request.timing else []
                if specs:  # in a folder apart, else they would be charged what other runs computed and kept
                    doing.time_alone(_jobs(prepared, specs, splits, owner.folder / "timing", request))
                return found.records
        except KeyboardInterrupt:
            console.say(f"Stopped after {view.done} of {len(jobs)} runs. The same command goes on with the rest.")
            raise


def _wait_for_cores() -> None:
    console.say(console.NO_CORES)


def _untimed(plan: resume.Plan, request: Request) -> bool:
    """Tell whether runs that there are have still to be timed by themselves."""
    return request.timing and request.rerun != "none" and bool(_first_seeds(plan.runs, plan.known))


def _first_seeds(runs: Sequence[RunSpec], records: Mapping[str, Record]) -> list[RunSpec]:
    """Of each variant that has results but none from a run that had the machine to itself, the first one's."""
    good = [spec for spec in runs if spec.search is None and spec.uid in records and records[spec.uid].status == "ok"]
    done = [spec.variant for spec in good if alone(records[spec.uid])]
    first: list[RunSpec] = []
    for spec in good:
        if spec.variant not in done:
            done.append(spec.variant)
            first.append(spec)
    return first


def _say(name: str, contents: backbone.Contents) -> None:
    """Say what isn't as it should be with the model's weights, and what is done about it."""
    if contents.stripped_prefix:
        console.say(f"The names of {name}'s weights begin with {contents.stripped_prefix}, which is taken off.")
    if contents.new_parts:
        parts = ", ".join(contents.new_parts)
        console.say(f"{name}'s weights lack {parts}: it is the same for every seed at first, and trains with the head.")


def _set_aside(store: Store, owner: Owner, damaged: Sequence[Path]) -> None:
    """Put what isn't a good record out of the way, unless another study is just replacing it; say what and where."""
    for path in damaged:
        contested = is_uid(path.stem)
        if contested and not owner.claim(path.stem):
            continue
        place = store.set_aside(path)
        if contested:
            owner.release(path.stem)
        if place is not None:
            console.say(f"{path.name} can't be read as a record and was set aside, into {place}.")


def _jobs(prepared: Prepared, specs: Sequence[RunSpec], splits: Splits, scratch: Path, request: Request) -> list[Job]:
    """Write down what all runs read, in a new folder, and return a job for each run.

    Raises UsageError where the store refuses.
    """
    test = prepared.corpus.frames["test"]
    examples = test.assign(text_hash=text_hashes(test))[EXAMPLE_COLUMNS]
    try:
        scratch.mkdir()
        if any(spec.search for spec in specs):
            splits.without_test().save(scratch)  # what a search can't read, it can't have chosen by
        else:
            splits.save(scratch)
            examples.to_parquet(examples_path(scratch), index=False)
    except (OSError, SafetensorError) as error:  # neither names the file
        raise _unwritable(prepared.store.folder, error) from error
    checkpoints = prepared.store.folder / CHECKPOINTS
    return [
        Job(
            spec=spec,
            styles=prepared.corpus.styles,
            scratch=scratch,
            adapter=scratch / f"{spec.uid}-adapter" if request.save_adapters else None,
            checkpoint=None if request.checkpoint == "off" else checkpoints / f"{spec.uid}.safetensors",
            checkpoint_after_s=LONG_EPOCH_S if request.checkpoint == "auto" else 0.0,
        )
        for spec in specs
    ]


def _baseline(prepared: Prepared, scratch: Path) -> Baseline | None:
    """Return what the store has, else compute the baseline and keep it; None, with a warning, where that fails."""
    folder, fingerprint = prepared.store.folder, prepared.corpus.fingerprint
    try:
        if (found := kept.find(folder, fingerprint)) is not None:
            return found.figures
    except RecordError as error:
        with suppress(FileNotFoundError):  # another study was quicker
            place = move_aside(kept.path(folder, fingerprint))
            console.say(f"The baseline in {folder} can't be read ({error}) and was set aside, into {place}.")
    corpus, threads = baseline.sampled(prepared.corpus), facts.threads()
    doing = f"baseline: character n-grams of {len(corpus.frames['train']):,} train passages"
    try:
        with cores.Cores(cores.usable()).wait(threads, tell=_wait_for_cores) as lease, console.busy(doing):
            found = baseline.compute(corpus, scratch, threads, lease.cores)
        kept.put(folder, fingerprint, found, aside=scratch)
    except (baseline.Failed, OSError) as error:
        console.warn("No baseline", f"{error}\nThe study goes on without it.")
        return None
    figures = found.figures
    console.say(f"baseline: accuracy {figures.accuracy:.1%}, macro-F1 {figures.macro_f1:.1%}, {figures.fit_s:.1f} s")
    return figures


def _shared(
    prepared: Prepared, contents: backbone.Contents, truncated: int, figures: Baseline | None
) -> results.Shared:
    corpus, study = prepared.corpus, prepared.study
    return results.Shared(
        backbone=Backbone(
            name=study.backbone.name,
            source=study.backbone.source,
            revision=study.backbone.revision,
            new_parts=list(contents.new_parts) or None,
            stripped_prefix=contents.stripped_prefix,
        ),
        data=Data(
            name=corpus.name,
            source=corpus.source,
            revision=corpus.revision,
            fingerprint=corpus.fingerprint,
            styles=list(corpus.styles),
            categories=list(corpus.categories),
            sizes=Sizes(**{split: len(frame) for split, frame in corpus.frames.items()}),
            max_length=study.training.max_length,
            majority=_majority(corpus),
            baseline=figures,
            duplicates=corpus.duplicates,
            repeated=Sizes(**corpus.repeated),
            truncated=truncated,
            notes=list(corpus.notes),
            label=corpus.label,
            group=corpus.group,
        ),
        command=facts.command_line(),
    )


def _majority(corpus: Corpus) -> Majority:
    """Score the answer that is always the same: its style has recall 1 and precision `accuracy`, the others F1 0."""
    style, accuracy = corpus.majority()
    f1 = 2 * accuracy / (1 + accuracy)
    return Majority(style=style, accuracy=accuracy, macro_f1=f1 / corpus.frames["test"]["style"].nunique())
