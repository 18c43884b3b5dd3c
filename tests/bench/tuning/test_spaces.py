"""What is searched, and with which points."""

from __future__ import annotations

import math
from collections import Counter

import pytest

import methods
from bench.errors import UsageError
from bench.spec import Variant
from bench.tuning.points import point
from bench.tuning.spaces import spaces
from methods.spaces import Range


def _default(name: str) -> Variant:
    return Variant(method=name, hyperparameters=methods.get(name)().hyperparameters())


def test_the_learning_rate_has_three_decades_around_its_default_for_every_method() -> None:
    for name in methods.names():
        rate, space = methods.get(name)().learning_rate, methods.get(name).space()
        if not rate:
            assert "learning_rate" not in space
            continue
        found = space["learning_rate"]
        assert found.log
        assert found.high / found.low == pytest.approx(1000, rel=1e-3)
        assert found.high == 1 or math.sqrt(found.low * found.high) == pytest.approx(rate, rel=1e-3)


def test_points_fill_the_space_are_valid_and_do_not_depend_on_how_many_there_are() -> None:
    space = spaces(["lora"], [])["lora"]
    default = _default("lora")
    points = [point("lora", space, 0, trial, default) for trial in range(17)]
    assert points[0] == default
    assert point("lora", space, 0, 9, default) == points[9]
    rates = [space["learning_rate"].share(found.hyperparameters["learning_rate"]) for found in points[1:]]
    assert Counter(int(16 * share) for share in rates) == Counter(range(16))  # one in each sixteenth of the range
    assert all(isinstance(found.hyperparameters["alpha"], int) for found in points)
    assert {8 <= found.hyperparameters["alpha"] <= 128 for found in points} == {True}
    assert all(found.hyperparameters["r"] == default.hyperparameters["r"] for found in points)


def test_points_stay_the_same_in_later_versions() -> None:
    """Else a search that is made longer would not go on with the points that it has."""
    space = {"learning_rate": Range(1e-5, 1e-2)}
    points = [point("head", space, 0, trial, _default("head")) for trial in (1, 2, 3)]
    assert [found.hyperparameters["learning_rate"] for found in points] == [0.00338, 0.0001135, 3.254e-05]


def test_methods_and_search_seeds_have_points_of_their_own() -> None:
    space = {"learning_rate": Range(1e-5, 1e-2)}
    asked = [("head", 0), ("head", 1), ("full", 0)]
    firsts = [point(name, space, seed, 1, _default(name)).hyperparameters["learning_rate"] for name, seed in asked]
    assert len(set(firsts)) == 3


def test_what_has_nothing_to_search_is_tried_at_its_default() -> None:
    assert spaces(["frozen"], [])["frozen"] == {}
    assert point("frozen", {}, 0, 5, _default("frozen")) == _default("frozen")


def test_a_space_can_be_changed() -> None:
    changed = spaces(["lora", "head"], ["lora.r=2..16", "head.learning_rate=0.001..0.1"])
    assert list(changed["lora"]) == ["learning_rate", "alpha", "r"]
    assert (changed["lora"]["r"].low, changed["lora"]["r"].high, changed["lora"]["r"].log) == (2, 16, False)
    assert changed["head"]["learning_rate"].log  # a rate always is


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lora.alpha", "expected METHOD.FIELD=LOW..HIGH"),
        ("lora.alpha=8", "expected METHOD.FIELD=LOW..HIGH"),
        ("lora.alpha=8..16:cube", "expected METHOD.FIELD=LOW..HIGH"),
        ("lora.alpha=a..16", "'a' isn't a number"),
        ("lora.alpha=8..inf", "isn't a finite number"),
        ("lora.alpha=16..8", "16 isn't below 8"),
        ("lora.alpha=8.5..16", "takes whole numbers"),
        ("lora.dropout=0..0.5:log", "begins above 0"),
        ("lora.learning_rate=0.1..3", "learning_rate=3.0 isn't allowed"),
        ("lora.alhpa=8..16", "did you mean 'alpha'"),
        ("lora.targets=1..2", "isn't a number"),
        ("boft.boft_block_size=2..8", "depends on the backbone's layers"),
        ("frozen.learning_rate=1e-4..1e-2", "no learning rate to search"),
        ("ia3.learning_rate=1e-4..1e-2", "isn't among --methods"),
    ],
)
def test_what_is_no_space_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match="--space") as refused:
        spaces(["lora", "boft", "frozen"], [text])
    assert said in str(refused.value)


def test_no_more_than_two_fields_beside_the_learning_rate() -> None:
    with pytest.raises(UsageError, match=r"alpha, r, dropout searched .* at most 2"):
        spaces(["lora"], ["lora.r=2..16", "lora.dropout=0..0.5"])
