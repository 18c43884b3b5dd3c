from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from bench.stats.families import Family, holm
from bench.stats.intervals import Figures


def equicorrelated(others: int, reference: float = 1.0, degrees: float = 1e6) -> Figures:
    """Differences of independent variants, each with variance 1; `reference` is that of the first."""
    own = np.array([reference, *[1.0] * others])
    variance = own[:, None] + own[None, :]
    every = np.full(variance.shape, degrees)
    return Figures(np.zeros(variance.shape), variance[None], every[None], np.full(variance.shape, 3))


def test_holm_is_what_statsmodels_makes_of_it() -> None:
    generator = np.random.default_rng(3)
    for p in (np.array([0.02]), np.array([0.01, 0.01, 1.0]), generator.random(200) ** 3):
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_one_comparison_is_tested_at_the_level_itself() -> None:
    family = Family(equicorrelated(1), 0)
    assert family.level == pytest.approx(0.05, abs=0.005)
    assert family.adjusted(np.array([0.03])).tolist() == [0.03]


@pytest.mark.parametrize("others", [4, 8])
def test_the_level_is_dunnetts(others: int) -> None:
    rng = np.random.default_rng(1)
    samples = [rng.standard_normal(20_000) for _ in range(others)]
    dunnett = scipy.stats.dunnett(*samples, control=rng.standard_normal(20_000), rng=2)
    found = Family(equicorrelated(others), 0).adjusted(2 * scipy.stats.norm.sf(np.abs(dunnett.statistic)))
    assert found.min() == pytest.approx(1.25 * dunnett.pvalue.min(), abs=0.025)
    assert 0.05 / others <= Family(equicorrelated(others), 0).level < 0.05


def test_the_more_the_differences_have_in_common_the_less_is_paid_for_their_number() -> None:
    levels = [Family(equicorrelated(20, variance), 0).level for variance in (0.0, 1.0, 100.0)]
    assert levels[0] == 0.05 / 20
    assert levels[0] < levels[1] < levels[2] < 0.05


def test_with_few_degrees_of_freedom_it_is_holm() -> None:
    family, p = Family(equicorrelated(6, 100.0, degrees=4.0), 0), np.array([0.2, 0.004, 0.03, 0.9, 0.01, 0.5])
    assert not family.max_t
    assert family.level == 0.05 / 6
    assert family.adjusted(p).tolist() == holm(p).tolist()


def test_adjusted_p_are_at_most_holms_and_in_the_order_of_p() -> None:
    p = np.array([1e-9, 0.2, 0.004, 0.03, 0.9, 0.004])
    found = Family(equicorrelated(6), 0).adjusted(p)
    assert np.all(found <= holm(p))
    assert np.all(found >= p - 0.01)
    assert np.all(np.diff(found[np.argsort(p, kind="stable")]) >= 0)
    assert found[0] == pytest.approx(6e-9)


def test_variances_that_no_covariances_could_have_are_still_a_family() -> None:
    figures = equicorrelated(3)
    figures.variances[0, 1, 2] = figures.variances[0, 2, 1] = 9.0
    figures.variances[0, 0, 3] = figures.variances[0, 3, 0] = 0.0
    assert 0.05 / 3 <= Family(figures, 0).level < 0.05
