from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from record_factory import DEMO, Variant, build_store, failed_record, lora, make_record

from bench import stats
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stats import Analysis

SWEEP = (lora(32, 0.5), lora(8, 0.3), lora(128, 0.6), Variant("ia3", {"learning_rate": 3e-3}, 0.5))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    build_store(folder, SWEEP, seeds=(0, 1, 2, 3))
    return folder


def analysed(folder: Path, reference: str | None = None) -> Analysis:
    from bench.store.files import Store

    [comparison] = stats.comparisons(Store(folder).read().records)
    return stats.analyse(comparison, folder, reference)


def alpha(found: Analysis, place: int | None) -> object:
    assert place is not None
    return found.comparison.summaries[place].hyperparameters.get("alpha")


def test_every_variant_has_intervals_around_its_means(store: Path) -> None:
    found = analysed(store)
    for summary, accuracy, macro_f1 in zip(found.comparison.summaries, found.accuracy, found.macro_f1, strict=True):
        for estimate, interval in ((summary.accuracy, accuracy), (summary.macro_f1, macro_f1)):
            assert estimate is not None
            assert interval is not None
            assert (interval.low + interval.high) / 2 == pytest.approx(estimate.mean)
            assert 0.03 < interval.high - interval.low < 0.2
    assert found.documents == 70
    assert found.missing == ()


def test_the_reference_is_lora_at_its_lowest_alpha(store: Path) -> None:
    found = analysed(store)
    assert alpha(found, found.reference) == 8
    verdicts = {
        (summary.method, summary.hyperparameters.get("alpha")): difference and difference.verdict
        for summary, difference in zip(found.comparison.summaries, found.differences, strict=True)
    }
    assert verdicts == {("lora", 8): None, ("lora", 32): "better", ("lora", 128): "better", ("ia3", None): "better"}


def test_a_difference_lies_in_its_interval_and_in_that_which_could_be_found(store: Path) -> None:
    found = analysed(store, "ia3")
    reference = found.comparison.summaries[found.reference or 0].accuracy
    assert reference is not None
    assert found.detectable is not None
    for summary, difference in zip(found.comparison.summaries, found.differences, strict=True):
        if difference:
            assert summary.accuracy is not None
            assert difference.mean == pytest.approx(summary.accuracy.mean - reference.mean)
            assert difference.interval.low < difference.mean < difference.interval.high
            assert (difference.p < 0.05) == (difference.interval.low > 0 or difference.interval.high < 0)
            assert difference.interval.high - difference.mean < found.detectable


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("lora alpha=32", 32),
        ("lora alpha=32, r=8", 32),
        ("lora alpha=128.0", 128),
        ("lora", 8),
        ("lora learning_rate=5e-4", 8),
        ("lora targets=none alpha=128", 128),
        ("ia3", None),
    ],
)
def test_a_reference_is_named_as_on_the_command_line(store: Path, asked: str, chosen: object) -> None:
    found = analysed(store, asked)
    assert alpha(found, found.reference) == chosen
    assert [difference is None for difference in found.differences] == [
        place == found.reference for place in range(len(found.differences))
    ]


@pytest.mark.parametrize("asked", ["lor", "lora alpha=9", "lora beta=8", "lora alpha", "head", " "])
def test_an_unknown_reference_is_a_usage_error_that_lists_the_choices(store: Path, asked: str) -> None:
    with pytest.raises(UsageError, match=r"lora alpha=128; .*ia3") as caught:
        analysed(store, asked)
    assert str(caught.value).startswith(f"--reference {asked}: ")


def test_a_reference_without_predictions_is_none(tmp_path: Path) -> None:
    build_store(tmp_path, [lora(8, 0.4)], predictions=False)
    with pytest.raises(UsageError, match="no variant here has predictions"):
        analysed(tmp_path, "lora")


def test_without_lora_there_is_no_reference_unless_one_is_asked_for(tmp_path: Path) -> None:
    build_store(tmp_path, [variant for variant in DEMO if variant.method != "lora"])
    found = analysed(tmp_path)
    assert found.reference is None
    assert found.detectable is None
    assert set(found.differences) == {None}
    assert found.top
    assert analysed(tmp_path, "head").detectable is not None


def test_what_could_be_found_is_not_hidden_by_a_variant_that_only_guesses(tmp_path: Path) -> None:
    trained = [variant for variant in DEMO if variant.method == "lora"]
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    build_store(alone, trained)
    build_store(beside, trained)
    for seed, luck in enumerate((0.0, 0.2, 0.0)):
        build_store(beside, [Variant("frozen", {}, luck, 0)], seeds=[seed])
    without, with_it = analysed(alone), analysed(beside)
    assert with_it.above_majority == (*without.above_majority, False)
    assert without.detectable is not None
    assert with_it.detectable is not None
    assert without.detectable < with_it.detectable < 1.3 * without.detectable  # one more test, no more noise


def test_of_variants_that_differ_in_more_than_alpha_the_lowest_is_first(tmp_path: Path) -> None:
    rates = ({"learning_rate": 1e-3}, {"learning_rate": 2e-4})
    build_store(tmp_path, [lora(8, 0.4, hyperparameters=rate) for rate in rates])
    found = analysed(tmp_path, "lora alpha=8")
    assert found.comparison.summaries[found.reference or 0].hyperparameters["learning_rate"] == 2e-4


def test_the_best_is_in_the_top_group_and_who_is_far_off_is_not(store: Path) -> None:
    found = analysed(store)
    assert 0 in found.top
    assert alpha(found, 0) == 128
    assert alpha(found, 3) == 8
    assert 3 not in found.top


def test_more_seeds_and_only_one(tmp_path: Path) -> None:
    build_store(tmp_path / "one", SWEEP, seeds=(0,))
    build_store(tmp_path / "five", SWEEP, seeds=range(5))
    widths = []
    for name in ("one", "five"):
        intervals = analysed(tmp_path / name).accuracy
        widths.append([interval.high - interval.low for interval in intervals if interval])
    assert len(widths[0]) == len(widths[1]) == len(SWEEP)
    assert all(0.04 < width < 0.09 for width in widths[0])


def test_predictions_that_are_gone_leave_what_the_records_tell(tmp_path: Path) -> None:
    build_store(tmp_path, SWEEP[:2], predictions=False)
    found = analysed(tmp_path)
    assert len(found.missing) == 6
    assert found.accuracy == found.macro_f1 == (None, None)
    assert found.differences == (None, None)
    assert found.reference is None
    assert found.top == frozenset()
    assert found.fronts[0].members


def test_a_variant_that_failed_has_nothing(tmp_path: Path) -> None:
    records = [*build_store(tmp_path, SWEEP[:2]), failed_record(lora(512, 0.9))]
    [comparison] = stats.comparisons(records)
    found = stats.analyse(comparison, tmp_path)
    assert found.accuracy[2] is None
    assert found.differences[2] is None
    assert 2 not in found.top
    assert found.missing == ()


def test_only_failures(tmp_path: Path) -> None:
    [comparison] = stats.comparisons([failed_record(lora(8, 0.9))])
    found = stats.analyse(comparison, tmp_path)
    assert found.accuracy == (None,)
    assert found.fronts[0].costs == (None,)


def test_seeds_that_some_lack_leave_the_differences_to_the_others(tmp_path: Path) -> None:
    build_store(tmp_path, [lora(8, 0.4)], seeds=(0, 1, 2))
    build_store(tmp_path, [lora(32, 0.5)], seeds=(1, 2, 3))
    build_store(tmp_path, [lora(128, 0.5)], seeds=(7,))
    found = analysed(tmp_path)
    by_alpha = {alpha(found, place): difference for place, difference in enumerate(found.differences)}
    difference = by_alpha[32]
    assert difference is not None
    right = {alpha(found, place): outcomes.right for place, outcomes in enumerate(found.outcomes) if outcomes}
    assert difference.mean == pytest.approx(right[32][:2].mean() - right[8][1:].mean())
    assert by_alpha[128] is None


def test_the_same_store_gives_the_same_analysis(store: Path) -> None:
    first, second = analysed(store), analysed(store)
    assert first.fronts == second.fronts
    assert first.differences == second.differences


def test_one_test_example_tells_nothing(tmp_path: Path) -> None:
    import pandas as pd

    record = make_record(lora(8, 0.4), changes={"data.sizes.test": 1})
    table = pd.DataFrame({"style": ["Jay"], "prediction": ["Jay"], "document": ["5"]})
    table.to_parquet(tmp_path / f"{record.uid}.parquet")
    [comparison] = stats.comparisons([record])
    assert stats.analyse(comparison, tmp_path).accuracy == (None,)
