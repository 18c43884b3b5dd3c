"""A published folder: what lies where in it, and how it is read as the store that it was made of."""

from __future__ import annotations

import hashlib
import math
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.sharing import adapters
from bench.store import baseline
from bench.store.files import Store, is_uid, write_atomically
from bench.store.record import Record, RecordError, loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.store.record import Data

RECORDS, PREDICTIONS, MODELS = "data/records.parquet", "data/predictions.parquet", "models"
CARD, PAGE = "README.md", "report.html"


def is_published(folder: Path) -> bool:
    """Tell whether `bench publish` made this folder."""
    return (folder / RECORDS).is_file()


@contextmanager
def as_store(folder: Path) -> Iterator[Path]:
    """Give a store's folder within: the folder itself, or what a published folder holds, unpacked for so long.

    Raises UsageError where a published folder can't be read.
    """
    if not is_published(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="peft-bench-") as place:
        store = Path(place) / folder.resolve().name  # errors and titles name it as a person knows it
        unpack(folder, store)
        yield store


def uids(folder: Path) -> set[str]:
    """Return the uids of a published folder's runs. Raises UsageError where they can't be read."""
    return set(_documents(folder))


def unpack(folder: Path, place: Path) -> None:
    """Write a published folder's records, predictions, baselines and adapters into the new store `place`.

    A record that isn't whole, or that its predictions don't bear out, is left so that who reads the store is told.
    Raises UsageError where a table can't be read.
    """
    place.mkdir()
    store, whole = Store(place), dict[str, Record]()
    for uid, document in _documents(folder).items():
        write_atomically(store.record_path(uid), document.encode())
        with suppress(RecordError):
            whole[uid] = loads(document)
    runs = {uid: record for uid, record in whole.items() if record.quality}
    splits = {baseline_uid(record.data): record.data for record in whole.values() if record.data.baseline}
    _unpack_predictions(folder / PREDICTIONS, store, runs, splits)
    for uid, adapter in adapters.found(folder / MODELS).items():
        adapters.copy(adapter, adapters.beside(place) / uid)


def baseline_uid(data: Data) -> str:
    """Return under which uid the predictions of the splits' baseline stand among those of the runs."""
    return baseline.path(Path(), data.fingerprint).stem


def _documents(folder: Path) -> dict[str, str]:
    """Return the documents of a published folder's records, by their uids, as they stand there."""
    from bench.sharing import tables

    with tables.reading(folder / RECORDS):
        found = tables.documents(folder / RECORDS)
    if foreign := [uid for uid in found if not is_uid(uid)]:
        raise UsageError(f"{folder / RECORDS}: {foreign[0]!r} is no run's uid")
    return found


def _unpack_predictions(path: Path, store: Store, runs: Mapping[str, Record], splits: Mapping[str, Data]) -> None:
    from bench.sharing import tables

    with tables.reading(path):
        for uid, rows in tables.by_run(path):
            if uid in runs:
                content = tables.kept(rows, runs[uid].data.styles)
                store.put(_with_hash(runs[uid], tables.accuracy(rows), content), content)
            elif uid in splits and (figures := splits[uid].baseline):
                content = tables.kept(rows, splits[uid].styles)
                baseline.put(store.folder, splits[uid].fingerprint, baseline.Kept(figures, content))


def _with_hash(record: Record, accuracy: float, predictions: bytes) -> Record:
    """Let a record tell the hash of its predictions as they are written here, if they have the accuracy that it tells.

    A published table has no hash for each run; predictions that were changed there have another accuracy.
    """
    quality = record.quality
    if quality is None or not math.isclose(accuracy, quality.test.accuracy, abs_tol=1e-9):
        return record
    told = {"predictions": f"{record.uid}.parquet", "predictions_sha256": hashlib.sha256(predictions).hexdigest()}
    return record.model_copy(update={"quality": quality.model_copy(update=told)})
