from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bench.stats.differences import Verdict, against, holm, top_group, verdict
from bench.stats.intervals import Figures, Interval, differences


def study(means: list[float], sd: float = 0.01, seeds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores [k, seeds] with these means and influences [k, seeds, 200] without what examples have in common."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((len(means), seeds))
    noise -= noise.mean(axis=1, keepdims=True)
    return np.array(means)[:, None] + sd * noise, 1e-4 * generator.standard_normal((len(means), seeds, 200))


@pytest.mark.parametrize(
    ("low", "high", "mean", "p_holm", "expected"),
    [
        (0.02, 0.06, 0.04, 0.01, "better"),
        (-0.06, -0.02, -0.04, 0.01, "worse"),
        (0.001, 0.079, 0.04, 0.2, "no difference found"),
        (-0.02, 0.03, 0.005, 1.0, "no difference found"),
        (-0.009, 0.009, 0.0, 1.0, "equivalent"),
        (0.001, 0.009, 0.005, 0.001, "equivalent"),
        (-0.01, 0.009, -0.001, 1.0, "no difference found"),
        (-0.009, 0.01, 0.001, 1.0, "no difference found"),
    ],
)
def test_a_verdict_goes_by_the_adjusted_p_and_the_margin(
    low: float, high: float, mean: float, p_holm: float, expected: Verdict
) -> None:
    assert verdict(Interval(low, high), mean, p_holm) == expected


def test_p_is_adjusted_for_all_differences_by_holm() -> None:
    every = differences(*study([0.5, 0.52, 0.53, 0.46, 0.5001]))
    found = [difference for difference in against(every.at(slice(1, None), 0)) if difference]
    p = [difference.p for difference in found]
    assert max(p) < 1
    assert [difference.p_holm for difference in found] == pytest.approx(multipletests(p, method="holm")[1])
    assert [difference.mean for difference in found] == pytest.approx([0.02, 0.03, -0.04, 0.0001])


def test_holm_is_what_statsmodels_makes_of_it() -> None:
    generator = np.random.default_rng(3)
    for p in (np.array([0.02]), np.array([0.01, 0.01, 1.0]), generator.random(200) ** 3):
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_without_a_common_seed_there_is_no_difference_and_no_test() -> None:
    some, none = np.array([0.03]), np.array([np.nan])
    figures = Figures(np.r_[some, none], np.r_[some, none] / 1e4, np.r_[some, none] / 1e4, np.array([3, 0]), 40)
    [found, nothing] = against(figures)
    assert nothing is None
    assert found is not None
    assert found.p_holm == found.p


def test_the_top_group_leaves_out_what_is_surely_not_the_best() -> None:
    means = [0.60, 0.599, 0.55, 0.3, 0.2]
    assert top_group(differences(*study(means))).tolist() == [True, True, False, False, False]


def test_whoever_is_alone_is_the_top_group_and_equals_all_are() -> None:
    assert top_group(differences(*study([0.5]))).tolist() == [True]
    assert top_group(differences(*study([0.5] * 4))).tolist() == [True] * 4


def test_one_better_variant_doesnt_push_others_out_that_nobody_surely_beats() -> None:
    scores, influences = study([0.6, 0.58, 0.5], sd=0.002)
    scores[1] += [0.2, -0.2, 0.1, -0.1, 0.0]
    assert top_group(differences(scores, influences)).tolist() == [True, True, False]


def test_the_top_group_is_simes_test_as_hommel_closes_it() -> None:
    generator = np.random.default_rng(5)
    every = differences(*study(list(0.5 + 0.02 * generator.standard_normal(8)), seeds=3))
    expected = []
    for place in range(8):
        others = [other for other in range(8) if other != place]
        p = every.at(place, np.array(others)).p()
        one_sided = np.where(every.mean[place, others] < 0, p / 2, 1.0)
        expected.append(not multipletests(one_sided, 0.05, method="hommel")[0].any())
    assert 1 < sum(expected) < 8
    assert top_group(every).tolist() == expected
