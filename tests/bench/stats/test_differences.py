from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from bench.stats.differences import Verdict, against, top_group, verdict
from bench.stats.families import Family
from bench.stats.intervals import Figures, Interval, differences
from bench.stats.moderation import Prior


def study(means: list[float], sd: float = 0.01, seeds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores [k, seeds] with these means and influences [k, seeds, 200] without what examples have in common."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((len(means), seeds))
    noise -= noise.mean(axis=1, keepdims=True)
    return np.array(means)[:, None] + sd * noise, 1e-4 * generator.standard_normal((len(means), seeds, 200))


def paired(means: list[float], seeds: int = 5) -> Figures:
    """All differences of such a study, each variant's variance its own."""
    return differences(*study(means, seeds=seeds), Prior.none(len(means)))


@pytest.mark.parametrize(
    ("low", "high", "mean", "p_adjusted", "expected"),
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
    low: float, high: float, mean: float, p_adjusted: float, expected: Verdict
) -> None:
    assert verdict(Interval(low, high), mean, p_adjusted) == expected


def test_a_family_is_judged_by_its_adjusted_p_and_has_intervals_that_hold_together() -> None:
    family = Family(paired([0.5, 0.52, 0.53, 0.46, 0.5001]), 0)
    found = against(family)
    assert [found[place].mean for place in (1, 2, 3, 4)] == pytest.approx([0.02, 0.03, -0.04, 0.0001])
    assert [found[place].p_adjusted for place in found] == family.adjusted(family.figures.p()).tolist()
    for difference in found.values():
        assert difference.simultaneous.low < difference.interval.low < difference.interval.high
        assert difference.interval.high < difference.simultaneous.high
        assert difference.p_adjusted >= difference.p


def test_without_a_common_seed_there_is_no_difference_and_no_test() -> None:
    nan, seeds = np.nan, np.array([[3, 3, 0], [3, 3, 0], [0, 0, 1]])
    mean = np.array([[0, -0.03, nan], [0.03, 0, nan], [nan, nan, 0]])
    figures = Figures(mean, np.where(seeds > 1, 1e-4, nan)[None], np.full((1, 3, 3), 5.0), seeds)
    found = against(Family(figures, 0))
    assert list(found) == [1]
    assert found[1].p_adjusted == pytest.approx(found[1].p, abs=0.01)
    assert against(Family(figures, 2)) == {}


def test_the_top_group_leaves_out_what_is_surely_not_the_best() -> None:
    means = [0.60, 0.599, 0.55, 0.3, 0.2]
    assert top_group(paired(means)).tolist() == [True, True, False, False, False]


def test_whoever_is_alone_is_the_top_group_and_equals_all_are() -> None:
    assert top_group(paired([0.5])).tolist() == [True]
    assert top_group(paired([0.5] * 4)).tolist() == [True] * 4


def test_one_better_variant_doesnt_push_others_out_that_nobody_surely_beats() -> None:
    scores, influences = study([0.6, 0.58, 0.5], sd=0.002)
    scores[1] += [0.2, -0.2, 0.1, -0.1, 0.0]
    assert top_group(differences(scores, influences, Prior.none(3))).tolist() == [True, True, False]


def test_the_top_group_is_simes_test_as_hommel_closes_it() -> None:
    generator = np.random.default_rng(5)
    every = paired(list(0.5 + 0.02 * generator.standard_normal(8)), seeds=3)
    expected = []
    for place in range(8):
        others = [other for other in range(8) if other != place]
        p = every.at(place, np.array(others)).p()
        one_sided = np.where(every.mean[place, others] < 0, p / 2, 1.0)
        expected.append(not multipletests(one_sided, 0.05, method="hommel")[0].any())
    assert 1 < sum(expected) < 8
    assert top_group(every).tolist() == expected
