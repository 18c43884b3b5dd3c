"""The baseline of a set of splits, kept once a store: its figures as JSON, its predictions as parquet beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bench.store.files import write_together
from bench.store.record import Baseline, Part, RecordError, checksum


class _Document(Part):
    fingerprint: str
    figures: Baseline
    predictions_sha256: str
    checksum: str | None = None


@dataclass(frozen=True)
class Kept:
    """What a store keeps of a baseline; `predictions` is parquet, in the shape of a run's."""

    figures: Baseline
    predictions: bytes


def path(folder: Path, fingerprint: str) -> Path:
    """Where the figures lie in the store `folder`; the predictions are beside them, in parquet."""
    return folder / Path(f"baseline-{fingerprint[:16]}.json").name  # a record may hold any text


def put(folder: Path, fingerprint: str, kept: Kept, aside: Path | None = None) -> None:
    """Write both files, each whole or not at all. Raises OSError where the disk refuses.

    What is being written lies in `aside` meanwhile, a folder on the same disk; by default in the store itself.
    """
    sha256 = hashlib.sha256(kept.predictions).hexdigest()
    document = _Document(fingerprint=fingerprint, figures=kept.figures, predictions_sha256=sha256).model_dump()
    document["checksum"] = checksum(document)
    content = json.dumps(document, indent=2).encode() + b"\n"
    figures = path(folder, fingerprint)
    write_together({figures.with_suffix(".parquet"): kept.predictions, figures: content}, aside)


def find(folder: Path, fingerprint: str) -> Kept | None:
    """Return what the store keeps for these splits, None where there is nothing. Raises RecordError for damage."""
    figures = path(folder, fingerprint)
    try:
        content = figures.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # ValueError: a file can't be so called
        raise RecordError(f"it can't be read: {error}") from error
    document = _read(content)
    if document.fingerprint != fingerprint:
        raise RecordError("it is of other splits")
    try:
        predictions = figures.with_suffix(".parquet").read_bytes()
    except OSError as error:
        raise RecordError(f"its predictions can't be read: {error.strerror}") from error
    if hashlib.sha256(predictions).hexdigest() != document.predictions_sha256:
        raise RecordError("its predictions were changed or damaged")
    return Kept(document.figures, predictions)


def _read(content: bytes) -> _Document:
    try:
        document = json.loads(content)
        if not isinstance(document, dict) or document.get("checksum") != checksum(document):
            raise RecordError("its checksum doesn't match: the file was changed or damaged")
        return _Document.model_validate(document)
    except (ValidationError, ValueError, RecursionError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError("it is no whole document of a baseline") from error
