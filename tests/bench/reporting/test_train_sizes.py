"""What a report says of several train sizes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import plotly.graph_objects
import pytest
from record_factory import DEMO, FINGERPRINT, Variant, build_baseline, build_store, lora

from bench import stats
from bench.reporting import comparison, curves, markdown, page, report, spreadsheet
from bench.reporting.document import analyses
from bench.reporting.model import Picture
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.reporting.model import Section

HEAD = next(variant for variant in DEMO if variant.method == "head")
SIZES = (100, 300, 1_400)
TRUTH = {100: (0.15, 0.35), 300: (0.38, 0.38), 1_400: (0.6, 0.4)}
"""What LoRA and head reach at each size."""


def _add(folder: Path, size: int, *variants: Variant, seeds: tuple[int, ...] = (0, 1, 2), **changes: object) -> None:
    told = {"data.sizes": {"train": size, "validation": 280, "test": 700}, "backbone.source": "hub", **changes}
    if size < SIZES[-1]:
        told |= {"data.fingerprint": f"drawn{size}", "data.drawn_from": FINGERPRINT}
    build_store(folder, variants, seeds, told)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three train sizes; character n-grams were fitted to the whole only."""
    folder = tmp_path_factory.mktemp("sizes")
    for size in SIZES:
        baseline = build_baseline(folder, 0.45) if size == SIZES[-1] else {}
        lora_s, head_s = TRUTH[size]
        _add(folder, size, replace(lora(32, 0), accuracy=lora_s), replace(HEAD, accuracy=head_s), **baseline)
    return folder


def _section(store: Path) -> Section:
    [found] = stats.curves(analyses(Store(store).read().records, store))
    return curves.section(found, curves.TITLE, draw=True)


@pytest.fixture(scope="module")
def section(store: Path) -> Section:
    return _section(store)


@pytest.fixture(scope="module")
def picture(section: Section) -> Picture:
    return next(block for block in section.blocks if isinstance(block, Picture))


def test_the_curve_stands_before_a_section_for_each_size_the_largest_first(store: Path) -> None:
    text = markdown.render(report(Store(store).read(), store))
    assert text.splitlines()[0] == "# Comparison of methods – demo: small-gpt2 (hub) on open-authors"
    assert "These are 3 train sizes of the same task." in text
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    assert titles[0] == "Accuracy by train size"
    assert re.findall(r"([\d,]+) train passages", " ".join(titles[1:])) == ["1,400", "300", "100"]


def test_it_says_where_one_method_overtakes_another_and_how_sure_that_is(section: Section) -> None:
    text = markdown.render(section)
    assert "**lora overtakes head between 100 and 1,400 train passages.**" in text
    [row] = [line for line in text.splitlines() if re.match(r"\| lora +\| head ", line)]
    first, between, last, said = (cell.strip() for cell in row.strip("|").split("|")[2:])
    assert re.fullmatch(r"−\d+\.\d \(−.* to −.*\) worse", first)
    assert re.fullmatch(r"\S+ \(−.* to \\?\+.*\)", between)
    assert last.endswith(" better")
    assert said == "between 100 and 1,400"
    assert "adjusted for all 5 differences at a size" in text


def test_the_table_has_a_column_a_size_with_the_baselines_among_the_methods(section: Section) -> None:
    text = markdown.render(section)
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
    assert rows[0] == ["Method", "100", "300", "1,400"]
    assert [row[0] for row in rows[2:6]] == ["lora", "character n-grams", "head", "majority class"]
    assert re.fullmatch(r"\d+\.\d% ± \d\.\d \(\d+\.\d–\d+\.\d\) ●", rows[2][3])
    assert rows[3][1:3] == ["–", "–"]
    assert rows[3][3].startswith("4")


def test_the_picture_has_a_line_for_each_method_and_baseline(picture: Picture) -> None:
    ElementTree.fromstring(picture.draw("outlines"))
    assert "lora" in picture.alt
    figure = json.loads(picture.interactive or "")
    plotly.graph_objects.Figure(figure)
    assert [trace["name"] for trace in figure["data"]] == ["lora", "head", "character n-grams", "majority class"]
    assert {trace["type"] for trace in figure["data"]} == {"scatter"}
    drawn, ngrams = figure["data"][0], figure["data"][2]
    assert drawn["x"] == pytest.approx(SIZES, rel=0.03)
    assert all(reach > 0 for side in ("array", "arrayminus") for reach in drawn["error_y"][side])
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert ngrams["x"] == [1_400]
    assert "1,400 train passages: accuracy" in drawn["hovertext"][-1]


def test_the_page_and_a_spreadsheet_have_it_too(store: Path, section: Section) -> None:
    assert b"Accuracy by train size" in page.render(section)
    tables = comparison(Store(store).read().records)
    lines = spreadsheet.render(tables).splitlines()
    assert "Comparison,Method,100,100 sd,100 low,100 high,300" in "\n".join(lines)


def test_without_an_overtaking_it_says_that_none_is_shown(tmp_path: Path) -> None:
    for size in SIZES[1:]:
        _add(tmp_path, size, lora(32, 0.5), HEAD)
    text = markdown.render(report(Store(tmp_path).read(), tmp_path))
    assert "No method is shown to overtake another from 300 to 1,400 train passages." in text
    assert "Where means change places" not in text


def test_without_predictions_the_means_stand_there_and_no_verdict(store: Path) -> None:
    text = markdown.render(report(Store(store).read()))
    assert "can't be told without the predictions" in text
    assert "overtakes head" not in text


def test_of_many_methods_six_are_coloured_and_the_others_folded_away(tmp_path: Path) -> None:
    many = [Variant(f"m{number:02}", {"learning_rate": 1e-3}, 0.3 + 0.01 * number) for number in range(18)]
    for size in SIZES[1:]:
        _add(tmp_path, size, *many, seeds=(0,))
    section = _section(tmp_path)
    assert "4 more methods" in markdown.render(section)
    [picture] = [block for block in section.blocks if isinstance(block, Picture)]
    figure = json.loads(picture.interactive or "")
    assert sum(trace["showlegend"] for trace in figure["data"] if "showlegend" in trace) == 6
    assert len(figure["data"]) == 19
