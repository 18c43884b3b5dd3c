"""What a run that was timed by itself changes in its record, and whether it did the same as the first time."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bench.job import Outcome
    from bench.store.record import Record

_OF_SPEED = ("speed.", "speed and memory", "what is measured after training")
"""How the notes begin that are about figures which the record takes from this run."""


def timed(before: Record, first: bytes, outcome: Outcome, again: bytes) -> Record:
    """Return the record with this run's speed and memory, and a note where it predicted otherwise than the first time.

    `first` and `again` are the two runs' predictions, as files.
    """
    notes = [note for note in before.notes if not note.startswith(_OF_SPEED)]
    notes += [note for note in outcome.notes if note.startswith(_OF_SPEED)]
    if (said := _difference(before, first, outcome.speed.threads, again)) is not None:
        notes.append(said)
    return before.model_copy(update={"speed": outcome.speed, "memory": outcome.memory, "notes": notes})


def _difference(before: Record, first: bytes, threads: int | None, again: bytes) -> str | None:
    """Say where predictions differ that should be the same: to the last bit with the same threads on a CPU.

    Other threads, a GPU, and one pass with other runs add floating-point numbers in another order. That may change a
    prediction too, which is said, but probabilities differ always.
    """
    if hashlib.sha256(again).digest() == hashlib.sha256(first).digest():
        return None
    predicted, expected = (pd.read_parquet(io.BytesIO(file))["prediction"] for file in (again, first))
    differ = int((predicted.to_numpy() != expected.to_numpy()).sum())
    by_itself = before.speed is not None
    repeats = by_itself and threads == before.training.threads and before.training.device == "cpu"
    if not (differ or repeats):
        return None
    count = f"{threads} thread" if threads == 1 else f"{threads} threads"
    how = "the same threads" if threads == before.training.threads else f"{count} in place of {before.training.threads}"
    how = f"with {how}" if by_itself else "by itself, not in one pass with other runs"
    said = f"timed again {how}, it predicted {differ} of {len(expected)} test passages otherwise"
    return said if differ else f"{said}, but with other probabilities"
