from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.power import TTestPower

from bench.stats import jackknife
from bench.stats.intervals import Figures, differences, of_each, of_pairs, singly
from bench.stats.moderation import Prior
from bench.stats.outcomes import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = np.arange(240)
"""Each example its own cluster."""


def outcomes(seeds: tuple[int, ...] = (0, 1, 2), accuracy: float = 0.6, salt: int = 0) -> Outcomes:
    """Three styles; what is hard for one seed is mostly hard for the others."""
    generator = np.random.default_rng(salt)
    labels = generator.integers(0, 3, len(EXAMPLES))
    hard = generator.random(len(EXAMPLES)) + 0.2 * generator.standard_normal((9, len(EXAMPLES)))
    predictions = np.where(hard < accuracy, labels, (labels + 1) % 3)[list(seeds)]
    return Outcomes(seeds, ("ann", "bob", "cat"), labels, predictions, None)


def figures(mean: float, seed: float, test: float, seeds: int = 3, clusters: int = 40) -> Figures:
    degrees = np.array([[seeds - 1.0], [clusters - 1.0]])
    return Figures(np.array([mean]), np.array([[seed], [test]]), degrees, np.array([seeds]))


def one(values: NDArray[Any]) -> float:
    [value] = values.tolist()
    return float(value)


def test_one_seeds_accuracy_is_the_mean_of_the_examples() -> None:
    found = outcomes((4,))
    [interval] = of_each([jackknife.accuracy(found, EXAMPLES)], Prior.none(1)).intervals()
    expected = scipy.stats.ttest_1samp(found.right[0].astype(float), 0.5).confidence_interval()
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_one_seeds_difference_is_the_paired_t_test_over_examples() -> None:
    first, second = outcomes((0,), 0.6), outcomes((0,), 0.7, salt=1)
    pair = of_pairs([jackknife.accuracy(found, EXAMPLES) for found in (first, second)], Prior.none(2)).at(
        slice(0, 1), 1
    )
    expected = scipy.stats.ttest_rel(first.right[0].astype(float), second.right[0].astype(float))
    assert one(pair.p()) == pytest.approx(expected.pvalue, rel=1e-4)
    [interval] = pair.intervals()
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_documents_of_one_size_give_the_cluster_robust_variance_of_least_squares() -> None:
    found, documents = outcomes((0,)), EXAMPLES // 8
    fit = sm.OLS(found.right[0].astype(float), np.ones(len(documents))).fit(
        cov_type="cluster", cov_kwds={"groups": documents}
    )
    clustered = of_each([jackknife.accuracy(found, documents)], Prior.none(1))
    assert one(clustered.variance) == pytest.approx(float(fit.bse[0]) ** 2)


def test_where_only_seeds_differ_it_is_the_t_test_over_seeds() -> None:
    scores = np.array([0.5, 0.53, 0.49, 0.56])
    of_seeds = singly(scores[None], np.zeros((1, 4, 40)), Prior.none(1))
    expected = scipy.stats.ttest_1samp(scores, 0.0).confidence_interval()
    assert one(of_seeds.half_width()) == pytest.approx((expected.high - expected.low) / 2)


def test_the_variances_add_to_the_two_way_analysis_of_variances() -> None:
    right = outcomes((0, 1, 2, 3)).right
    seeds, examples = np.indices(right.shape)
    frame = pd.DataFrame({"right": right.ravel().astype(float), "seed": seeds.ravel(), "example": examples.ravel()})
    squares = anova_lm(sm.OLS.from_formula("right ~ C(seed) + C(example)", frame).fit())["mean_sq"]
    expected = (squares["C(seed)"] + squares["C(example)"] - squares["Residual"]) / right.size
    found = of_each([jackknife.accuracy(outcomes((0, 1, 2, 3)), EXAMPLES)], Prior.none(1))
    assert one(found.variances[:-1].sum(axis=0)) == pytest.approx(squares["C(seed)"] / right.size)
    assert one(found.variance) == pytest.approx(expected)


def test_differences_from_covariances_are_those_of_the_differences_themselves() -> None:
    samples = [jackknife.accuracy(outcomes(salt=salt, accuracy=0.5 + salt / 9), EXAMPLES // 4) for salt in range(3)]
    every = of_pairs(samples, Prior.none(3))
    scores, influences = samples[2].scores - samples[0].scores, samples[2].influences - samples[0].influences
    direct = singly(scores[None], influences[None], Prior.none(1)).at(0)
    assert every.mean[2, 0] == pytest.approx(direct.mean)
    assert every.variances[:, 2, 0] == pytest.approx(direct.variances[1:])


def test_a_difference_is_over_the_seeds_that_both_have() -> None:
    samples = [jackknife.accuracy(outcomes(seeds), EXAMPLES) for seeds in ((0, 1, 2), (1, 2, 5), (7,))]
    every = of_pairs(samples, Prior.none(3))
    scores, influences = zip(*(sample.at((1, 2)) for sample in samples[:2]), strict=True)
    shared = differences(np.stack(scores), np.stack(influences), Prior.none(2))
    assert every.seeds.tolist() == [[3, 2, 0], [2, 3, 0], [0, 0, 1]]
    assert every.half_width()[0, 1] == pytest.approx(shared.half_width()[0, 1])
    assert every.at(0).intervals()[2] is None
    assert every.at(0).p()[2] == 1


@settings(deadline=None)
@given(st.floats(1e-3, 0.2), st.floats(0, 1e-3), st.floats(1e-8, 1e-3), st.integers(1, 5), st.integers(2, 800))
def test_the_interval_at_the_level_p_just_reaches_0(
    mean: float, seed: float, test: float, seeds: int, clusters: int
) -> None:
    found = figures(mean, seed, test, seeds, clusters)
    p = one(found.p())
    assert (p < 0.05) == (one(found.half_width()) < mean)
    if p > 1e-14:
        assert one(found.half_width(p)) == pytest.approx(mean, rel=1e-4)


def test_no_difference_has_p_1_and_one_without_any_variance_the_smallest() -> None:
    assert one(figures(0.0, 0.0, 0.0).p()) == 1
    assert one(figures(0.1, 0.0, 0.0).p()) == 1e-15


def test_intervals_are_cut_to_what_can_be() -> None:
    [interval] = figures(0.99, 0.01, 0.01).intervals(within=(0, 1))
    assert interval is not None
    assert interval.high == 1


@pytest.mark.parametrize(("seed", "test", "degrees"), [(1e-4, 0.0, 4), (0.0, 1e-4, 39)])
def test_the_detectable_difference_of_one_source_is_that_of_a_t_test(seed: float, test: float, degrees: int) -> None:
    effect = TTestPower().solve_power(nobs=degrees + 1, alpha=0.05 / 3, power=0.8)
    found = one(figures(0.0, seed, test, seeds=5).detectable(0.05 / 3))
    assert found == pytest.approx(0.01 * effect * (degrees + 1) ** 0.5, rel=1e-4)


def test_with_one_seed_the_detectable_difference_is_given_this_seed() -> None:
    assert one(figures(0.0, 0.0, 1e-4, seeds=1).detectable()) == one(figures(0.0, 0.0, 1e-4).detectable())
