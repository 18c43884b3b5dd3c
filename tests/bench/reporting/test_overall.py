"""What a report says over all tasks, before the section of each."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from record_factory import DEMO, Variant, build_store

from bench import stats
from bench.reporting import comparison, markdown, page, report
from bench.reporting.document import analyses
from bench.reporting.overall import label
from bench.reporting.plots import profile
from bench.store.files import Contents, Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.stats import Overall

FROZEN, HEAD, _, LORA, _, IA3, PREFIX = DEMO
LEARNING = (HEAD, LORA, replace(IA3, accuracy=0.6), PREFIX)
LAST = (replace(HEAD, accuracy=0.6), LORA, replace(IA3, accuracy=0.2), PREFIX)
"""On the last task the method that is best elsewhere is by far the worst."""


def _add(folder: Path, number: int, variants: Sequence[Variant], seeds: tuple[int, ...] = (0, 1)) -> None:
    told = {"data.fingerprint": f"feed{number}", "data.name": f"task-{number}", "backbone.source": "hub"}
    build_store(folder, variants, seeds, {**told, "created_at": f"2025-03-0{number + 1}T10:00:00+00:00"})


def _read(folder: Path) -> Contents:
    return Store(folder).read()


def _over(text: str) -> str:
    return re.split(r"\n## ", text)[1]


def _row(text: str, start: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {start} ")][:1]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tasks; one method was run on the first alone."""
    folder = tmp_path_factory.mktemp("tasks")
    for number in range(3):
        _add(folder, number, LEARNING)
    _add(folder, 3, LAST)
    _add(folder, 0, [FROZEN])
    return folder


@pytest.fixture(scope="module")
def text(store: Path) -> str:
    return markdown.render(report(_read(store), store))


@pytest.fixture(scope="module")
def over(store: Path) -> Overall:
    found = stats.over_tasks(analyses(_read(store).records, store))
    assert found is not None
    return found


def test_what_holds_over_all_stands_before_the_section_of_each_task(text: str) -> None:
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    assert titles[0] == "Over all 4 tasks"
    assert re.findall(r"task-\d", " ".join(titles[1:])) == [f"task-{i}" for i in (3, 2, 1, 0)]


def test_a_store_of_one_task_has_no_such_section(tmp_path: Path) -> None:
    _add(tmp_path, 0, LEARNING)
    assert "Over all" not in markdown.render(report(_read(tmp_path), tmp_path))


def test_it_says_who_is_best_and_how_sure_that_is(text: str) -> None:
    top = _over(text).split("| Method")[0]
    assert "**ia3 has the best mean rank over all 4 tasks, 1.75 (95% interval 1.00–" in top
    assert "it can't be told from any other." in top  # four tasks never show a difference between two methods
    assert "> **Four tasks say little.**" in top


def test_the_ranking_has_ranks_wins_normalised_accuracy_and_costs(text: str) -> None:
    head = _row(_over(text), "Method")
    row = dict(zip(head, _row(_over(text), "ia3"), strict=True))
    assert row["Mean rank"].startswith("1.75 (1.00–")
    assert row["Tasks won"].startswith("75.0% (")
    assert row["Among the best"] == "3 of 4"
    assert row["Train time"].endswith("×")
    cheapest = dict(zip(head, _row(_over(text), "head"), strict=True))
    assert cheapest["Train time"] == cheapest["Live tensors"] == "1.00×"


def test_tasks_that_disagree_are_named(text: str) -> None:
    said = _over(text)
    assert "`ia3` is shown to be worse than the best on task-3." in said
    assert "rather the reverse of the other tasks' on task-3." in said
    task = dict(zip(_row(said, "Task"), _row(said, "task-3"), strict=True))
    assert task["Agreement"].startswith("−")
    assert task["head"].endswith("●")
    assert not task["ia3"].endswith("●")


def test_a_method_that_lacks_a_task_is_named_and_not_ranked(text: str) -> None:
    said = _over(text)
    assert "1 method isn&#x27;t ranked" in said
    assert _row(said, "frozen") == ["frozen", "task-3, task-2 and task-1"]


def test_two_tasks_say_little_and_six_are_no_longer_warned_of(tmp_path: Path) -> None:
    for number in range(6):
        _add(tmp_path, number, LEARNING[:2], (0,))
        if number == 1:
            assert "**Two tasks say little.**" in markdown.render(report(_read(tmp_path)))
    said = _over(markdown.render(report(_read(tmp_path))))
    assert "say little" not in said
    assert "it is shown to be better than every other method" in said


def test_without_a_method_that_all_tasks_have_nothing_is_ranked(tmp_path: Path) -> None:
    _add(tmp_path, 0, [HEAD])
    _add(tmp_path, 1, [IA3])
    said = _over(markdown.render(report(_read(tmp_path), tmp_path)))
    assert "No method has a result on every task." in said
    assert "2 methods aren&#x27;t ranked" in said


def test_settings_that_differ_between_tasks_are_said(tmp_path: Path) -> None:
    _add(tmp_path, 0, [HEAD, IA3])
    _add(tmp_path, 1, [HEAD, replace(IA3, hyperparameters={**IA3.hyperparameters, "learning_rate": 0.5})])
    said = _over(markdown.render(report(_read(tmp_path), tmp_path)))
    assert "other settings of these methods differ: ia3 (learning rate)." in said


def test_the_ranking_is_on_the_terminal_and_in_the_table_formats_too(store: Path) -> None:
    name, table = comparison(_read(store).records)[-1]
    assert name == "Over all 4 tasks"
    assert table.rows[0].cells[0].value == "ia3"


def test_performance_profiles_are_drawn_alike_each_time_and_can_be_pointed_at(over: Overall, store: Path) -> None:
    names = [label(contender) for contender in over.contenders]
    picture = profile.picture(over, names)
    assert picture is not None
    assert picture.draw("outlines") == profile.picture(over, names).draw("outlines")  # type: ignore[union-attr]
    assert ElementTree.fromstring(picture.draw("outlines")).tag.endswith("svg")
    data = json.loads(picture.interactive or "")["data"]
    lines = {trace["name"]: trace for trace in data if trace["mode"] == "lines"}
    assert set(lines) == set(names)
    assert lines["ia3"]["y"][100] == 37.5  # on three of four tasks it is best, and one of its two runs above its mean
    assert "at least 100% in 37.5% of runs" in lines["ia3"]["hovertext"][100]
    assert b"Performance profiles over all tasks" in page.render(report(_read(store), store, pictures=True))
