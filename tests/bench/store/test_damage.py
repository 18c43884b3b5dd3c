"""Nothing wrong is ever read as right: damaged records are left out, set aside and run again."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import sys
from typing import TYPE_CHECKING, Any

import pytest
from commands import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_factory import DEMO, failed_record, make_record, predictions_parquet

from bench import study
from bench.reporting import markdown, report
from bench.store.files import DAMAGED, Store
from bench.store.record import Record, checksum, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEED = 20261123
PREDICTIONS = predictions_parquet(DEMO[2], 0)


def _record() -> Record:
    """A record whose predictions are held against their hash, as a study writes it."""
    return make_record(DEMO[2], changes={"quality.predictions_sha256": hashlib.sha256(PREDICTIONS).hexdigest()})


RECORD = _record()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path)
    found.put(RECORD, PREDICTIONS)
    return found


def _unreadable(store: Store) -> dict[str, str]:
    contents = store.read()
    return {path.name: reason for path, reason in contents.unreadable}


@pytest.mark.parametrize("file", ["record", "predictions"])
def test_a_flipped_bit_is_seen_wherever_it_is(store: Store, file: str) -> None:
    path = (store.record_path if file == "record" else store.predictions_path)(RECORD.uid)
    content, draw = path.read_bytes(), random.Random(SEED)
    good = store.find(RECORD.uid)
    seen = 0
    for _ in range(100):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        contents = store.read()
        assert list(contents.records) in ([], [good])  # 1e-05 and 1E-05 are the same number
        seen += len(contents.unreadable)
    assert seen >= 95


@pytest.mark.parametrize("file", ["record", "predictions"])
def test_a_cut_off_file_is_seen_wherever_it_is_cut(store: Store, file: str) -> None:
    path = (store.record_path if file == "record" else store.predictions_path)(RECORD.uid)
    content, draw = path.read_bytes(), random.Random(SEED)
    for length in [0, *(draw.randrange(len(content) - 1) for _ in range(50))]:
        path.write_bytes(content[:length])
        assert list(_unreadable(store)) == [f"{RECORD.uid}.json"]


def _document(**changes: object) -> bytes:
    document: dict[str, Any] = {**json.loads(dumps(RECORD)), **changes}
    return json.dumps({**document, "checksum": checksum(document)}).encode()


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Store], object], str]] = {
    "newer": (lambda s: s.record_path(RECORD.uid).write_bytes(_document(schema=2)), "schema is 2"),
    "another's": (lambda s: s.record_path(RECORD.uid).write_bytes(_document(uid="0" * 16)), "record of the run 0000"),
    "not ours": (lambda s: s.record_path(RECORD.uid).write_text('{"title": "notes"}'), "no uid"),
    "no predictions": (lambda s: s.predictions_path(RECORD.uid).unlink(), "predictions can't be read"),
    "other predictions": (lambda s: s.predictions_path(RECORD.uid).write_bytes(b"PAR1"), "changed or damaged"),
    "a folder": (lambda s: _make_folder(s.record_path(RECORD.uid)), "directory"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_left_out_of_the_report_which_says_so(store: Store, damage: str) -> None:
    make, reason = DAMAGES[damage]
    make(store)
    before = sorted(store.folder.rglob("*"))
    assert reason in _unreadable(store)[f"{RECORD.uid}.json"]
    text = markdown.render(report(store.read()))
    assert f"{RECORD.uid}.json" in text
    assert "left out" in text
    assert sorted(store.folder.rglob("*")) == before


def test_what_is_set_aside_is_kept_each_time(store: Store) -> None:
    record, predictions = store.record_path(RECORD.uid), store.predictions_path(RECORD.uid)
    places = []
    for content in (b"", b'{"uid": 1}'):
        record.write_bytes(content)
        predictions.write_bytes(PREDICTIONS)
        place = store.set_aside(record)
        assert place is not None
        places.append(place)
        assert (place / record.name).read_bytes() == content
        assert (place / predictions.name).read_bytes() == PREDICTIONS
    assert len(set(places)) == 2
    assert store.read().unreadable == ()


def test_what_is_good_or_no_record_stays_where_it_is(store: Store) -> None:
    (store.folder / "settings.json").write_text('{"theme": "dark"}')
    (store.folder / "notes.json").write_text("not even JSON")
    for path in list(store.folder.glob("*.json")):
        assert store.set_aside(path) is None
    assert not (store.folder / DAMAGED).exists()
    assert [record.uid for record in store.read().records] == [RECORD.uid]
    assert list(_unreadable(store)) == ["notes.json"]


def test_a_damaged_record_is_set_aside_and_run_again(
    gpt2: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = study.Request(
        methods=("frozen",), seeds=(0,), model=str(gpt2), data=str(texts), device="cpu", dtype="fp32", results=tmp_path
    )
    store, [first] = study.run(request)
    content = store.record_path(first.uid).read_bytes()
    store.record_path(first.uid).write_bytes(content[: len(content) // 2])
    capsys.readouterr()

    _, [again] = study.run(request)
    said = capsys.readouterr().out
    assert f"{first.uid}.json can't be read as a record and was set aside" in said
    assert (again.uid, again.quality) == (first.uid, first.quality)
    [kept] = tmp_path.glob(f"{DAMAGED}/*/{first.uid}.json")
    assert kept.read_bytes() == content[: len(content) // 2]
    assert len(store.read().records) == 1


def test_a_disk_that_has_room_for_the_predictions_alone_keeps_the_old_pair(store: Store) -> None:
    before = store.find(RECORD.uid)
    assert before is not None
    size = len(dumps(RECORD).encode())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.put(RECORD, b"other predictions")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.find(RECORD.uid) == before
    assert {path.suffix for path in store.folder.iterdir()} == {".json", ".parquet"}


TEXT = st.text(max_size=40) | st.sampled_from(
    ["`|<b>\n# ", "\x1b[2J", "../../etc/passwd", "\u202egnp.exe", "\x00", "x" * 10_000, "{{}}", '"\\', "\u2028"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@given(
    message=TEXT,
    lines=st.lists(TEXT, max_size=3),
    hyperparameters=st.dictionaries(TEXT, JSON, max_size=4),
    wall_s=NUMBER,
    styles=st.lists(TEXT, min_size=1, max_size=4),
    command=TEXT,
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_record_says_comes_back(
    message: str, lines: list[str], hyperparameters: dict[str, Any], wall_s: float, styles: list[str], command: str
) -> None:
    made = failed_record(DEMO[1], message=message)
    assert made.error is not None
    changed = made.model_copy(
        update={
            "error": made.error.model_copy(update={"last_lines": lines}),
            "hyperparameters": hyperparameters,
            "wall_s": wall_s,
            "data": made.data.model_copy(update={"styles": styles}),
            "environment": made.environment.model_copy(update={"command": command}),
        }
    )
    text = dumps(changed)
    assert loads(text.encode()) == changed.model_copy(update={"checksum": json.loads(text)["checksum"]})


def test_a_mistake_with_escape_sequences_does_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "--methods", "head", "--model", "/no\x1b[2J\u202ewhere") == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\\x1b[2J" in said


def test_an_argument_that_is_no_text_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = b"/models/\xff".decode(sys.getfilesystemencoding(), "surrogateescape")
    assert call(monkeypatch, "run", "--model", name) == 2
    assert "isn't UTF-8" in capsys.readouterr().err
