"""What a store keeps of the baseline of a set of splits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bench.store import baseline
from bench.store.files import Store, move_aside
from bench.store.record import Baseline, RecordError

if TYPE_CHECKING:
    from pathlib import Path

FINGERPRINT = "3f" * 32
KEPT = baseline.Kept(
    Baseline(accuracy=0.5, macro_f1=0.4, C=10.0, passages=37, fit_s=1.25), b"PAR1 stands for a table PAR1"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with the baseline."""
    baseline.put(tmp_path, FINGERPRINT, KEPT)
    return tmp_path


def test_it_comes_back_and_other_splits_have_none(folder: Path) -> None:
    assert baseline.find(folder, FINGERPRINT) == KEPT
    assert baseline.find(folder, "0" * 64) is None


def test_splits_whose_fingerprints_begin_alike_are_told_apart(folder: Path) -> None:
    with pytest.raises(RecordError, match="other splits"):
        baseline.find(folder, FINGERPRINT[:-1] + "0")


def test_a_store_with_nothing_but_a_baseline_holds_no_record(folder: Path) -> None:
    found = Store(folder).read()
    assert (found.records, found.unreadable) == ((), ())


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_file_that_was_cut_or_changed_is_seen(folder: Path, suffix: str) -> None:
    path, draw = baseline.path(folder, FINGERPRINT).with_suffix(suffix), random.Random(1)
    content = path.read_bytes()
    for _ in range(30):
        path.write_bytes(content[: draw.randrange(len(content) - 1)])
        with pytest.raises(RecordError):
            baseline.find(folder, FINGERPRINT)
    path.write_bytes(content.replace(b"1.25", b"9.25").replace(b"table", b"chair"))
    with pytest.raises(RecordError, match="changed or damaged"):
        baseline.find(folder, FINGERPRINT)


def test_predictions_that_are_gone_are_seen_and_what_is_left_can_be_moved_aside(folder: Path) -> None:
    path = baseline.path(folder, FINGERPRINT)
    path.with_suffix(".parquet").unlink()
    with pytest.raises(RecordError, match="No such file"):
        baseline.find(folder, FINGERPRINT)
    assert (move_aside(path) / path.name).is_file()
    assert baseline.find(folder, FINGERPRINT) is None


@pytest.mark.parametrize("fingerprint", ["../../etc/passwd", "/etc/passwd", ""])
def test_no_fingerprint_leads_out_of_the_store(folder: Path, fingerprint: str) -> None:
    assert baseline.path(folder, fingerprint).parent == folder
    assert baseline.find(folder, fingerprint) is None


def test_what_no_file_can_be_called_is_unreadable(folder: Path) -> None:
    with pytest.raises(RecordError, match="can't be read"):
        baseline.find(folder, "a\0b")
