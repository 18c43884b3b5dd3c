"""What holds over several tasks, against truths computed by hand and by scipy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats
from record_factory import Variant, lora, make_record

from bench import stats
from bench.stats import THRESHOLDS, Overall, over_tasks
from bench.stats.tasks import kendall, ranks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.store.record import Record

MAJORITY = 0.2


def runs(task: str, scores: Mapping[str, float | Sequence[float]], **changes: Any) -> list[Record]:
    """A task's records: each method with an accuracy, or one for each seed; the majority class scores 0.2."""
    texts = {"data.fingerprint": task, "data.name": task, "data.majority.accuracy": MAJORITY, **changes}
    return [
        make_record(Variant(method, {"learning_rate": 1e-3}), seed, {**texts, "quality.test.accuracy": accuracy})
        for method, found in scores.items()
        for seed, accuracy in enumerate([found] if isinstance(found, float) else found)
    ]


def overall(*records: Sequence[Record]) -> Overall:
    compared = stats.comparisons(itertools.chain(*records))
    ordered = sorted(compared, key=lambda found: found.newest.data.name)
    found = over_tasks([stats.without_predictions(one) for one in ordered])
    assert found is not None
    return found


def by_method(found: Overall, values: Sequence[Any]) -> dict[str, Any]:
    return {contender.method: value for contender, value in zip(found.contenders, values, strict=True)}


THREE = (
    runs("a", {"x": 0.6, "y": 0.5, "z": 0.3}),
    runs("b", {"x": 0.7, "y": 0.7, "z": 0.2}),
    runs("c", {"x": 0.4, "y": 0.8, "z": 0.5}),
)


def test_one_task_has_nothing_that_holds_over_all() -> None:
    [only] = stats.comparisons(THREE[0])
    assert over_tasks([stats.without_predictions(only)]) is None


def test_ranks_are_within_each_task_and_equal_accuracies_share_theirs() -> None:
    found = overall(*THREE)
    means = {name: average.mean for name, average in by_method(found, found.mean_ranks).items()}
    assert means == pytest.approx({"x": (1 + 1.5 + 3) / 3, "y": (2 + 1.5 + 1) / 3, "z": (3 + 3 + 2) / 3})
    assert [contender.method for contender in found.contenders] == ["y", "x", "z"]


def test_ranks_are_scipys() -> None:
    values = np.random.default_rng(0).integers(0, 5, (20, 7)).astype(float)
    assert ranks(values) == pytest.approx(scipy.stats.rankdata(-values, axis=1))


def test_the_interval_is_what_drawing_the_tasks_anew_gives() -> None:
    """Of independent tasks it is the t interval, cut where no rank can be."""
    scores = (0.6, 0.6, 0.6, 0.4, 0.6, 0.495)
    found = overall(*(runs(f"t{i}", {"x": score, "y": 0.5, "z": 0.49}) for i, score in enumerate(scores)))
    place = [contender.method for contender in found.contenders].index("x")
    own = found.ranks[:, place]
    assert sorted(own.tolist()) == [1, 1, 1, 1, 2, 3]
    average = found.mean_ranks[place]
    expected = scipy.stats.t.interval(0.95, 5, loc=own.mean(), scale=scipy.stats.sem(own))
    assert average.interval is not None
    assert average.interval.low == 1.0 > expected[0]
    assert average.interval.high == pytest.approx(expected[1], abs=0.05)


def test_tasks_won_are_shared_by_equals_and_winning_all_is_not_certainty() -> None:
    found = overall(*THREE)
    won = by_method(found, found.won)
    assert {name: average.mean for name, average in won.items()} == pytest.approx({"x": 0.5, "y": 0.5, "z": 0.0})
    wilson = scipy.stats.binomtest(0, 3).proportion_ci(method="wilson")
    assert won["z"].interval.low == pytest.approx(wilson.low, abs=1e-9)
    assert won["z"].interval.high == pytest.approx(wilson.high)


def test_normalised_accuracy_is_0_for_the_majority_class_and_1_for_the_best() -> None:
    found = overall(*THREE)
    means = {name: average.mean for name, average in by_method(found, found.normalised_means).items()}
    assert means == pytest.approx({"x": (1 + 1 + 1 / 3) / 3, "y": (0.75 + 1 + 1) / 3, "z": (0.25 + 0 + 0.5) / 3})


def test_a_task_where_nothing_beats_the_majority_class_is_not_normalised() -> None:
    found = overall(*THREE, runs("d", {"x": 0.1, "y": 0.2, "z": 0.2}))
    assert found.scaled.tolist() == [True, True, True, False]
    means = {name: average.mean for name, average in by_method(found, found.normalised_means).items()}
    assert means["z"] == pytest.approx((0.25 + 0 + 0.5) / 3)
    profile = found.profile(0)
    assert profile is not None
    assert profile.share[0] == 1


def test_a_profile_counts_runs_and_every_task_alike() -> None:
    """Task a: two seeds of x at 0.25 and 0.75 of the scale; task b: one at 1."""
    found = overall(runs("a", {"x": [0.3, 0.5], "y": 0.6}), runs("b", {"x": 0.6, "y": 0.3}))
    profile = found.profile([contender.method for contender in found.contenders].index("x"))
    assert profile is not None
    at = dict(zip(np.round(THRESHOLDS, 2).tolist(), profile.share.tolist(), strict=True))
    assert [at[t] for t in (0.0, 0.25, 0.26, 0.75, 0.76, 1.0)] == [1, 1, 0.75, 0.75, 0.5, 0.5]
    assert profile.low is not None
    assert profile.high is not None
    assert (profile.low <= profile.share).all()
    assert (profile.share <= profile.high).all()


def test_only_methods_with_a_result_on_every_task_are_ranked() -> None:
    found = overall(*THREE, runs("d", {"x": 0.4, "y": 0.5, "new": 0.9}))
    assert {contender.method for contender in found.contenders} == {"x", "y"}
    assert {other.method: sorted(other.places) for other in found.others} == {"z": [0, 1, 2], "new": [3]}
    assert found.ranks[0].tolist() == [2, 1]  # y and x, without z


def test_methods_are_matched_by_what_tells_them_apart_within_a_task() -> None:
    """Alpha is swept on one task only; the learning rate is another on each, and tells nothing apart."""
    one, other = ({"data.fingerprint": name, "data.name": name} for name in ("a", "b"))
    found = overall(
        [make_record(lora(alpha, 0.4), 0, one) for alpha in (8, 32)],
        [make_record(lora(32, 0.4, hyperparameters={"learning_rate": 0.1}), 0, other)],
    )
    [contender], [left] = found.contenders, found.others
    assert contender.summary.hyperparameters["alpha"] == 32
    assert contender.hyperparameters == ("alpha",)
    assert contender.varying == ("learning_rate",)
    assert left.summary.hyperparameters["alpha"] == 8


def test_six_tasks_are_the_least_that_tell_two_methods_apart() -> None:
    """Of 2^n equally likely orders, two are as extreme as one method winning all: 6.25% of five tasks, 3.1% of six."""
    won = [runs(f"t{i}", {"x": 0.6, "y": 0.5}) for i in range(6)]
    assert overall(*won[:5]).indistinct == {0, 1}
    assert overall(*won).indistinct == {0}


def test_of_many_methods_alike_hardly_ever_one_is_told_apart() -> None:
    generator = np.random.default_rng(4)
    studies = [
        overall(*(runs(f"t{i}", {f"m{k}": float(generator.random()) for k in range(5)}) for i in range(6)))
        for _ in range(60)
    ]
    assert sum(len(found.indistinct) < 5 for found in studies) <= 7  # 3 are expected


def test_tasks_on_the_same_texts_are_drawn_together() -> None:
    backbones = [{"backbone.revision": name} for name in ("one", "two", "three")]
    scores = {"x": 0.6, "y": 0.5}, {"x": 0.5, "y": 0.6}
    same = [runs(name, scores[i], **changes) for i, name in enumerate("ab") for changes in backbones]
    found = overall(*same)
    assert (found.drawn, found.number_of_units) == ("texts", 2)
    interval = found.mean_ranks[0].interval
    assert interval is not None
    assert (interval.low, interval.high) == (1, 2)  # of two texts nothing is known; six tasks would say more
    alone = overall(*(runs("a", scores[0], **changes) for changes in backbones))
    assert (alone.drawn, alone.number_of_units) == ("backbones", 3)


def test_costs_are_multiples_of_the_least_of_each_task() -> None:
    seconds: dict[str, dict[str, float | None]] = {
        "a": {"x": 10.0, "y": 40.0, "z": None},
        "b": {"x": 40.0, "y": 40.0, "z": 10.0},
    }
    found = overall(
        *(
            runs(task, {name: 0.5}, **{"speed.train_s": taken})
            for task, of in seconds.items()
            for name, taken in of.items()
        )
    )
    times = by_method(found, found.times_the_least(lambda summary: summary.train_s))
    assert times == {"x": pytest.approx(1), "y": pytest.approx(2), "z": None}


def test_agreement_is_kendalls() -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        a, b = generator.integers(0, 4, (2, 6)).astype(float)
        assert kendall(a, b) == pytest.approx(scipy.stats.kendalltau(a, b).statistic)
    assert kendall(np.ones(3), np.arange(3.0)) is None


def test_concordance_is_1_where_all_agree_and_0_where_two_are_each_others_reverse() -> None:
    order, reverse = {"x": 0.6, "y": 0.5, "z": 0.4}, {"x": 0.4, "y": 0.5, "z": 0.6}
    assert overall(runs("a", order), runs("b", order)).concordance == pytest.approx(1)
    split = overall(runs("a", order), runs("b", reverse))
    assert split.concordance == pytest.approx(0)
    assert split.agreement == (-1, -1)
    odd = overall(runs("a", order), runs("b", order), runs("c", reverse))
    assert odd.agreement == (None, None, -1)  # without a, the other two have no order in common
    assert odd.concordance == pytest.approx(1 / 9)


def test_another_preset_alone_makes_no_other_task() -> None:
    same = [*runs("a", {"x": 0.5}), *runs("a", {"x": 0.5}, preset="full")]
    assert over_tasks([stats.without_predictions(one) for one in stats.comparisons(same)]) is None


def test_without_any_common_method_nothing_is_ranked() -> None:
    found = overall(runs("a", {"x": 0.5}), runs("b", {"y": 0.5}))
    assert found.contenders == ()
    assert len(found.others) == 2
