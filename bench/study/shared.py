"""What all records of a task share: its backbone, its data, the baseline there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from bench import console
from bench.execution import baseline, results
from bench.machine import cores, facts
from bench.store import baseline as kept
from bench.store.files import move_aside
from bench.store.record import Backbone, Baseline, Data, Majority, RecordError, Sizes

if TYPE_CHECKING:
    from bench.data import Corpus
    from bench.study.request import Request
    from bench.study.scratch import Ready


def shared(ready: Ready, request: Request) -> results.Shared:
    """Return it; the baseline is computed where it was asked for and the store has none."""
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
            baseline=_baseline(ready, request),
            duplicates=corpus.duplicates,
            repeated=Sizes(**corpus.repeated),
            truncated=ready.truncated,
            notes=list(corpus.notes),
            label=corpus.label,
            group=corpus.group,
            drawn_from=corpus.drawn_from,
        ),
    )


def _majority(corpus: Corpus) -> Majority:
    """Score the answer that is always the same: its style has recall 1 and precision `accuracy`, the others F1 0."""
    style, accuracy = corpus.majority()
    f1 = 2 * accuracy / (1 + accuracy)
    return Majority(style=style, accuracy=accuracy, macro_f1=f1 / corpus.frames["test"]["style"].nunique())


def _baseline(ready: Ready, request: Request) -> Baseline | None:
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


def _wait_for_cores() -> None:
    console.say(console.NO_CORES)
