"""Records on disk: one JSON file a run, the predictions beside it."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bench.store.record as schema
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

DAMAGED = "damaged"
"""The folder in a store where what can't be read as a record is set aside."""

_UID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Contents:
    """What a store holds: its records, oldest first, and the files that couldn't be read, with the reason.

    `partial` are those of the unreadable that are whole but for their predictions.
    """

    records: tuple[schema.Record, ...]
    unreadable: tuple[tuple[Path, str], ...]
    partial: tuple[schema.Record, ...] = ()


class PredictionsError(schema.RecordError):
    """The predictions of `record`, which is whole itself, are missing or damaged."""

    def __init__(self, record: schema.Record, reason: str) -> None:
        super().__init__(reason)
        self.record = record


def is_uid(text: str) -> bool:
    """Tell whether a text has the form of a run's uid."""
    return _UID.fullmatch(text) is not None


class Store:
    """The folder that holds a study's records: `<uid>.json`, and `<uid>.parquet` with the predictions.

    What is being written lies in `aside` meanwhile, a folder on the same disk; by default in the store itself.
    """

    def __init__(self, folder: Path, aside: Path | None = None) -> None:
        self.folder, self.aside = folder, aside

    def put(self, record: schema.Record, predictions: bytes | None = None) -> Path:
        """Write a run's predictions (parquet) and its record, each whole or not at all; return the record's path.

        Raises OSError where the disk refuses; what was there before stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.record_path(record.uid)
        files = {} if predictions is None else {self.predictions_path(record.uid): predictions}
        write_together({**files, path: schema.dumps(record).encode()}, self.aside)
        return path

    def read(self) -> Contents:
        """Read every record. Raises UsageError where there is no such folder.

        A JSON document that is neither named like a record nor carries a uid isn't one, and is left out silently.
        """
        if not self.folder.is_dir():
            raise UsageError(f"no store at {self.folder}: run `python -m bench run` first, or name another folder")
        records, unreadable, partial = [], [], []
        for path in sorted(self.folder.glob("*.json")):
            try:
                records.append(self._load(path))
            except schema.ForeignDocument as error:
                if is_uid(path.stem):
                    unreadable.append((path, str(error)))
            except FileNotFoundError:
                continue  # another study has just set it aside
            except (schema.RecordError, OSError) as error:
                unreadable.append((path, str(error)))
                if isinstance(error, PredictionsError):
                    partial.append(error.record)
        records.sort(key=lambda record: (record.created_at, record.uid))
        return Contents(tuple(records), tuple(unreadable), tuple(partial))

    def find(self, uid: str) -> schema.Record | None:
        """Return the record of the run `uid`, None where there is none. Raises RecordError for a damaged one."""
        try:
            return self._load(self.record_path(uid))
        except FileNotFoundError:
            return None

    def predictions(self, record: schema.Record) -> bytes | None:
        """Return a run's predictions as parquet; None where the store has none of it."""
        if record.quality is None:
            return None
        with suppress(FileNotFoundError):
            return (self.folder / Path(record.quality.predictions).name).read_bytes()
        return None

    def _load(self, path: Path) -> schema.Record:
        """Read one record and hold its predictions against the hash that it carries."""
        record = schema.loads(path.read_bytes())
        if is_uid(path.stem) and record.uid != path.stem:
            raise schema.RecordError(f"it is the record of the run {record.uid}")
        if record.quality is not None and record.quality.predictions_sha256 is not None:
            predictions = self.folder / Path(record.quality.predictions).name
            try:
                found = hashlib.sha256(predictions.read_bytes()).hexdigest()
            except OSError as error:
                raise PredictionsError(record, f"its predictions can't be read: {error.strerror}") from error
            if found != record.quality.predictions_sha256:
                raise PredictionsError(record, "its predictions were changed or damaged")
        return record

    def set_aside(self, path: Path) -> Path | None:
        """Move what can't be read as a record, and its predictions, into a new folder in `damaged`; return that.

        Returns None for a file that doesn't claim to be a record, and for one that can be read after all or is gone.
        """
        try:
            self._load(path)
            return None
        except FileNotFoundError:
            return None
        except (schema.RecordError, OSError):
            if not (is_uid(path.stem) or b'"uid"' in path.read_bytes()):
                return None
        return move_aside(path)

    def record_path(self, uid: str) -> Path:
        """Where the record of the run `uid` lies."""
        return self.folder / f"{uid}.json"

    def predictions_path(self, uid: str) -> Path:
        """Where the predictions of the run `uid` lie."""
        return self.folder / f"{uid}.parquet"


def move_aside(path: Path) -> Path:
    """Move a JSON file of a store, and the parquet file beside it, into a new folder in `damaged`; return that."""
    damaged = path.parent / DAMAGED
    damaged.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{path.stem[:32]}-", dir=damaged))
    place.chmod(0o755)
    path.rename(place / path.name)
    with suppress(FileNotFoundError):
        path.with_suffix(".parquet").rename(place / f"{path.stem}.parquet")
    return place


def write_atomically(path: Path, content: bytes, aside: Path | None = None) -> None:
    """Write a file so that it appears whole or not at all: aside, flushed to the disk, renamed, the folder flushed.

    `aside` is a folder on the same disk, by default the file's own.
    """
    write_together({path: content}, aside)


def write_together(files: Mapping[Path, bytes], aside: Path | None = None) -> None:
    """Write files of one folder likewise, in their order: none appears before there was room on the disk for all."""
    parts: list[tuple[Path, Path]] = []
    try:
        for path, content in files.items():
            part = (aside or path.parent) / f".{path.name}.{secrets.token_hex(4)}.part"
            parts.append((part, path))  # before it is made: an interrupt may come as soon as it is
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for part, path in parts:
            part.replace(path)
    except BaseException:
        for part, _ in parts:
            part.unlink(missing_ok=True)
        raise
    _flush_folder(next(iter(files)).parent)


def _flush_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
