"""A request -> how much it reads and how long it takes, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import overview
from bench.errors import told_at
from bench.machine import facts
from bench.sources import at_hand
from bench.store import speeds
from bench.store.files import Store

if TYPE_CHECKING:
    from bench.study.request import Request


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
    with told_at(request.reading.stated_at):
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
