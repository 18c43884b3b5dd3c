from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from record_factory import DEMO, failed_record, lora, make_record

from bench import stats
from bench.stats import Estimate

HEAD = next(variant for variant in DEMO if variant.method == "head")


def test_estimate_gives_the_sample_standard_deviation() -> None:
    found = stats.estimate([2, 4, 4, 4, 5, 5, 7, 9])
    assert found is not None
    assert (found.mean, found.n) == (5, 8)
    assert found.sd == pytest.approx((32 / 7) ** 0.5)


def test_estimate_leaves_out_what_is_none_and_has_no_deviation_for_one_value() -> None:
    assert stats.estimate([None, 3.0]) == Estimate(3.0, None, 1)
    assert stats.estimate([None]) is None


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [([3, 2, 1], None), ([3, 2, 2], None), ([3, 2, 2.1, 1, 5], 3), ([1, 2], 2), ([1], None), ([], None)],
)
def test_turned_up_is_the_first_epoch_above_the_one_before(losses: list[float], epoch: int | None) -> None:
    means = {number: Estimate(loss, None, 1) for number, loss in enumerate(losses, start=1)}
    assert stats.turned_up(means) == epoch


def test_seeds_are_averaged_and_the_best_comes_first() -> None:
    variants = (lora(8, 0.3), lora(32, 0.6), HEAD)
    records = [make_record(variant, seed) for variant in variants for seed in (0, 1, 2)]
    [found] = stats.comparisons(records)
    assert [len(summary.runs) for summary in found.summaries] == [3, 3, 3]
    assert found.summaries[0].hyperparameters["alpha"] == 32
    scores = [run.quality.test.accuracy for run in records[3:6] if run.quality]
    assert found.summaries[0].accuracy == stats.estimate(scores)


@pytest.mark.parametrize(
    "change",
    [
        {"preset": "custom"},
        {"backbone.name": "another"},
        {"backbone.source": "local"},
        {"backbone.revision": "another"},
        {"data.fingerprint": "another"},
    ],
    ids=str,
)
def test_other_presets_backbones_and_splits_are_never_compared(change: dict[str, Any]) -> None:
    records = [make_record(HEAD), make_record(HEAD, changes={**change, "created_at": "2025-04-01T00:00:00+00:00"})]
    found = stats.comparisons(records)
    assert [comparison.newest for comparison in found] == records[::-1]


@pytest.mark.parametrize(
    "change",
    [
        {"training.epochs": 9},
        {"training.max_steps": 9},
        {"training.batch_size": 9},
        {"training.weight_decay": 0.9},
        {"training.warmup_share": 0.9},
        {"training.dtype": "bf16"},
        {"training.device": "cuda"},
        {"data.max_length": 9},
        {"hyperparameters.learning_rate": 0.9},
    ],
    ids=str,
)
def test_runs_trained_differently_are_compared_but_never_averaged(change: dict[str, Any]) -> None:
    [found] = stats.comparisons([make_record(HEAD, 0), make_record(HEAD, 1, change)])
    assert [len(summary.runs) for summary in found.summaries] == [1, 1]


def test_a_setting_that_differs_is_named() -> None:
    [found] = stats.comparisons([make_record(HEAD), make_record(HEAD, 1, {"training.epochs": 9})])
    assert stats.differing_settings(found.summaries) == ["epochs"]


def test_a_learning_rate_of_each_methods_own_is_no_difference_in_settings() -> None:
    without = make_record(HEAD, changes={"hyperparameters": {}, "training.learning_rate": 0.1})
    [found] = stats.comparisons([without, *(make_record(variant) for variant in DEMO)])
    assert stats.differing_settings(found.summaries) == []


def test_a_learning_rate_that_no_method_has_is_one() -> None:
    bare = stats.comparisons(
        [make_record(HEAD, changes={"hyperparameters": {}, "training.learning_rate": rate}) for rate in (0.1, 0.2)]
    )
    assert stats.differing_settings(bare[0].summaries) == ["learning_rate"]


def test_of_two_records_of_one_run_the_newest_counts_but_a_failure_never_hides_a_result() -> None:
    old, new = make_record(HEAD), make_record(HEAD, changes={"created_at": "2025-04-01T00:00:00+00:00"})
    broken = failed_record(HEAD).model_copy(update={"created_at": "2025-05-01T00:00:00+00:00"})
    [found] = stats.comparisons([new, broken, old])
    assert found.summaries[0].runs == (new,)
    assert found.summaries[0].failed == ()
    assert found.superseded == 2


def test_failed_runs_are_kept_apart_and_a_variant_without_a_result_comes_last() -> None:
    [found] = stats.comparisons([failed_record(lora(512, 0.9)), make_record(HEAD), failed_record(HEAD, 1, "oom")])
    assert [(s.method, len(s.runs), len(s.failed)) for s in found.summaries] == [("head", 1, 1), ("lora", 0, 1)]
    assert found.summaries[1].accuracy is None
    assert [run.status for run in found.failed] == ["oom", "failed"]


def test_speed_and_memory_are_of_the_machine_with_most_runs() -> None:
    elsewhere = {"environment.cpu": "Faster CPU", "speed.train_s": 1.0, "memory.peak_bytes": 1}
    records = [make_record(HEAD, 0), make_record(HEAD, 1), make_record(HEAD, 2, elsewhere)]
    [found] = stats.comparisons(records)
    [summary] = found.summaries
    assert summary.accuracy is not None
    assert summary.accuracy.n == 3
    assert summary.train_s == stats.estimate(run.speed.train_s for run in records[:2] if run.speed)
    assert summary.peak_bytes == stats.estimate(run.memory.peak_bytes for run in records[:2] if run.memory)


def test_hyperparameters_that_differ_within_a_method_are_named() -> None:
    records = [make_record(variant) for variant in (lora(8, 0.4), lora(32, 0.4), HEAD)]
    [found] = stats.comparisons(records)
    assert stats.differing_hyperparameters(found.summaries) == {"lora": ["alpha"], "head": []}


def test_alphas_are_swept_within_equal_other_hyperparameters_and_settings() -> None:
    rates = [{"learning_rate": rate} for rate in (1e-4, 1e-3)]
    records = [make_record(lora(alpha, 0.4, hyperparameters=rate)) for rate in rates for alpha in (128, 8)]
    records += [make_record(lora(32, 0.4), changes={"training.epochs": 9}), make_record(HEAD)]
    [found] = stats.comparisons(records)
    sweeps = stats.alpha_sweeps(found.summaries)
    assert [[summary.hyperparameters["alpha"] for summary in sweep] for sweep in sweeps] == [[8, 128], [8, 128]]
    assert len({sweep[0].hyperparameters["learning_rate"] for sweep in sweeps}) == 2


def test_the_validation_loss_is_averaged_over_seeds_by_epoch() -> None:
    records = [make_record(lora(128, 0.4, turns_up_at=4), seed) for seed in (0, 1, 2)]
    [summary] = stats.comparisons(records)[0].summaries
    losses = [[epoch.validation_loss for epoch in run.quality.epochs] for run in records if run.quality]
    expected = {epoch: stats.estimate(values) for epoch, values in enumerate(zip(*losses, strict=True), start=1)}
    assert summary.validation_loss == expected
    assert stats.turned_up(summary.validation_loss) == 4


def test_forgetting_is_averaged_over_the_runs_by_the_same_text() -> None:
    records = [make_record(replace(HEAD, forgetting=0.5), seed) for seed in (0, 1, 2)]
    other = make_record(replace(HEAD, forgetting=9.0), 3, {"forgetting.text_sha256": "cd" * 32})
    [found] = stats.comparisons([*records, other, make_record(HEAD, 4)])
    [summary] = found.summaries
    assert len(summary.runs) == 5
    assert summary.forgetting == stats.estimate(run.forgetting.nats for run in records if run.forgetting)
    assert summary.forgetting is not None
    assert summary.forgetting.mean == pytest.approx(0.5, abs=0.2)
    assert summary.forgot(other) is None
