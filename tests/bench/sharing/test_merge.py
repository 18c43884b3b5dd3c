"""Several stores, or published folders, in one store: everything is there, nothing wrong is, and nothing is lost."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from commands import ROOT
from record_factory import DEMO, build_baseline, failed_record, make_record, predictions_parquet

import methods
from bench.errors import UsageError
from bench.reporting import document, markdown, report
from bench.sharing import adapters, merge, publish, published
from bench.sharing.redaction import outward
from bench.store import baseline
from bench.store.claims import Owner
from bench.store.files import Contents, Store
from bench.store.record import dumps
from methods import contract
from methods.adapters import save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from record_factory import Variant

    from bench.store.record import Record


def _fill(folder: Path, variants: Sequence[Variant], seeds: Sequence[int] = (0,), **changes: Any) -> Path:
    """Fill a store as a study does: each record tells the hash of its predictions."""
    for variant in variants:
        for seed in seeds:
            content = predictions_parquet(variant, seed)
            hashed = {"quality.predictions_sha256": hashlib.sha256(content).hexdigest()}
            Store(folder).put(make_record(variant, seed, {**changes, **hashed}), content)
    return folder


def _records(folder: Path) -> dict[str, Record]:
    found = Store(folder).read()
    assert found.unreadable == ()
    return {record.uid: record for record in found.records}


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two variants, a failed run, the baseline and an adapter."""
    folder = tmp_path_factory.mktemp("stores") / "a"
    _fill(folder, DEMO[1:3], (0, 1), **build_baseline(folder, 0.5))
    Store(folder).put(failed_record(DEMO[5]))
    run = next(iter(_records(folder)))
    save(methods.get("head")().apply(contract.tiny_gpt2()), adapters.beside(folder) / run)
    return folder


@pytest.fixture(scope="module")
def b(a: Path) -> Path:
    """A store with one run of A's and another variant."""
    _fill(a.with_name("b"), DEMO[3:4], (0, 1))
    shared = next(record for record in _records(a).values() if record.quality)
    Store(a.with_name("b")).put(shared, Store(a).predictions(shared))
    return a.with_name("b")


@pytest.fixture(scope="module")
def folder(a: Path) -> Path:
    """A, published; the page without its pictures, which take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        without = partial(document.of_analyses, pictures=False)
        patch.setattr(document, "of_analyses", lambda found, pictures: without(found))
        return publish.publish(a, str(a.with_name("published")), None, "mit", anonymous=False).folder


def test_the_merged_store_has_all_that_both_have(a: Path, b: Path, tmp_path: Path) -> None:
    before = _files(a), _files(b)
    merged = merge.merge([a, b], tmp_path / "c")
    assert (merged.runs, merged.added, merged.left_out) == (7, 7, ())
    assert _records(tmp_path / "c") == {**_records(a), **_records(b)}
    made = {name: content for name, content in _files(tmp_path / "c").items() if not name.startswith(".")}
    assert made == {**before[0], **before[1]}
    assert (_files(a), _files(b)) == before


def test_a_published_folder_merges_as_the_store_that_it_is_of(a: Path, folder: Path, tmp_path: Path) -> None:
    merge.merge([folder], tmp_path / "c")
    assert merge.merge([folder, a], tmp_path / "c").added == 0
    merged = _records(tmp_path / "c")
    for uid, record in _records(a).items():
        assert _without_hashes(merged[uid]) == _without_hashes(record)
        if record.quality:
            ours, theirs = (pd.read_parquet(place / f"{uid}.parquet") for place in (a, tmp_path / "c"))
            pd.testing.assert_frame_equal(ours, theirs)
    [run] = adapters.found(adapters.beside(a))
    assert _files(tmp_path / "c" / "adapters") == {
        f"{run}/{name}": content for name, content in _files(a / "adapters" / run).items()
    }


def _without_hashes(record: Record) -> dict[str, Any]:
    content = outward(record).model_dump()
    if content["quality"]:
        del content["quality"]["predictions_sha256"]
    return content


def test_a_published_folder_has_the_report_of_its_store(a: Path, folder: Path) -> None:
    with published.as_store(folder) as place:
        told = markdown.render(report(Store(place).read(), place))
    assert "character n-grams" in told
    shown = Contents(tuple(map(outward, Store(a).read().records)), ())
    assert told == markdown.render(report(shown, a))


def test_report_py_reads_a_published_folder(folder: Path, a: Path) -> None:
    command = [sys.executable, str(ROOT / "report.py"), str(folder), str(a)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Every mean accuracy is the same in both" in done.stdout
    assert f"A is `{folder}`" in done.stdout


def test_the_same_run_with_another_content_is_an_error_that_names_both(a: Path, tmp_path: Path) -> None:
    other = _records(a)[next(uid for uid, record in _records(a).items() if record.quality)]
    Store(tmp_path / "d").put(other.model_copy(update={"wall_s": 1.0}), Store(a).predictions(other))
    with pytest.raises(UsageError) as error:
        merge.merge([a, tmp_path / "d"], tmp_path / "c")
    for part in (str(a), str(tmp_path / "d"), other.uid, "wall_s differ", "--keep-first"):
        assert part in str(error.value)
    assert not (tmp_path / "c").exists()
    merge.merge([a, tmp_path / "d"], tmp_path / "c", keep_first=True)
    assert _records(tmp_path / "c") == _records(a)


def test_other_predictions_of_the_same_run_are_another_content(a: Path, tmp_path: Path) -> None:
    run = next(record for record in _records(a).values() if record.quality)
    assert run.quality is not None
    content = predictions_parquet(DEMO[1], 7)
    quality = run.quality.model_copy(update={"predictions_sha256": hashlib.sha256(content).hexdigest()})
    Store(tmp_path / "d").put(run.model_copy(update={"quality": quality}), content)
    with pytest.raises(UsageError, match=": predictions differ"):
        merge.merge([a, tmp_path / "d"], tmp_path / "c")


def test_what_was_interrupted_goes_on_with_the_same_command(
    a: Path, b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, times = Store.put, iter(range(3))

    def fill_up(store: Store, record: Record, predictions: bytes | None = None) -> Path:
        if next(times, None) is None:
            raise OSError(28, "No space left on device")
        return put(store, record, predictions)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", fill_up)
        with pytest.raises(OSError, match="No space"):
            merge.merge([a, b], tmp_path / "c")
    assert len(_records(tmp_path / "c")) == 3
    assert not list((tmp_path / "c" / ".work").iterdir())
    assert not list((tmp_path / "c").glob(".*.claim"))
    assert merge.merge([a, b], tmp_path / "c").added == 4
    assert _records(tmp_path / "c") == {**_records(a), **_records(b)}


def test_what_the_target_has_stays_and_what_is_damaged_there_is_replaced(a: Path, b: Path, tmp_path: Path) -> None:
    target = _fill(tmp_path / "c", DEMO[6:7])
    [mine] = _records(target)
    damaged = next(iter(_records(b)))
    Store(target).record_path(damaged).write_text("{")
    merged = merge.merge([a, b], target)
    assert (merged.runs, merged.added) == (8, 7)
    assert [path.name for path, _ in merged.left_out] == [f"{damaged}.json"]
    assert _records(target).keys() == {mine, *_records(a), *_records(b)}


def test_a_run_that_a_study_is_at_is_not_written(a: Path, tmp_path: Path) -> None:
    run = next(iter(_records(a)))
    with Owner(tmp_path / "c") as study:
        assert study.claim(run)
        with pytest.raises(UsageError, match=f"a study is at the run {run}"):
            merge.merge([a], tmp_path / "c")


def test_a_published_folder_is_no_place_for_a_store(a: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="is a published folder"):
        merge.merge([a], folder)


def _copy(folder: Path, place: Path) -> Path:
    for name, content in _files(folder).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def test_predictions_that_were_changed_in_a_published_folder_are_seen(folder: Path, tmp_path: Path) -> None:
    copy = _copy(folder, tmp_path / "copy")
    table = pq.read_table(copy / published.PREDICTIONS)
    run = table.column("uid")[0].as_py()
    better = pc.if_else(pc.equal(table.column("uid"), run), table.column("style"), table.column("prediction"))
    place = table.schema.get_field_index("prediction")
    pq.write_table(table.set_column(place, "prediction", better), copy / published.PREDICTIONS)
    [(path, why)] = merge.merge([copy], tmp_path / "c").left_out
    assert (path.stem, why) == (run, "its predictions were changed or damaged")


@pytest.mark.parametrize("name", [published.RECORDS, published.PREDICTIONS])
def test_a_flipped_bit_in_a_published_table_is_never_read_as_right(
    a: Path, folder: Path, tmp_path: Path, name: str
) -> None:
    copy = _copy(folder, tmp_path / "copy")
    content, draw, unseen = (folder / name).read_bytes(), random.Random(20261128), 0
    for _ in range(20):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        (copy / name).write_bytes(flipped)
        with suppress(UsageError), published.as_store(copy) as place:
            found = Store(place).read()
            _hold_against(a, place, found)
            unseen += not found.unreadable
    assert unseen < 10  # these hit what nobody reads: a statistic, say


def _hold_against(a: Path, place: Path, found: Contents) -> None:
    """Check that whatever counts as good is what it is in A."""
    right = {uid: _without_hashes(record) for uid, record in _records(a).items()}
    for record in found.records:
        assert _without_hashes(record) == right[record.uid]
        theirs, ours = Store(place).predictions(record), Store(a).predictions(record)
        if theirs is not None and ours is not None:
            ours_read, theirs_read = (pd.read_parquet(pa.BufferReader(file)) for file in (ours, theirs))
            pd.testing.assert_frame_equal(ours_read, theirs_read)


def test_a_uid_that_would_lead_out_of_the_store_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = _copy(folder, tmp_path / "copy")
    table = pq.read_table(copy / published.RECORDS)
    outside = pa.array(["../../outside", *table.column("uid").to_pylist()[1:]])
    pq.write_table(table.set_column(table.schema.get_field_index("uid"), "uid", outside), copy / published.RECORDS)
    with pytest.raises(UsageError, match="is no run's uid"):
        merge.merge([copy], tmp_path / "c")
    (tmp_path / "d").mkdir()
    record = make_record(DEMO[0], changes={"quality": None}).model_copy(update={"uid": "../../outside"})
    (tmp_path / "d" / "foreign.json").write_text(dumps(record))
    with pytest.raises(UsageError, match="whose uid is none"):
        merge.merge([tmp_path / "d"], tmp_path / "c")


def test_the_baseline_of_the_splits_comes_along(a: Path, folder: Path, tmp_path: Path) -> None:
    merge.merge([folder], tmp_path / "c")
    [record, *_] = _records(a).values()
    ours, theirs = (baseline.find(place, record.data.fingerprint) for place in (a, tmp_path / "c"))
    assert ours is not None
    assert theirs is not None
    assert ours.figures == theirs.figures
