"""Several stores in one."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.sharing import adapters, published, redaction, tables
from bench.store import baseline
from bench.store.claims import Owner
from bench.store.files import Store, is_uid
from bench.store.record import RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from bench.store.record import Data, Record


@dataclass(frozen=True)
class Source:
    """A store to be merged: `name` is what a person calls it, `store` where its files lie."""

    name: Path
    store: Store


@dataclass(frozen=True)
class Merged:
    """How many runs the merged store has, how many of them are new in it, and which files were left out and why."""

    runs: int
    added: int
    left_out: tuple[tuple[Path, str], ...]


def merge(folders: Sequence[Path], target: Path, *, keep_first: bool = False) -> Merged:
    """Put the runs, baselines and adapters of stores and published folders into the store `target`.

    What `target` has stays. A run that several have must have the same content in all of them, or nothing is written;
    with `keep_first`, that of the first is taken. The folders stay as they are, and what is written is whole at any
    moment, so after an interruption the same command goes on. Raises UsageError.
    """
    if published.is_published(target):
        raise UsageError(f"-o {target} is a published folder; name a store, and publish that")
    with ExitStack() as unpacked:
        names = [target, *folders] if target.is_dir() else list(folders)
        sources = [Source(name, Store(unpacked.enter_context(published.as_store(name)))) for name in names]
        contents = [source.store.read() for source in sources]
        found: dict[str, tuple[Source, Record]] = {}
        differing: list[str] = []
        for source, content in zip(sources, contents, strict=True):
            for record in content.records:
                if not is_uid(record.uid):
                    raise UsageError(f"{source.name} has a record whose uid is none: {record.uid!r}")
                first, known = found.setdefault(record.uid, (source, record))
                if not keep_first and (parts := _differences(first, known, source, record)):
                    run = f"the run {record.uid} ({record.method}, seed {record.seed})"
                    differing.append(
                        f"{run} isn't the same in {first.name} and {source.name}: {', '.join(parts)} differ"
                    )
        if differing:
            more = f", and in {len(differing) - 1} more runs something does" if differing[1:] else ""
            raise UsageError(f"{differing[0]}{more}; --keep-first takes what the folder named first has")
        if not found:
            raise UsageError(f"{' and '.join(map(str, folders))} hold no record")
        added = _put(target, found)
    return Merged(len(found), added, tuple(file for content in contents for file in content.unreadable))


def _differences(first: Source, known: Record, second: Source, record: Record) -> list[str]:
    """Name the parts in which two records of a run differ, as far as they are shown to others.

    How their predictions were written down doesn't matter.
    """
    if known.checksum == record.checksum:
        return []
    one, other = _content(known), _content(record)
    differing = [name for name in one if one[name] != other[name]]
    if not differing and _predictions(first, known) != _predictions(second, record):
        return ["predictions"]
    return differing


def _content(record: Record) -> dict[str, Any]:
    content = redaction.outward(record).model_dump()
    if content["quality"]:
        content["quality"] |= {"predictions": None, "predictions_sha256": None}
    return content


def _predictions(source: Source, record: Record) -> pa.Table | None:
    content = source.store.predictions(record)
    if content is None:
        return None
    with tables.reading(source.store.predictions_path(record.uid)):
        return tables.predictions(record.uid, content, record.data.styles)


def _put(target: Path, found: Mapping[str, tuple[Source, Record]]) -> int:
    """Write what the store `target` lacks; return how many runs that were."""
    added = 0
    with Owner(target) as owner:
        store = Store(target, aside=owner.folder)
        for uid, (source, record) in found.items():
            if not owner.claim(uid):
                raise UsageError(f"a study is at the run {uid} in {target}; type the same command when it is over")
            if not _has(store, uid):
                store.set_aside(store.record_path(uid))
                store.put(record, source.store.predictions(record))
                added += 1
            owner.release(uid)
            _put_baseline(store, source, record.data)
            _put_adapter(store, source, uid)
    return added


def _has(store: Store, uid: str) -> bool:
    try:
        return store.find(uid) is not None
    except RecordError:
        return False


def _put_baseline(store: Store, source: Source, data: Data) -> None:
    """Copy the baseline of a run's splits; what can't be read is computed anew by the next study."""
    with suppress(RecordError):
        if not baseline.path(store.folder, data.fingerprint).exists() and (
            kept := baseline.find(source.store.folder, data.fingerprint)
        ):
            baseline.put(store.folder, data.fingerprint, kept, store.aside)


def _put_adapter(store: Store, source: Source, uid: str) -> None:
    saved, target = (adapters.beside(one.folder) / uid for one in (source.store, store))
    if saved.is_dir() and not target.exists():
        adapters.copy(saved, target)
