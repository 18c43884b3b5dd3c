"""Accuracy against train passages, and where one method overtakes another: on studies simulated from a known truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from record_factory import DEMO, FINGERPRINT, Variant, build_baseline, build_store, head, lora, make_trial

from bench import stats
from bench.reporting.document import analyses
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.stats import Analysis, Curves

HEAD = next(variant for variant in DEMO if variant.method == "head")
LORA = lora(32, 0.5)
WHOLE = 1_400


def add(folder: Path, size: int, variants: Sequence[Variant], seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> None:
    """Put a task's runs at a train size into a store; the whole train split has 1,400 passages."""
    told = {"data.sizes": {"train": size, "validation": 280, "test": 700}, **changes}
    fingerprint = changes.get("data.fingerprint", FINGERPRINT)
    if size < WHOLE:
        told |= {"data.fingerprint": f"{size}-{fingerprint}", "data.drawn_from": fingerprint}
    build_store(folder, variants, seeds, told)


def found(folder: Path) -> list[Analysis]:
    return analyses(Store(folder).read().records, folder)


def only(folder: Path) -> Curves:
    [curves] = stats.curves(found(folder))
    return curves


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LoRA is far worse than head on few passages, as good on more, and far better on all; IA3 is always between."""
    folder = tmp_path_factory.mktemp("crossed")
    for size, lora_s, head_s in ((100, 0.15, 0.35), (300, 0.38, 0.38), (WHOLE, 0.6, 0.4)):
        between = Variant("ia3", {"learning_rate": 3e-3}, (lora_s + head_s) / 2)
        add(folder, size, [replace(LORA, accuracy=lora_s), replace(HEAD, accuracy=head_s), between])
    return folder


def test_sizes_of_one_task_are_one_curve_in_ascending_order(crossed: Path) -> None:
    curves = only(crossed)
    assert curves.sizes == (100, 300, WHOLE)
    assert [one.comparison.train_size for one in curves.analyses] == [100, 300, WHOLE]
    assert [member.method for member in curves.members] == ["lora", "ia3", "head"]
    estimate, interval = curves.accuracy(0, 2) or (None, None)
    assert estimate is not None
    assert interval is not None
    assert interval.low < estimate.mean < interval.high


def test_a_method_overtakes_another_between_the_sizes_where_it_is_shown_worse_and_better(crossed: Path) -> None:
    curves = only(crossed)
    names = [member.method for member in curves.members]
    overtaken = {(names[one.which], names[one.other]): (one.before, one.after) for one in curves.overtakings}
    assert overtaken["lora", "head"] == (0, 2)
    assert ("head", "lora") not in overtaken
    between = curves.difference(names.index("lora"), names.index("head"), 1)
    assert between is not None
    assert between.verdict == "no difference found"
    back = curves.difference(names.index("head"), names.index("lora"), 0)
    assert back is not None
    assert back.verdict == "better"
    assert back.interval.low > 0


def test_p_is_adjusted_for_every_two_methods_at_every_size(crossed: Path) -> None:
    curves = only(crossed)
    every = [one for by_size in curves.differences.values() for one in by_size.values()]
    assert len(every) == 9
    smallest = min(every, key=lambda one: one.p)
    assert smallest.p_adjusted == pytest.approx(9 * smallest.p)


def test_the_baseline_overtakes_and_is_overtaken_as_a_method_is(tmp_path: Path) -> None:
    for size, accuracy in ((100, 0.2), (WHOLE, 0.55)):
        told = build_baseline(tmp_path, 0.4, FINGERPRINT if size == WHOLE else f"{size}-{FINGERPRINT}")
        add(tmp_path, size, [replace(HEAD, accuracy=accuracy)], **told)
    curves = only(tmp_path)
    [overtaking] = curves.overtakings
    assert (overtaking.which, overtaking.other) == (0, curves.baseline)
    assert (overtaking.before, overtaking.after) == (0, 1)
    assert curves.crossing == ((0, curves.baseline),)


def test_where_means_alone_change_places_nothing_is_overtaken(tmp_path: Path) -> None:
    for size, accuracy in ((100, 0.39), (WHOLE, 0.42)):
        add(tmp_path, size, [replace(LORA, accuracy=accuracy), replace(HEAD, accuracy=0.405)], seeds=(0, 1))
    curves = only(tmp_path)
    assert curves.overtakings == ()
    assert [tuple(curves.members[place].method for place in pair) for pair in curves.crossing] == [("lora", "head")]


def test_sizes_are_no_tasks_to_rank_over(crossed: Path, tmp_path: Path) -> None:
    assert stats.over_tasks(found(crossed)) is None
    for name in ("one", "two"):
        for size in (100, WHOLE):
            add(tmp_path, size, [LORA, HEAD], seeds=(0,), **{"data.fingerprint": name, "data.name": name})
    over = stats.over_tasks(found(tmp_path))
    assert over is not None
    assert [(task.comparison.newest.data.name, task.comparison.train_size) for task in over.tasks] == [
        (name, WHOLE) for name in ("two", "one")
    ]
    assert len(stats.curves(found(tmp_path))) == 2


def test_one_size_and_older_records_that_name_no_whole_make_no_curve(tmp_path: Path) -> None:
    build_store(tmp_path, [HEAD], (0,), {"data.fingerprint": "old", "data.sizes.train": 100})
    build_store(tmp_path, [HEAD], (0,))
    assert stats.curves(found(tmp_path)) == ()


def test_the_largest_size_goes_first_whatever_was_made_last(tmp_path: Path) -> None:
    for size, day in ((WHOLE, 1), (100, 2), (300, 3)):
        add(tmp_path, size, [HEAD], seeds=(0,), created_at=f"2025-03-0{day}T10:00:00+00:00")
    other = {"data.fingerprint": "else", "created_at": "2025-03-04T10:00:00+00:00"}
    add(tmp_path, WHOLE, [HEAD], seeds=(0,), **other)
    order = [(one.comparison.texts, one.comparison.train_size) for one in found(tmp_path)]
    assert order == [("else", WHOLE), *((FINGERPRINT, size) for size in (WHOLE, 300, 100))]


def test_what_a_search_chose_at_each_size_is_a_curve_of_its_own(tmp_path: Path) -> None:
    """The choice differs between the sizes, so that no setting but the default was tested on both."""
    for size, best in ((100, 2e-3), (WHOLE, 5e-3)):
        drawn = {"data.fingerprint": "drawn", "data.drawn_from": FINGERPRINT, "data.sizes.train": size}
        told = drawn if size < WHOLE else {}
        for trial, (rate, accuracy) in enumerate(((1e-3, 0.3), (best, 0.5))):
            record = make_trial(head(rate), trial, [accuracy], 7)
            data = record.data.model_copy(update={"fingerprint": "drawn", "drawn_from": FINGERPRINT} if told else {})
            Store(tmp_path).put(record.model_copy(update={"data": data, "uid": f"{record.uid[:-1]}{bool(told):d}"}))
        build_store(tmp_path, [head(1e-3, 0.4), head(best, 0.5)], (0, 1), told)
    curves = only(tmp_path)
    [tuned] = curves.tuned
    assert curves.members[tuned].method == "head"
    rates = [summary.hyperparameters["learning_rate"] for s in (0, 1) if (summary := curves.summary(tuned, s))]
    assert rates == [2e-3, 5e-3]
    assert len(curves.members) == 2
