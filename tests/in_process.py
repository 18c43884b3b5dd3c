"""A run in the test's own process, with what a study gives it."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import methods
from bench.data import HeldOut, held_out, load_local, tokenise
from bench.job import Job, examples_path
from bench.model import backbone
from bench.spec import BackboneRef, DataRef, RunSpec, TrainingSpec, Variant
from bench.study.scratch import EXAMPLE_COLUMNS
from bench.training.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from bench.job import Outcome

TRAINING = TrainingSpec(epochs=2, batch_size=8, max_length=64, dtype="fp32", device="cpu")
STYLES = ("ann", "bob", "cat")


def nobody(phase: str, done: int, total: int, loss: float | None = None, epoch: object = None) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Prepared:
    """A backbone, the suite's texts tokenised for it into the scratch folder, and the training's settings."""

    ref: BackboneRef
    data: DataRef
    training: TrainingSpec
    scratch: Path

    def run(self, method: str, **hyperparameters: Any) -> Outcome:
        """Run a method with one thread and seed 0."""
        return self.begin(method, **hyperparameters).outcome()

    def begin(self, method: str, **hyperparameters: Any) -> Run:
        """Return such a run before it has done anything."""
        spec = RunSpec(
            variant=Variant(method=method, hyperparameters=methods.get(method)(**hyperparameters).hyperparameters()),
            seed=0,
            preset="custom",
            backbone=self.ref,
            data=self.data,
            training=self.training,
        )
        return Run(Job(spec, STYLES, self.scratch, None, threads=1), nobody)


def prepared(model: Path, texts: Path, scratch: Path, **changes: Any) -> Prepared:
    """Tokenise the texts as a study does; `changes` are to the training's settings.

    Each measured phase begins with a collection of garbage, which passes over what the libraries have made until then.
    """
    training = TRAINING.model_copy(update=changes)
    ref, corpus = backbone.local(model), load_local(texts)
    scratch.mkdir(exist_ok=True)
    tokenizer = backbone.tokenizer(ref)
    tokenise(corpus, tokenizer, training.max_length).save(scratch)
    if backbone.models_language(ref):
        HeldOut.of(held_out.read(held_out.EVERYDAY), tokenizer).save(scratch)
    corpus.frames["test"].assign(text_hash="").reindex(columns=EXAMPLE_COLUMNS).to_parquet(examples_path(scratch))
    data = DataRef(name="texts", source="local", revision=None, fingerprint=corpus.fingerprint)
    gc.collect()
    gc.freeze()
    return Prepared(ref, data, training, scratch)


def ran(method: str, model: Path, texts: Path, scratch: Path, **changes: Any) -> Outcome:
    """Run a method on the suite's texts; `changes` are to the training's settings."""
    return prepared(model, texts, scratch, **changes).run(method)
