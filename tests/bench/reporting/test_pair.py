from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from record_factory import DEMO, build_store, lora

from bench.errors import UsageError
from bench.reporting import markdown, pair
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from record_factory import Variant

HEAD = DEMO[1]


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return _store(tmp_path / "a", [HEAD, lora(8, 0.43)])


def _store(folder: Path, variants: Sequence[Variant], changes: Mapping[str, Any] | None = None) -> Path:
    build_store(folder, variants, (0, 1), changes)
    return folder


def _rendered(a: Path, b: Path) -> str:
    found = pair.pairs((a, Store(a).read()), (b, Store(b).read()))
    return markdown.render(pair.report((a.name, b.name), found))


def _row(text: str, start: str) -> list[str]:
    [line, *_] = [line for line in text.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_variant_stands_beside_itself_with_the_difference_of_its_means(a: Path, tmp_path: Path) -> None:
    b = _store(tmp_path / "b", [HEAD, lora(32, 0.47)], {"quality.test.accuracy": 0.25})
    text = _rendered(a, b)
    row = _row(text, "head")
    means = [float(cell.split("%")[0]) for cell in row[1:3]]
    assert means[1] == 25.0
    assert float(row[3].replace("−", "-")) == pytest.approx(means[1] - means[0], abs=0.11)
    assert _row(text, "lora alpha=8")[2:4] == ["–", "–"]
    assert _row(text, "lora alpha=32")[1] == "–"
    assert "1 of 3 variants stand in both; 1 only in A, 1 only in B." in text
    assert "The largest difference in mean accuracy" in text


def test_the_same_runs_are_told_to_be_the_same(a: Path) -> None:
    assert "Every mean accuracy is the same in both." in _rendered(a, a)


def test_on_one_machine_speed_and_memory_stand_beside_each_other(a: Path) -> None:
    text = _rendered(a, a)
    head = _row(text, "Method")
    row = _row(text, "head")
    assert row[head.index("Peak memory A")] == row[head.index("Peak memory B")] != "–"


def test_on_two_machines_they_stand_apart_in_footnotes(a: Path, tmp_path: Path) -> None:
    text = _rendered(a, _store(tmp_path / "b", [HEAD], {"environment.cpu": "Other CPU"}))
    assert not [title for title in _row(text, "Method") if "memory" in title]
    assert "can't be compared, as the machines differ" in text
    for cpu in ("Example CPU 3000", "Other CPU"):
        assert f"<summary>Speed, memory and time on {cpu}, 2 threads</summary>" in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data.fingerprint": "feedbeef00"}, "other splits .*9b1c7e5a2f and .*feedbeef00"),
        ({"backbone.revision": "feedbeef00"}, "another backbone .*3f2a9c1b7d and .*feedbeef00"),
    ],
    ids=str,
)
def test_other_splits_or_another_backbone_are_refused_with_the_reason(
    a: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        _rendered(a, _store(tmp_path / "b", [HEAD], changes))
    assert "\n" not in str(refused.value)


def test_an_empty_store_is_refused(a: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="holds no record"):
        _rendered(a, tmp_path / "b")


def test_of_stores_with_several_sets_those_that_match_are_shown(a: Path, tmp_path: Path) -> None:
    b = _store(tmp_path / "b", [HEAD], {"data.fingerprint": "feedbeef00"})
    _store(b, [lora(8, 0.43)])
    text = _rendered(a, b)
    row = _row(text, "lora")
    assert row[1] == row[2] != "–"
    assert "feedbeef00" not in text
