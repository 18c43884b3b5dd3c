"""Records on disk: one JSON file a run, the predictions beside it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import bench.record as schema
from bench.errors import UsageError


@dataclass(frozen=True)
class Contents:
    """What a store holds: its records, oldest first, and the files that couldn't be read, with the reason."""

    records: tuple[schema.Record, ...]
    unreadable: tuple[tuple[Path, str], ...]


class Store:
    """The folder that holds a study's records: `<uid>.json`, and `<uid>.parquet` with the predictions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, record: schema.Record, predictions: bytes | None = None) -> Path:
        """Write a run's predictions (parquet), then its record, each whole or not at all; return the record's path.

        Raises OSError where the disk refuses; what was there before stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if predictions is not None:
            write_atomically(self.predictions_path(record.uid), predictions)
        path = self.folder / f"{record.uid}.json"
        write_atomically(path, schema.dumps(record).encode())
        return path

    def read(self) -> Contents:
        """Read every record. Raises UsageError where there is no such folder."""
        if not self.folder.is_dir():
            raise UsageError(f"no store at {self.folder}: run `python -m bench run` first, or name another folder")
        records, unreadable = [], []
        for path in sorted(self.folder.glob("*.json")):
            try:
                records.append(schema.loads(path.read_bytes()))
            except (schema.RecordError, OSError, UnicodeDecodeError) as error:
                unreadable.append((path, str(error)))
        records.sort(key=lambda record: (record.created_at, record.uid))
        return Contents(tuple(records), tuple(unreadable))

    def predictions_path(self, uid: str) -> Path:
        """Where the predictions of the run `uid` lie."""
        return self.folder / f"{uid}.parquet"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole or not at all: aside, flushed to the disk, renamed, the folder flushed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
