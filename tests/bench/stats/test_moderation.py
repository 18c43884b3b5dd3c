"""What variants share of the chance in seeds, held against what their scores were drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.stats

from bench.stats.intervals import differences, of_pairs, singly
from bench.stats.jackknife import Sample
from bench.stats.moderation import Prior, fit, learn

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLUSTERS = 50


def scores(
    variants: int, seeds: int, sd: float | NDArray[Any] = 1.0, common: float = 0.0, salt: int = 0
) -> NDArray[Any]:
    """Scores [variants, seeds] around 0 with these standard deviations over seeds, and what a seed does to all."""
    generator = np.random.default_rng(salt)
    own = generator.standard_normal((variants, seeds)) * np.reshape(sd, (-1, 1))
    return np.asarray(own + common * generator.standard_normal(seeds))


def every(values: NDArray[Any]) -> NDArray[Any]:
    return np.ones(values.shape[:-1], dtype=bool)


def without_test(values: NDArray[Any]) -> NDArray[Any]:
    """Influences of test examples that all do the same to every run."""
    return np.zeros((*values.shape, CLUSTERS))


def test_variants_alike_know_their_common_variance_and_each_is_drawn_towards_it() -> None:
    values = scores(60, 3)
    prior = fit(values, every(values))
    assert prior.variance == pytest.approx(1.0, rel=0.2)
    assert np.all(prior.degrees == prior.degrees[0])
    assert prior.degrees[0] > 8
    moderated = singly(values, without_test(values), prior).variance * 3
    own = values.var(axis=1, ddof=1)
    assert moderated.max() < 2 < own.max()
    assert np.all((moderated - own) * (prior.variance - own) > 0)


def test_the_scale_is_limmas_for_the_degrees_of_freedom_that_it_is_worth() -> None:
    values = scores(40, 4)
    prior = fit(values, every(values))
    residuals = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    degrees = 3 * (1 - 1 / 40)
    logs = np.log((residuals**2).sum(axis=1) / degrees)
    expected = logs.mean() - scipy.special.psi(degrees / 2) + np.log(degrees / 2)
    d0 = prior.degrees[0]
    assert prior.variance == pytest.approx(np.exp(expected + scipy.special.psi(d0 / 2) - np.log(d0 / 2)))


def test_the_more_the_variances_differ_the_less_the_others_tell() -> None:
    spread = np.random.default_rng(4).standard_normal(60)
    worth = [fit(found, every(found)).degrees.max() for f in (1, 2, 4) for found in [scores(60, 4, float(f) ** spread)]]
    assert worth[0] > 3 * worth[1]
    assert worth[1] > worth[2]
    assert worth[2] < 3


def test_what_spreads_far_more_keeps_its_own_and_makes_the_others_cautious() -> None:
    usual = scores(30, 3)
    odd = np.concatenate([usual, [[0.0, 20.0, -20.0]]])
    prior, without = fit(odd, every(odd)), fit(usual, every(usual))
    assert np.flatnonzero(prior.degrees == 0).tolist() == [30]
    assert prior.variance == pytest.approx(without.variance, rel=0.4)
    assert prior.degrees[0] < without.degrees[0]
    found = singly(odd, without_test(odd), prior).at(slice(30, 31))
    expected = scipy.stats.ttest_1samp(odd[30], 0.0).confidence_interval()
    assert found.half_width()[0] == pytest.approx((expected.high - expected.low) / 2)


def test_what_never_varies_or_has_learnt_nothing_has_no_say_and_keeps_its_own() -> None:
    values = np.concatenate([scores(20, 3), np.zeros((3, 3)), 0.01 * scores(10, 3)])
    able = np.arange(33) < 23
    prior, alone = fit(values, able), fit(values[:20], able[:20])
    assert prior.variance == pytest.approx(alone.variance)
    assert prior.degrees[:20] == pytest.approx(alone.degrees)
    assert not prior.degrees[20:].any()


@pytest.mark.parametrize("variants", [1, 2, 3])
def test_two_or_three_variants_have_nothing_to_share(variants: int) -> None:
    values = scores(variants, 5)
    prior = fit(values, every(values))
    assert not prior.degrees.any()
    found = differences(values, without_test(values), prior).at(slice(1, None), 0)
    direct = scipy.stats.ttest_rel(values[1:], values[:1], axis=1)
    assert found.p() == pytest.approx(direct.pvalue, rel=1e-4)


def test_nothing_is_learnt_from_one_seed() -> None:
    values = scores(20, 1)
    assert not fit(values, every(values)).degrees.any()


def test_what_a_seed_does_to_all_is_told_apart_and_cancels_out_of_differences_only() -> None:
    values = scores(50, 6, sd=1.0, common=5.0)
    prior = fit(values, every(values))
    of_seeds = values.mean(axis=0).var(ddof=1)
    assert prior.common == pytest.approx(of_seeds, rel=0.05)
    assert prior.variance == pytest.approx(1.0, rel=0.2)
    pairs = differences(values, without_test(values), prior)
    assert pairs.half_width()[1, 0] == pytest.approx(1.96 * (2 / 6) ** 0.5, rel=0.4)
    [single] = singly(values, without_test(values), prior).at(slice(0, 1)).half_width()
    assert single == pytest.approx(scipy.stats.t.ppf(0.975, 5) * (of_seeds / 6) ** 0.5, rel=0.2)


def test_a_seed_that_a_variant_lacks_is_no_obstacle() -> None:
    values = scores(20, 4, common=3.0)
    samples = [Sample((0, 1, 2, 3), row, np.zeros((4, CLUSTERS))) for row in values]
    samples[5] = Sample((0, 2, 3), values[5, [0, 2, 3]], np.zeros((3, CLUSTERS)))
    whole, some = fit(values, every(values)), learn(samples, every(values))
    assert some.variance == pytest.approx(whole.variance, rel=0.1)
    assert some.common == pytest.approx(whole.common, rel=0.1)
    assert some.degrees[5] == some.degrees[0] > 0
    found = of_pairs(samples, some)
    assert found.degrees[0, 5, 0] == pytest.approx(some.degrees[0] + 2, abs=1)
    assert found.half_width()[5, 0] == pytest.approx(found.half_width()[4, 0], rel=0.5)


def test_many_studies_at_once_are_each_by_itself() -> None:
    values = np.stack([scores(12, 3, sd=sd, salt=salt) for salt, sd in enumerate((1.0, 3.0))])
    both, second = fit(values, every(values)), fit(values[1], every(values[1]))
    assert both.variance[1] == pytest.approx(second.variance)
    assert both.degrees[1] == pytest.approx(second.degrees)


def test_a_pair_of_which_one_keeps_its_own_is_known_as_well_as_the_one_that_varies_more() -> None:
    values = np.concatenate([scores(40, 3), np.zeros((1, 3)), 50 * scores(1, 3, salt=9)])
    prior = fit(values, every(values))
    degrees = differences(values, without_test(values), prior).degrees[0]
    usual = degrees[0, 1]
    assert usual == pytest.approx(2 + prior.degrees[0])
    assert degrees[0, 40] == pytest.approx(usual)
    assert degrees[0, 41] == pytest.approx(2, abs=0.1)
    assert Prior.none(2).degrees.tolist() == [0, 0]
