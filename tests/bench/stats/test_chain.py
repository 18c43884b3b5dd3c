"""Groups that are told apart: the longest chain of variants of which each is better than the next."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from record_factory import Variant, build_store, head, lora, make_trial

from bench import stats
from bench.stats.chain import told_apart
from bench.stats.intervals import Figures
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

SD = 0.01
FAR = 0.1


def _figures(means: list[float], sd: float = SD) -> Figures:
    """The figures of all differences, each with the same standard error, known well."""
    mean = np.subtract.outer(means, means)
    return Figures(mean, np.full((2, *mean.shape), sd**2 / 2), np.full((2, *mean.shape), 100.0), np.full(mean.shape, 5))


def test_variants_far_apart_are_a_chain_and_close_ones_share_a_link() -> None:
    found = told_apart(_figures([0.6, 0.59, 0.5, 0.495, 0.4]), [3, 4, 5, 6, 9])
    assert found is not None
    assert found.places == (3, 5, 9)
    assert found.members == (3, 4, 5, 6, 9)
    assert found.differences == 10


def test_a_chain_may_leave_out_the_best() -> None:
    unsure = _figures([0.52, 0.51, 0.47, 0.42])
    unsure.variances[:, 0, :] = unsure.variances[:, :, 0] = 1.0
    found = told_apart(unsure, range(4))
    assert found is not None
    assert found.places == (1, 2, 3)


def test_the_more_variants_the_further_apart_they_must_be() -> None:
    near = 3.2 * SD
    three = told_apart(_figures([0.5, 0.5 - near, 0.1]), range(3))
    many = told_apart(_figures([0.5, 0.5 - near, *[0.1] * 60]), range(62))
    assert three is not None
    assert many is not None
    assert (len(three.places), len(many.places)) == (3, 2)


def test_what_is_surely_different_by_less_than_a_point_is_no_group() -> None:
    found = told_apart(_figures([0.5, 0.495, 0.1], sd=0.0002), range(3))
    assert found is not None
    assert found.places == (0, 2)


def test_groups_above_a_floor_are_counted_by_themselves() -> None:
    found = told_apart(_figures([0.6, 0.5, 0.4, 0.3, 0.2]), range(5), floor=2)
    assert found is not None
    assert (found.places, found.above) == ((0, 1, 2, 3, 4), (0, 1))
    assert told_apart(_figures([0.6, 0.5]), range(2)) is None


RATES = [1e-3, *np.geomspace(1e-5, 1e-2, 9).tolist()]
STEADY = [0.30, *[0.38] * 9]
SHAKY = [0.30, 0.70, *[0.31] * 8]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tuned methods far apart, ten trials each, beside their defaults."""
    folder = tmp_path_factory.mktemp("tuned")
    worth = {"head": 0.5, "ia3": 0.7, "prefix": 0.3}
    chosen = [Variant(name, {"learning_rate": RATES[1]}, accuracy) for name, accuracy in worth.items()]
    default = [Variant(name, {"learning_rate": RATES[0]}, accuracy - FAR) for name, accuracy in worth.items()]
    build_store(folder, [*chosen, *default, lora(8, 0.1)], seeds=(1, 2, 3))
    return folder


def _searched(folder: Path, scores: list[float]) -> stats.Analysis:
    for name in ("head", "ia3", "prefix"):
        for number, score in enumerate(scores):
            Store(folder).put(make_trial(Variant(name, {"learning_rate": RATES[number]}), number, [score]))
    [compared] = stats.comparisons(Store(folder).read().records)
    return stats.analyse(compared, folder)


def test_tuned_methods_are_told_apart_by_their_chosen_settings_with_the_search_counted(tuned: Path) -> None:
    found = _searched(tuned, STEADY)
    methods = [summary.method for summary in found.comparison.summaries]
    assert found.chain is not None
    assert found.tuned_chain is not None
    assert found.searched_chain == found.tuned_chain
    assert len(found.chain.members) == 7
    assert [methods[place] for place in found.tuned_chain.places] == ["ia3", "head", "prefix"]
    assert found.tuned_chain.above == found.tuned_chain.places[:1]
    means = [found.comparison.summaries[place].accuracy for place in found.chain.places]
    assert all(one and other and one.mean > other.mean for one, other in pairwise(means))
    shaky = _searched(tuned, SHAKY)
    assert shaky.chain == found.chain
    assert shaky.tuned_chain == found.tuned_chain
    assert shaky.searched_chain is not None
    assert len(shaky.searched_chain.places) == 1


def test_too_few_predictions_make_no_chain(tmp_path: Path) -> None:
    build_store(tmp_path, [head(1e-3), lora(8, 0.4)], seeds=(1, 2))
    [compared] = stats.comparisons(Store(tmp_path).read().records)
    assert stats.analyse(compared, tmp_path).chain is None
