"""The gate of deterministic figures: it repeats, it notices each sabotage, and it says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sabotages
from commands import call

import methods
from bench.errors import UsageError
from bench.gates import budget
from bench.gates.budget import Budget, Difference, Key, Versions
from bench.model import packed

if TYPE_CHECKING:
    from pathlib import Path

    from sabotages import Sabotage

CAUGHT_BY: dict[Sabotage, tuple[str, str]] = {
    sabotages.EXTRA_COPY: ("train", "peak_bytes"),
    sabotages.MORE_LAYERS: ("adapter", "trainable"),
    sabotages.FORGOTTEN_NO_GRAD: ("evaluate", "peak_bytes"),
    sabotages.KV_CACHE: ("evaluate", "peak_bytes"),
}
"""Which figure of LoRA's each must raise."""


@pytest.fixture(scope="module")
def untouched() -> Budget:
    return budget.measure(["lora"])


@pytest.fixture
def frozen_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of budgets, in a project with one method: the others only take time."""
    monkeypatch.setattr(methods, "names", lambda: ["frozen"])
    monkeypatch.setattr(budget, "FILE", tmp_path / "budgets.csv")
    return budget.FILE


@pytest.mark.parametrize("sabotage", CAUGHT_BY, ids=lambda sabotage: sabotage.name)
def test_a_sabotage_is_caught_and_leaves_no_trace(sabotage: Sabotage, untouched: Budget) -> None:
    assert sabotage.gate == "budget"
    with sabotage.applied():
        found = budget.differences(untouched, budget.measure(["lora"]))
    raised = {(each.key.phase, each.key.figure) for each in found if (each.now or 0) > (each.before or 0)}
    assert CAUGHT_BY[sabotage] in raised


def test_the_figures_repeat_to_the_digit_whatever_ran_before(untouched: Budget) -> None:
    with sabotages.MORE_LAYERS.applied():
        assert budget.measure(["lora"]) != untouched
    assert budget.measure(["lora"]) == untouched


def test_both_ways_of_feeding_a_model_are_measured() -> None:
    found = {form: packed.gpt2(budget.adapted(methods.get("lora")(), form).module) for form in budget.FORMS}
    assert found["packed"] is not None
    assert found["padded"] is None


@pytest.mark.parametrize(("figure", "allowed"), [("peak_bytes", 100), ("operators", 0), ("flops", 0), ("trainable", 0)])
def test_a_change_in_either_direction_beyond_what_is_allowed_differs(figure: str, allowed: int) -> None:
    key = Key("lora", "packed", "train", figure)
    for now in (10_000 - allowed, 10_000 + allowed):
        assert budget.differences({key: 10_000}, {key: now}) == []
    for now in (10_000 - allowed - 1, 10_000 + allowed + 1):
        assert budget.differences({key: 10_000}, {key: now}) == [Difference(key, 10_000, now)]


def test_a_new_method_and_one_that_is_gone_differ() -> None:
    old, new = Key("old", "packed", "train", "flops"), Key("new", "packed", "train", "flops")
    assert budget.differences({old: 1}, {new: 2}) == [Difference(new, None, 2), Difference(old, 1, None)]


def test_an_update_keeps_other_versions_and_is_what_the_check_wants(frozen_only: Path) -> None:
    others: dict[Versions, Budget] = {("1.0", "2.0", "3.0"): {Key("lora", "packed", "train", "flops"): 7}}
    budget.write(others, frozen_only)
    written = budget.update(frozen_only)
    assert {each.before for each in written} == {None}
    assert budget.check(frozen_only) == []
    assert budget.read(frozen_only).items() >= others.items()


def test_the_command_shows_before_now_and_what_to_run(
    frozen_only: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget.update(frozen_only)
    figures = budget.read(frozen_only)[budget.versions()]
    key = Key("frozen", "packed", "evaluate", "operators")
    budget.write({budget.versions(): {**figures, key: figures[key] - 100}}, frozen_only)
    assert call(monkeypatch, "budget") == 1
    lines = capsys.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.startswith("frozen"))
    assert row[:6] == [*key, str(figures[key] - 100), str(figures[key])]
    assert row[6] == "+100"
    assert lines[-1] == f"Figures that differ: 1. If that is meant: `{budget.UPDATE}`, and commit budgets.csv."
    assert call(monkeypatch, "budget", "--update") == 0
    assert call(monkeypatch, "budget") == 0


def test_versions_without_a_budget_fail_and_name_the_command(
    frozen_only: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget.write({("1.0", "2.0", "3.0"): {}}, frozen_only)
    assert call(monkeypatch, "budget") == 2
    told = capsys.readouterr().err
    assert f"torch {budget.versions()[0]}" in told
    assert budget.UPDATE in told


@pytest.mark.parametrize("content", ["", "torch,transformers\n1,2\n", "a,b\n\x00"])
def test_a_file_of_something_else_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "budgets.csv"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"budgets\.csv"):
        budget.check(file)
