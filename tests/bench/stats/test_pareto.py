from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from record_factory import DEMO, HEAD_PARAMETERS, Variant, build_store, lora, make_record

from bench import stats
from bench.stats.bootstrap import Draws, correlated, heavier
from bench.stats.pareto import on_front

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stats import Analysis, Front

POINT = st.tuples(st.integers(0, 4), st.integers(0, 4))


def analysed(folder: Path, *variants: Variant, seeds: tuple[int, ...] = (0, 1, 2)) -> Analysis:
    [comparison] = stats.comparisons(build_store(folder, variants, seeds))
    return stats.analyse(comparison, folder)


def front(found: Analysis, cost: str) -> Front:
    return next(front for front in found.fronts if front.cost == cost)


def place(found: Analysis, method: str) -> int:
    return [summary.method for summary in found.comparison.summaries].index(method)


@settings(deadline=None)
@given(st.lists(POINT, min_size=1, max_size=8))
def test_on_the_front_is_whom_no_other_beats(points: list[tuple[int, int]]) -> None:
    expected = [
        not any(a >= accuracy and c <= cost and (a, c) != (accuracy, cost) for a, c in points)
        for accuracy, cost in points
    ]
    accuracies, costs = np.array(points, dtype=float).T
    assert on_front(accuracies[None], costs[None]).tolist() == [expected]


def test_the_fronts_of_the_demo(tmp_path: Path) -> None:
    found = analysed(tmp_path, *DEMO)
    methods = [summary.method for summary in found.comparison.summaries]
    assert [front.cost for front in found.fronts] == ["live_peak_bytes", "trainable", "train_s", "eval_tokens_per_s"]
    trainable = front(found, "trainable")
    assert {methods[i] for i in trainable.members} == {"head", "ia3", "lora"}
    assert trainable.costs[place(found, "head")] == HEAD_PARAMETERS
    assert [share is None for share in front(found, "train_s").shares] == [method == "frozen" for method in methods]


def test_the_cheapest_is_on_the_front_unless_it_is_no_better_than_the_majority_class(tmp_path: Path) -> None:
    found = analysed(tmp_path, *DEMO)
    assert found.comparison.summaries[-1].method == "frozen"
    for cost in ("live_peak_bytes", "trainable"):
        shares = front(found, cost).shares
        assert shares[place(found, "frozen")] == 0
        assert shares[place(found, "head")] == 1
        assert place(found, "frozen") not in front(found, cost).members


def test_no_better_than_the_majority_class_is_never_on_it_even_alone(tmp_path: Path) -> None:
    record = make_record(lora(8, 0.3), changes={"data.majority": {"style": "Jay", "accuracy": 0.99, "macro_f1": 0.1}})
    [comparison] = stats.comparisons([record])
    for found in stats.analyse(comparison, tmp_path).fronts:
        assert found.members == frozenset()


def test_a_mean_above_the_majority_class_is_not_enough_for_the_front(tmp_path: Path) -> None:
    variants = (lora(8, 0.5), Variant("ia3", accuracy=0.3, adapter_parameters=9))
    probe = analysed(tmp_path / "probe", *variants)
    interval = probe.accuracy[place(probe, "ia3")]
    assert interval is not None
    assert place(probe, "ia3") in front(probe, "trainable").members
    between = {"data.majority": {"style": "Jay", "accuracy": (interval.low + 0.3) / 2, "macro_f1": 0.1}}
    records = build_store(tmp_path / "store", variants, changes=between)
    [comparison] = stats.comparisons(records)
    found = stats.analyse(comparison, tmp_path / "store")
    assert found.above_majority == (True, False)
    assert place(found, "ia3") not in front(found, "trainable").members


def test_shares_of_equally_dear_variants_tell_how_sure_the_better_one_is(tmp_path: Path) -> None:
    clear = analysed(tmp_path / "clear", lora(8, 0.3), lora(32, 0.6))
    assert front(clear, "trainable").shares == pytest.approx((1.0, 0.0), abs=0.01)
    [first, second] = front(analysed(tmp_path / "close", lora(8, 0.5), lora(32, 0.5)), "trainable").shares
    assert first is not None
    assert second is not None
    assert 0.02 < second < first < 0.98
    assert first + second == pytest.approx(1, abs=0.05)  # more than 1 only by ties


def test_faster_inference_is_better(tmp_path: Path) -> None:
    variants = (lora(8, 0.5), Variant("ia3", accuracy=0.3, adapter_parameters=9))
    records = build_store(tmp_path, variants[:1]) + build_store(
        tmp_path, variants[1:], changes={"speed.eval_tokens_per_s": 1.0}
    )
    [comparison] = stats.comparisons(records)
    speed = front(stats.analyse(comparison, tmp_path), "eval_tokens_per_s")
    assert speed.members == {0}
    assert speed.shares == pytest.approx((1.0, 0.0), abs=0.01)


def test_without_predictions_there_is_a_front_but_no_shares(tmp_path: Path) -> None:
    records = [make_record(variant) for variant in DEMO]
    [comparison] = stats.comparisons(records)
    for found in stats.analyse(comparison, tmp_path).fronts:
        assert found.members
        assert set(found.shares) == {None}


def test_costs_that_no_record_tells_are_none(tmp_path: Path) -> None:
    [comparison] = stats.comparisons(build_store(tmp_path, [lora(8, 0.4)], changes={"compute": None}))
    assert front(stats.analyse(comparison, tmp_path), "live_peak_bytes").costs == (None,)
    assert front(stats.analyse(comparison, tmp_path), "live_peak_bytes").members == frozenset()


def test_what_a_variant_forgets_is_a_cost_that_may_be_nothing_or_less(tmp_path: Path) -> None:
    forgets = {"head": 0.0, "ia3": -0.02, "lora": 0.3}
    variants = [replace(v, forgetting=forgets[v.method]) for v in DEMO if v.method in forgets]
    found = analysed(tmp_path, *variants)
    forgetting = front(found, "forgetting")
    methods = [summary.method for summary in found.comparison.summaries]
    assert {methods[i] for i in forgetting.members} == {"ia3", "lora"}
    assert forgetting.costs[place(found, "head")] == 0
    assert forgetting.costs[place(found, "ia3")] == pytest.approx(-0.02, rel=0.2)
    assert all(share is not None for share in forgetting.shares)


def test_draws_vary_as_the_mean_does() -> None:
    draws, generator = Draws.make(3, 400), np.random.default_rng(0)
    right, costs = generator.random((1, 400)) < 0.4, np.array([0.4, 0.5, 0.47])
    of_examples = draws.over_clusters(right.astype(float), np.ones(400))
    expected = scipy.stats.bootstrap((right[0].astype(float),), np.mean, n_resamples=2000, rng=0).standard_error
    assert of_examples.std() == pytest.approx(expected, rel=0.1)
    assert of_examples.mean() == pytest.approx(right.mean(), abs=0.005)
    assert draws.over_seeds(costs).std() == pytest.approx(scipy.stats.sem(costs), rel=0.1)


def test_what_seeds_do_is_drawn_with_the_covariances_and_the_tails_that_are_asked_for() -> None:
    asked = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.0]])
    values = correlated(asked, 20_000)
    assert np.cov(values.T) == pytest.approx(asked, abs=0.05)
    drawn = heavier(values, np.array([3.0, 1e6, 2.0]))
    assert np.quantile(drawn[:, 0], 0.975) == pytest.approx(scipy.stats.t.ppf(0.975, 3), rel=0.05)
    assert drawn[:, 1] == pytest.approx(values[:, 1], abs=0.05)
    assert not drawn[:, 2].any()
