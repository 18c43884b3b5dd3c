"""Jobs that a test shows somebody."""

from __future__ import annotations

from pathlib import Path

from bench.job import Job
from bench.spec import BackboneRef, DataRef, RunSpec, TrainingSpec, Variant

FROZEN = Variant(method="frozen", hyperparameters={"learning_rate": 0.0})
LORA = Variant(
    method="lora", hyperparameters={"r": 8, "alpha": 32, "dropout": 0.0, "targets": None, "learning_rate": 1.0}
)


def job_of(variant: Variant) -> Job:
    """Return a job of the variant's, with seed 3."""
    spec = RunSpec(
        variant=variant,
        seed=3,
        preset="demo",
        backbone=BackboneRef(name="gpt2", source="random", revision="a", folder="/models"),
        data=DataRef(name="texts", source="local", revision=None, fingerprint="b"),
        training=TrainingSpec(epochs=1, batch_size=8, max_length=64, dtype="fp32", device="cpu"),
    )
    return Job(spec=spec, styles=("ann", "bob"), scratch=Path("scratch"), adapter=None, threads=1)
