"""From what a person asked for to runs, and from runs to records in a store."""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from safetensors import SafetensorError

import methods
from bench import console, resume
from bench.data import SPLITS, DataOptions, Splits, overview, text_hashes, tokenise
from bench.errors import UsageError
from bench.execution import baseline, child, engine, results
from bench.job import Job, examples_path
from bench.machine import cores, facts
from bench.model import backbone
from bench.sources import PRESETS, at_hand, resolve
from bench.spec import CORE, LARGEST_SEED, DataRef, LearningRates, Study, TrainingSpec, Variant, parse_sweeps, variants
from bench.store import baseline as kept
from bench.store import speeds
from bench.store.claims import Owner
from bench.store.files import Store, is_uid, move_aside
from bench.store.record import Backbone, Baseline, Data, Majority, RecordError, Sizes, alone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bench.data import Corpus
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
            if not 0 <= seed <= LARGEST_SEED:
                raise UsageError(f"--seeds {seed}: a seed is a whole number from 0 to {LARGEST_SEED}")
        for name in self.methods:
            methods.get(name)
        return variants(self.methods, parse_sweeps(self.settings, self.methods), learning_rates)


@dataclass(frozen=True)
class Prepared:
    """A task that knows what it runs: its grid, its texts, and where it puts what it finds."""

    study: Study
    sources: Sources
    corpus: Corpus
    store: Store

    @property
    def name(self) -> str:
        """The texts and the backbone, for people."""
        return f"{self.corpus.name} · {self.sources.backbone.name}"


@dataclass(frozen=True)
class _Ready:
    """A task whose texts are tokenised, in its scratch folder, and the jobs of it that are to be done.

    `label` names it to a person where the study has several.
    """

    task: Prepared
    label: str
    scratch: Path
    jobs: list[Job]
    contents: backbone.Contents
    truncated: int


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
    device, dtype = request.engine.hardware(request.device, request.dtype)
    sources = resolve(
        *(request.preset, request.model, request.data, request.categories, request.train_size, request.reading)
    )
    if sources.fallback:
        warn("This is not GPT-2 124M on AuthorMix", _explain(sources, sources.fallback))
    corpus = sources.corpus
    if corpus.notes:
        warn(f"The texts of {corpus.name}", "\n".join(corpus.notes))
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


def estimate(*requests: Request) -> speeds.Estimate | None:
    """Estimate a study without torch; None where some texts or a backbone's tokenizer aren't at hand."""
    found = [one for request in requests if (one := _estimate(request))]
    return speeds.together(found) if len(found) == len(requests) else None


def _estimate(request: Request) -> speeds.Estimate | None:
    """Estimate one task, likewise.

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


def run(*requests: Request) -> tuple[Store, list[Record]]:
    """Run what was asked for and isn't there; return the grid's records, in its order, and the store that holds them.

    Several requests are the tasks of one study: they differ in texts and backbone alone. All are prepared before the
    first run. Raises UsageError for what is wrong with what was asked for, and where the store can't be written, and
    OSError where the system refuses something else.
    """
    for request in requests:
        request.variants()
    if not _holds_records(requests[0]):
        child.warm_up()
    tasks = prepare_all(requests)
    return tasks[0].store, complete(tasks, [spec for task in tasks for spec in task.study.runs()], requests[0])


def complete(tasks: Sequence[Prepared], specs: Sequence[RunSpec], request: Request) -> list[Record]:
    """Run what of the tasks' runs isn't in the store; return their records, in order. All are trials, or none is one.

    Raises UsageError where the store can't be written, and OSError where the system refuses something else.
    """
    store = tasks[0].store
    contents = store.read()
    plan = resume.plan(specs, contents.records, request.rerun, request.save_adapters)
    if said := plan.sentence():
        console.say(said)
    damaged = [path for path, _ in contents.unreadable]
    try:
        found = _run(tasks, plan, damaged, request) if plan.todo or damaged or _untimed(plan, request) else {}
    except OSError as error:
        if not _within(error, store.folder):
            raise
        raise _unwritable(store.folder, error) from error
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


def _run(tasks: Sequence[Prepared], plan: resume.Plan, damaged: Sequence[Path], request: Request) -> dict[str, Record]:
    """Set aside what is damaged, run what is to be run, and return its records, by uid."""
    store = tasks[0].store
    with Owner(store.folder) as owner:
        _set_aside(store, owner, damaged)
        untimed = _untimed(plan, request)
        if not plan.todo and not untimed:
            return {}
        child.warm_up()
        ready = []
        for number, task in enumerate(tasks, start=1):
            todo = _of(task, plan.todo)
            if todo or _of(task, untimed):
                label = task.name if len(tasks) > 1 else ""
                ready.append(_ready(task, label, todo, owner.folder / f"task-{number}", request))
        jobs = [job for one in ready for job in one.jobs]
        shared = {one.scratch.name: _shared(one, _baseline(one, request)) for one in ready}
        view = console.view(len(jobs), _to_time(plan, request))
        found = results.Results(
            *(shared, facts.command_line(), Store(store.folder, aside=owner.folder), owner, view, plan.known),
            adapters=request.save_adapters,
        )
        try:
            with view, request.engine.open(found, request.timeout_s) as doing:
                if jobs:
                    doing.run(jobs)
                specs = _first_seeds(plan.runs, {**plan.known, **found.records}) if request.timing else []
                if specs:
                    doing.time_alone(_timing_jobs(ready, specs, request))
                return found.records
        except KeyboardInterrupt:
            console.say(f"Stopped after {view.done} of {len(jobs)} runs. The same command goes on with the rest.")
            raise


def _of(task: Prepared, specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return the runs that are the task's."""
    return [spec for spec in specs if (spec.backbone, spec.data) == (task.study.backbone, task.study.data)]


def _ready(task: Prepared, label: str, todo: Sequence[RunSpec], scratch: Path, request: Request) -> _Ready:
    """Tokenise a task's texts and leave in its scratch folder, which is made, what its runs read."""
    model = task.sources.backbone
    contents, tokenizer = backbone.contents(model), backbone.tokenizer(model)
    with console.progress("tokenising") as watch:
        splits = tokenise(task.corpus, tokenizer, task.study.training.max_length, watch)
    backbone.check_ids(model, contents, max(int(getattr(splits, split).ids.max()) for split in SPLITS))
    _say(model.name, contents)
    if splits.train.types is not None and not tokenizer.num_special_tokens_to_add(pair=True):
        console.say(f"{model.name}'s tokenizer puts nothing between the two texts of a pair.")
    if task.corpus.understood and task.corpus.label != "style":  # our own columns go without saying
        console.say(f"{task.corpus.name}: {task.corpus.understood}")
    jobs = _jobs(task, label, todo, splits, scratch, request)
    return _Ready(task, label, scratch, jobs, contents, splits.truncated)


def _timing_jobs(ready: Sequence[_Ready], specs: Sequence[RunSpec], request: Request) -> list[Job]:
    """Return jobs in scratch folders of their own, else they would be charged what other runs computed and kept."""
    found: list[Job] = []
    for one in ready:
        if mine := _of(one.task, specs):
            apart = one.scratch.with_name(f"{one.scratch.name}-timing")
            found += _jobs(one.task, one.label, mine, Splits.load(one.scratch), apart, request)
    return found


def _wait_for_cores() -> None:
    console.say(console.NO_CORES)


def _untimed(plan: resume.Plan, request: Request) -> list[RunSpec]:
    """Return the runs that there are and have still to be timed by themselves."""
    return _first_seeds(plan.runs, plan.known) if request.timing and request.rerun != "none" else []


def _to_time(plan: resume.Plan, request: Request) -> set[str]:
    """Return the variants, by uid, that are timed by themselves unless one of the runs to come is alone anyway."""
    if not request.timing:
        return set()
    todo = {spec.uid for spec in plan.todo}
    kept = {uid: record for uid, record in plan.known.items() if uid not in todo and record.speed is not None}
    timed = {spec.variant_uid for spec in plan.runs if spec.uid in kept and alone(kept[spec.uid])}
    return {spec.variant_uid for spec in plan.runs if spec.search is None} - timed


def _first_seeds(runs: Sequence[RunSpec], records: Mapping[str, Record]) -> list[RunSpec]:
    """Of each variant on a task with results but none from a run that had the machine to itself, the first one's."""
    good = [spec for spec in runs if spec.search is None and spec.uid in records and records[spec.uid].status == "ok"]
    done = [(spec.variant, spec.backbone, spec.data) for spec in good if alone(records[spec.uid])]
    first: list[RunSpec] = []
    for spec in good:
        if (spec.variant, spec.backbone, spec.data) not in done:
            done.append((spec.variant, spec.backbone, spec.data))
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


def _jobs(
    prepared: Prepared, label: str, specs: Sequence[RunSpec], splits: Splits, scratch: Path, request: Request
) -> list[Job]:
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
            task=label,
        )
        for spec in specs
    ]


def _baseline(ready: _Ready, request: Request) -> Baseline | None:
    """Return what the store has, else compute the baseline and keep it; None, with a warning, where that fails.

    A search looks at no test split, nor does its baseline.
    """
    if not request.baseline or all(job.spec.search is not None for job in ready.jobs):
        return None
    folder, fingerprint = ready.task.store.folder, ready.task.corpus.fingerprint
    try:
        if (found := kept.find(folder, fingerprint)) is not None:
            return found.figures
    except RecordError as error:
        with suppress(FileNotFoundError):  # another study was quicker
            place = move_aside(kept.path(folder, fingerprint))
            console.say(f"The baseline in {folder} can't be read ({error}) and was set aside, into {place}.")
    corpus, threads = baseline.sampled(ready.task.corpus), facts.threads()
    doing = f"baseline: character n-grams of {len(corpus.frames['train']):,} train passages"
    try:
        with cores.Cores(cores.usable()).wait(threads, tell=_wait_for_cores) as lease, console.busy(doing):
            found = baseline.compute(corpus, ready.scratch, threads, lease.cores)
        kept.put(folder, fingerprint, found, aside=ready.scratch)
    except (baseline.Failed, OSError) as error:
        console.warn("No baseline", f"{error}\nThe study goes on without it.")
        return None
    figures = found.figures
    console.say(f"baseline: accuracy {figures.accuracy:.1%}, macro-F1 {figures.macro_f1:.1%}, {figures.fit_s:.1f} s")
    return figures


def _shared(ready: _Ready, figures: Baseline | None) -> results.Shared:
    corpus, study, contents = ready.task.corpus, ready.task.study, ready.contents
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
            truncated=ready.truncated,
            notes=list(corpus.notes),
            label=corpus.label,
            group=corpus.group,
        ),
    )


def _majority(corpus: Corpus) -> Majority:
    """Score the answer that is always the same: its style has recall 1 and precision `accuracy`, the others F1 0."""
    style, accuracy = corpus.majority()
    f1 = 2 * accuracy / (1 + accuracy)
    return Majority(style=style, accuracy=accuracy, macro_f1=f1 / corpus.frames["test"]["style"].nunique())
