"""What a report says of searches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects
import pytest
from record_factory import DEMO, Variant, build_store, head, make_trial

from bench.reporting import markdown, page, report, words
from bench.reporting.model import Picture, Section
from bench.stats.chain import Chain
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RATES = [1e-3, *(float(f"{rate:.4g}") for rate in np.geomspace(1e-5, 1e-2, 9))]
SCORES = [0.35, 0.20, 0.28, 0.31, 0.30, 0.36, 0.38, 0.37, 0.33, None]
BEST = RATES[6]


def _search(folder: Path, scores: Sequence[float | None], seed: int = 0) -> None:
    for number, score in enumerate(scores):
        Store(folder).put(make_trial(head(RATES[number]), number, [] if score is None else [score], seed))
    Store(folder).put(make_trial(DEMO[0], 0, [0.07], seed))


def _tuned(section: Section) -> str:
    return markdown.render(next(below for below in section.sections if below.title == "Tuned settings"))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Section:
    """A search of `head` with nine trials, and what it chose trained anew beside the demo study."""
    folder = tmp_path_factory.mktemp("searched")
    build_store(folder, [*DEMO, head(BEST, 0.44)], seeds=(1, 2, 3))
    _search(folder, SCORES)
    return report(Store(folder).read(), folder, pictures=True)


def test_the_tuned_stand_beside_the_default_with_the_gain(rendered: Section) -> None:
    said = _tuned(rendered)
    assert "the default and 9 other settings" in said
    assert "Nothing is searched for frozen." in said
    [row] = [line for line in said.splitlines() if line.startswith("| head") and "learning_rate=" in line]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:4] == ["head", "9", "10.0%", f"learning_rate={BEST:g}"]
    assert cells[4] == "38.0%"
    assert " to " in cells[6]
    assert "in the search: another search would have chosen something else" in said


def test_a_smaller_budget_has_a_table_and_both_pictures_are_on_the_page(rendered: Section) -> None:
    said = _tuned(rendered)
    assert "| Method | Default | and 1 | and 2 | and 4 | and 8 | Seconds a trial |" in said
    assert "Chosen: head 38.0% at" in said
    assert "search-rates.svg" in said
    assert "search-budget.svg" in said
    html = page.render(rendered).decode()
    assert "Tuned settings" in html
    assert "Validation accuracy against the learning rate, all trials" in html


def test_without_times_the_budget_is_counted_in_trials_alone(tmp_path: Path) -> None:
    for number, score in enumerate(SCORES):
        trial = make_trial(head(RATES[number]), number, [] if score is None else [score])
        Store(tmp_path).put(trial.model_copy(update={"speed": None, "memory": None}))
    rendered = report(Store(tmp_path).read(), tmp_path, pictures=True)
    assert _tuned(rendered).split("Seconds a trial |\n")[1].splitlines()[1].endswith(" – |")
    [by_trials] = _figure(_pictures(rendered)["search-budget"])["data"]
    assert by_trials["hovertext"][0] == "<b>head</b><br>the default: 35.0% expected"


def test_no_trial_is_in_the_comparison(rendered: Section) -> None:
    whole = markdown.render(rendered)
    assert "All 24 runs have a result." in whole
    assert "learning_rate=1e-05" not in whole


def test_few_trials_an_edge_and_what_is_not_trained_anew_are_warned_of(tmp_path: Path) -> None:
    build_store(tmp_path, DEMO, seeds=(1, 2, 3))
    _search(tmp_path, [0.3, 0.2, 0.25, 0.4])
    said = _tuned(report(Store(tmp_path).read(), tmp_path))
    assert "Fewer than 8 trials are too few" in said
    assert "What was chosen isn't trained anew yet** for head" in said
    assert "an edge" not in said
    _search(tmp_path, [0.3, 0.2, 0.25, 0.4, 0.1, 0.1, 0.1, 0.5], seed=9)
    said = _tuned(report(Store(tmp_path).read(), tmp_path))
    assert "Not all methods had as many trials" in said
    assert "Nothing is searched for frozen." in said
    assert "the best lies at an edge of what was tried**: head (largest learning_rate)" in said


def test_a_store_of_trials_alone_is_a_report(tmp_path: Path) -> None:
    _search(tmp_path, SCORES)
    said = markdown.render(report(Store(tmp_path).read(), tmp_path, pictures=True))
    assert "Tuned settings" in said
    assert "isn't trained anew yet" in said
    assert "**No run is tested yet.**" in said
    assert "has a result" not in said


def test_verdicts_of_a_tuned_store_say_that_they_are_given_the_choice_and_by_how_much_that_is_too_narrow(
    rendered: Section,
) -> None:
    judged = {below.title: markdown.render(below) for below in rendered.sections}
    for title in ("Groups that are told apart", "Paired differences"):
        assert "These verdicts are given the settings that were chosen." in judged[title]
        assert " times as wide" in judged[title]
    assert "groups of variants are told apart:** " in judged["Groups that are told apart"]


@pytest.mark.parametrize(
    ("above", "told"),
    [
        ((0, 1), "whose mean is above that of `m2`, there are 2: `m0` > `m1`."),
        ((0,), "above that of `m2`, no two are."),
    ],
)
def test_groups_above_head_are_told_and_that_there_are_none(above: tuple[int, ...], told: str) -> None:
    found = Chain(members=(0, 1, 2, 3), places=(0, 3), floor=2, above=above)
    said = markdown.render(Section("", (words.chain(found, "m{}".format, "variants", "given the settings"),)))
    assert told in said.replace("&gt;", ">")


def test_nothing_is_told_of_groups_above_head_where_fewer_than_two_are() -> None:
    found = Chain(members=(0, 1, 2, 3), places=(0, 3), floor=1, above=(0,))
    said = markdown.render(Section("", (words.chain(found, "m{}".format, "variants", "given the settings"),)))
    assert "whose mean is above" not in said


def test_verdicts_of_a_store_without_searches_are_given_nothing(tmp_path: Path) -> None:
    build_store(tmp_path, seeds=(1, 2, 3))
    said = markdown.render(report(Store(tmp_path).read(), tmp_path))
    assert "groups of variants are told apart:** " in said
    assert "given the settings" not in said
    assert "tuned methods" not in said


def _pictures(section: Section) -> dict[str, Picture]:
    [tuned] = [below for below in section.sections if below.title == "Tuned settings"]
    return {block.name: block for block in tuned.blocks if isinstance(block, Picture)}


def _figure(picture: Picture) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(picture.interactive or "")
    plotly.graph_objects.Figure(found)
    return found


def test_on_the_page_each_trial_and_each_budget_tells_what_it_is(rendered: Section) -> None:
    drawn = _pictures(rendered)
    [trials] = _figure(drawn["search-rates"])["data"]
    told = dict(zip(trials["hovertext"], trials["marker"]["symbol"], strict=True))
    assert told == {
        f"<b>head</b><br>the default: learning_rate={RATES[0]:g}<br>validation accuracy 35.0%": "square-open",
        **{
            f"<b>head</b><br>trial {n}: learning_rate={RATES[n]:g}<br>validation accuracy {100 * score:.1f}%"
            + (", chosen" if n == 6 else ""): "circle" if n == 6 else "circle-open"
            for n, score in enumerate(SCORES)
            if n and score
        },
        f"<b>head</b><br>trial 9: learning_rate={RATES[9]:g}<br>no result: diverged": "x",
    }
    by_trials, by_seconds = _figure(drawn["search-budget"])["data"]
    assert (by_trials["x"], by_trials["y"][-1]) == (list(range(10)), pytest.approx(38.0))
    assert by_seconds["y"] == by_trials["y"]
    assert by_seconds["hovertext"][4].startswith("<b>head</b><br>the default and 4 trials: ")


def test_many_methods_have_the_best_of_them_in_sight_and_the_rest_folded_on_the_same_scale(tmp_path: Path) -> None:
    names = [f"method_{number:02}" for number in range(17)]
    for number, name in enumerate(names):
        for trial, rate in enumerate((1e-3, 1e-4)):
            variant = Variant(name, {"learning_rate": rate})
            Store(tmp_path).put(make_trial(variant, trial, [0.3 + 0.01 * number + 0.001 * trial]))
    found = report(Store(tmp_path).read(), tmp_path, pictures=True)
    drawn = _pictures(found)
    shown, rest = (_figure(drawn[name]) for name in ("search-rates", "search-rates-more"))
    assert [len(figure["data"]) for figure in (shown, rest)] == [12, 5]
    assert "<b>method_16</b>" in shown["data"][0]["hovertext"][0]
    assert shown["layout"]["yaxis"]["range"] == rest["layout"]["yaxis5"]["range"]
    said = _tuned(found)
    assert "and 13 others" in said  # four of the 17 that aren't trained anew yet are named
    [folded] = [part for part in said.split("<details>") if "search-rates-more.svg" in part]
    assert folded.startswith("\n<summary>5 more methods</summary>")
    assert folded.rstrip().split("search-rates-more.svg")[1].startswith(")\n\n</details>")
    assert "<details><summary>5 more methods</summary><figure data-figure>" in page.render(found).decode()


def test_two_searches_are_compared_and_choices_worse_than_the_default_are_counted(tmp_path: Path) -> None:
    worth = {"head": 0.6, "ia3": 0.45, "prefix": 0.3}
    tuned = [Variant(name, {"learning_rate": 1e-2}, accuracy) for name, accuracy in worth.items()]
    default = [
        Variant(name, {"learning_rate": 1e-3}, accuracy + (0.1 if name == "ia3" else -0.1))
        for name, accuracy in worth.items()
    ]
    build_store(tmp_path, [*tuned, *default], seeds=(1, 2, 3))
    for seed in (0, 100):
        for one, other in zip(default, tuned, strict=True):
            Store(tmp_path).put(make_trial(one, 0, [0.3], seed))
            Store(tmp_path).put(make_trial(other, 1, [0.4], seed))
    found = report(Store(tmp_path).read(), tmp_path)
    for said in (_tuned(found), page.render(found).decode()):
        assert "2 of 6 searches that chose something else than the default chose something that does worse" in said
        assert "Independent searches rank the methods alike with a Kendall's tau of 1.00" in said.replace("&#39;", "'")
