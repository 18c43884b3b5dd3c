"""Records as files: whole or not at all, and believed only when they are what was written."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from record_factory import DEMO, failed_record, make_record, predictions_parquet

from bench.store.files import Store
from bench.store.record import Record, RecordError, checksum, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

RECORD = make_record(DEMO[2])


@pytest.mark.parametrize(
    "record", [RECORD, make_record(DEMO[0]), failed_record(DEMO[1])], ids=["ok", "frozen", "failed"]
)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert loads(dumps(record)) == record.model_copy(update={"checksum": json.loads(dumps(record))["checksum"]})


def test_names_beyond_ascii_stay_readable() -> None:
    text = dumps(RECORD)
    assert "Emily Brontë" in text
    assert loads(text.encode()).data.styles == RECORD.data.styles


def _document(**changes: object) -> str:
    """The record with changes, and the checksum that fits them."""
    document: dict[str, Any] = {**json.loads(dumps(RECORD)), **changes}
    return json.dumps({**document, "checksum": checksum(document)})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        (dumps(RECORD)[:-100], "not JSON"),
        ("[]", "no uid"),
        ('{"schema": 1}', "no uid"),
        (_document(schema=2), "schema is 2, and this version reads 1"),
        (dumps(RECORD).replace('"accuracy": 0.', '"accuracy": 1.', 1), "checksum doesn't match"),
        (_document(accuracy=1.0), "not a record of this schema"),
        (_document(status="fine"), "not a record of this schema"),
    ],
    ids=["empty", "cut off", "a list", "not a record", "newer", "tampered with", "unknown name", "unknown status"],
)
def test_what_is_no_record_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        loads(text)


def test_a_store_gives_back_what_was_put_oldest_first_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "store")
    times = ("2025-03-01T10:00:02+00:00", "2025-03-01T10:00:00+00:00", "2025-03-01T10:00:01+00:00")
    made = [make_record(v, changes={"created_at": at}) for v, at in zip(DEMO, times, strict=False)]
    for record in made:
        store.put(record)
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / "half.json").write_text(dumps(RECORD)[:500])
    (store.folder / "bytes.json").write_bytes(b"\xff\xfe")
    contents = store.read()
    assert [record.uid for record in contents.records] == [made[i].uid for i in (1, 2, 0)]
    assert [path.name for path, _ in contents.unreadable] == ["bytes.json", "half.json"]


def test_putting_a_run_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(failed_record(DEMO[2]))
    store.put(RECORD, b"predictions")
    assert [record.status for record in store.read().records] == ["ok"]
    assert store.predictions_path(RECORD.uid).read_bytes() == b"predictions"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing tells which file a handle is of")
def test_what_is_written_is_on_the_disk_before_it_appears_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, record = Store(tmp_path), make_record(DEMO[0])
    shown, flush = (store.record_path(record.uid), store.predictions_path(record.uid)), os.fsync
    flushed: list[tuple[Path, list[bool]]] = []

    def fsync(handle: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{handle}").readlink(), [path.exists() for path in shown]))
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    store.put(record, predictions_parquet(DEMO[0], 0))
    *parts, (folder, after) = flushed
    assert [path.suffix for path, _ in parts] == [".part"] * 2
    assert [there for _, there in parts] == [[False, False]] * 2
    assert (folder, after) == (tmp_path, [True, True])


def test_an_interrupt_leaves_the_old_record_or_the_new_one_and_nothing_else(tmp_path: Path) -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    store, interrupted = Store(tmp_path), 0
    begin = time.monotonic()
    store.put(failed_record(DEMO[2], message="old " * 2**18))
    longest = time.monotonic() - begin
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(40):
            record = failed_record(DEMO[2], message=f"{number} " * 2**18)
            old = store.find(RECORD.uid)
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, longest * (number + 1) / 40)
                store.put(record)
                signal.setitimer(signal.ITIMER_REAL, 0)
            found = store.find(RECORD.uid)
            assert found is not None
            assert found.error in (record.error, old and old.error)
            interrupted += found == old
            assert [path.name for path in tmp_path.iterdir()] == [f"{RECORD.uid}.json"]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow beyond 1,000 bytes within: a real refusal, as a full disk's.

    The limit is gone before pytest writes its next line, which may be into a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    store, table = Store(tmp_path), predictions_parquet(DEMO[2], 0)
    store.put(RECORD, table)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(OSError, match="File too large"):
        store.put(RECORD.model_copy(update={"wall_s": 1.0}), table + b"more")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        store.put(RECORD.model_copy(update={"wall_s": 1.0}))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
