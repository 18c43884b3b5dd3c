from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_factory import DEMO, Variant, build_store, failed_record, lora

from bench import stats
from bench.labels import label_noun
from bench.reporting import tables
from bench.reporting.layout import Layout
from bench.reporting.plots import pictures, rows
from bench.reporting.plots.labels import FAR, LETTER, LINE, SLACK, Label, put_labels
from bench.stats import Outcomes
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.reporting.model import Picture
    from bench.stats import Analysis

FROZEN = next(variant for variant in DEMO if variant.method == "frozen")
HEAD = next(variant for variant in DEMO if variant.method == "head")
PANEL = (270.0, 180.0)


def _analysis(folder: Path, reference: str | None = None) -> Analysis:
    [found] = stats.comparisons(Store(folder).read().records)
    return stats.analyse(found, folder, reference)


def _by_name(analysis: Analysis) -> dict[str, Picture]:
    return {picture.name: picture for picture in pictures(analysis)}


def _figure(picture: Picture) -> dict[str, Any]:
    assert picture.interactive is not None
    found: dict[str, Any] = json.loads(picture.interactive)
    return found


def _hovers(picture: Picture) -> list[str]:
    """What the figure's points tell, those of all traces."""
    return [text for trace in _figure(picture)["data"] for text in trace.get("hovertext", [])]


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    folder = tmp_path_factory.mktemp("demo")
    build_store(folder, DEMO)
    return _analysis(folder)


@pytest.fixture(scope="module")
def demo(analysis: Analysis) -> dict[str, Picture]:
    return _by_name(analysis)


def test_a_study_has_all_pictures_in_the_order_in_which_they_are_read(demo: dict[str, Picture]) -> None:
    assert list(demo) == ["pareto", "accuracy", "difference", "learning-curves", "alpha-sweep", "confusion"]


def test_drawings_are_svg_on_an_opaque_card_and_always_the_same_bytes(
    analysis: Analysis, demo: dict[str, Picture]
) -> None:
    for again in pictures(analysis):
        assert again.draw("outlines") == demo[again.name].draw("outlines")
        root = ElementTree.fromstring(again.draw("outlines"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        [card, *_] = [e for e in root.iter("{http://www.w3.org/2000/svg}path") if "fill" in e.get("style", "")]
        assert "fill: #ffffff" in card.attrib["style"]


def test_plotly_knows_every_word_of_the_figures(demo: dict[str, Picture]) -> None:
    for name, picture in demo.items():
        if name == "pareto":  # the page makes its figure
            continue
        plotly.graph_objects.Figure(_figure(picture))  # raises ValueError for what it doesn't know


def test_the_pareto_plot_knows_of_every_figure_its_unit_and_which_way_is_better(demo: dict[str, Picture]) -> None:
    figures = {figure["name"]: figure for figure in _figure(demo["pareto"])["figures"]}
    assert {name for name, figure in figures.items() if figure["more"]} == {
        *("accuracy", "macro_f1", "train_tokens_per_s", "eval_tokens_per_s")
    }
    assert {"loss", "trainable", "train_s", "live_peak_bytes", "peak_bytes", "adapter_bytes"} <= set(figures)
    assert "forgetting" not in figures  # these records don't tell
    assert (figures["accuracy"]["unit"], figures["accuracy"]["size"]) == ("%", 0.01)
    assert (figures["live_peak_bytes"]["unit"], figures["live_peak_bytes"]["size"]) == ("MiB", 2**20)
    assert figures["trainable"]["unit"] == ""


def test_the_pareto_plot_knows_of_every_variant_what_a_reader_chooses_by(
    analysis: Analysis, demo: dict[str, Picture]
) -> None:
    found = _figure(demo["pareto"])
    variants = {variant["name"]: variant for variant in found["variants"]}
    assert [name for name, variant in variants.items() if not variant["front"]] == ["frozen"]
    assert "frozen" not in demo["pareto"].alt
    lora = variants["lora alpha=32"]
    assert lora["facets"] == {
        "family": ["lora-family"],
        "merges": ["yes"],
        "inference": ["slowed"],
        "loads": ["yes"],
        "quantised": ["yes"],
        "layers": ["Linear", "Conv1D", "Embedding", "Conv2d"],
    }
    assert found["facets"][:2] == [{"name": "family", "title": "Family"}, {"name": "merges", "title": "Merges"}]
    assert {"alpha", "learning_rate"} <= set(found["hyperparameters"])
    assert "r" not in found["hyperparameters"]  # the same in all that have it
    assert lora["hyperparameters"]["alpha"] == 32
    place = next(place for place, s in enumerate(analysis.comparison.summaries) if s.hyperparameters.get("alpha") == 32)
    assert lora["shares"] == {front.cost: front.shares[place] for front in analysis.fronts}
    assert re.fullmatch(r"4\d\.\d% \(\d\d\.\d–\d\d\.\d\)", lora["told"]["accuracy"])
    assert lora["told"]["live_peak_bytes"].endswith(" MiB")


def test_a_method_that_is_not_installed_here_is_of_another_family(tmp_path: Path) -> None:
    build_store(tmp_path, [HEAD, replace(HEAD, method="gone")])
    variants = _figure(_by_name(_analysis(tmp_path))["pareto"])["variants"]
    assert {variant["name"]: variant["facets"]["family"] for variant in variants} == {
        "head": ["anchors"],
        "gone": ["other"],
    }


def test_energy_is_a_figure_and_has_a_front_where_records_tell_it(tmp_path: Path) -> None:
    build_store(tmp_path, DEMO, changes={"speed.train_joules": 2_500.0})
    found = _figure(_by_name(_analysis(tmp_path))["pareto"])
    assert "train_joules" in found["costs"]
    assert {variant["told"]["train_joules"] for variant in found["variants"]} == {"2.50 kJ"}


def test_pictures_name_the_variant_of_each_point_and_line_as_the_tables_do(
    analysis: Analysis, demo: dict[str, Picture]
) -> None:
    names = {row.variant for row in tables.comparison(Layout(analysis)).rows if row.variant}
    assert len(names) == len(DEMO)
    for name in ("accuracy", "difference", "learning-curves", "alpha-sweep"):
        traces = _figure(demo[name])["data"]
        told = [key for trace in traces for key in (trace.get("customdata") or [trace["meta"]])]
        assert set(told) <= names
        for trace in traces:
            assert len(trace.get("customdata", trace["x"])) == len(trace["x"])


def test_accuracy_stands_in_order_with_the_top_group_apart(analysis: Analysis, demo: dict[str, Picture]) -> None:
    figure = _figure(demo["accuracy"])
    top, others = figure["data"]
    assert len(top["x"]) == len(analysis.top)
    assert len(top["x"]) + len(others["x"]) == len(DEMO)
    ranked = sorted(zip(top["y"] + others["y"], top["x"] + others["x"], strict=True))
    means = [mean for _, mean in ranked]
    assert means == sorted(means, reverse=True)
    [majority] = figure["layout"]["shapes"]
    assert majority["x0"] == pytest.approx(100 * analysis.comparison.majority.accuracy)


def test_differences_are_from_the_best_in_order_with_both_intervals(
    analysis: Analysis, demo: dict[str, Picture]
) -> None:
    figure = _figure(demo["difference"])
    marks = [trace for trace in figure["data"] if "hovertext" in trace]
    ranked = sorted((y, x) for trace in marks for x, y in zip(trace["x"], trace["y"], strict=True))
    assert [x for _, x in ranked] == sorted((x for _, x in ranked), reverse=True)
    assert ranked[0] == (0, 0)  # the best itself
    assert figure["layout"]["yaxis"]["ticktext"][0] == "lora alpha=32"
    wide = [trace["error_x"]["array"] for trace in figure["data"] if "error_x" in trace]
    for together, alone in zip(wide[::2], wide[1::2], strict=True):
        assert all(a > b for a, b in zip(together, alone, strict=True))
    margin, zero = figure["layout"]["shapes"]
    assert (margin["x0"], margin["x1"], zero["x0"]) == (-1, 1, 0)
    assert not any("frozen" in text for text in _hovers(demo["difference"]))
    assert len(ranked) == len(DEMO) - 1
    [told] = [text for text in _hovers(demo["difference"]) if text.startswith("<b>head</b>")]
    assert re.search(r"difference −[\d.]+ \(−[\d.]+ to [+−][\d.]+\) points<br>together with all others −", told)
    assert demo["difference"].alt.startswith("Test accuracy minus that of lora alpha=32 with 95% interval, in points: ")


def test_with_a_reference_asked_for_differences_are_from_it(tmp_path: Path) -> None:
    build_store(tmp_path, DEMO)
    picture = _by_name(_analysis(tmp_path, "head"))["difference"]
    assert picture.title.startswith("Test accuracy minus that of head, in points")
    signs = {x > 0 for trace in _figure(picture)["data"] for x in trace["x"]}
    assert signs == {True, False}


def test_a_variant_alone_has_no_difference_to_draw(tmp_path: Path) -> None:
    build_store(tmp_path, [HEAD])
    assert "difference" not in _by_name(_analysis(tmp_path))


def test_sixty_variants_have_a_row_each_and_no_names_overlap(tmp_path: Path) -> None:
    many = [Variant(f"method{i:02}", {"learning_rate": 1e-3}, 0.35 + 0.002 * i, 1_000) for i in range(60)]
    build_store(tmp_path, many, seeds=[0, 1])
    found = _by_name(_analysis(tmp_path))
    for name in ("accuracy", "difference"):
        layout = _figure(found[name])["layout"]
        assert len(layout["yaxis"]["ticktext"]) == 60
        assert layout["meta"]["height"] >= 20 * 60
        height = float(ElementTree.fromstring(found[name].draw("outlines")).attrib["height"].removesuffix("pt"))
        assert height > 1.3 * 9 * 60  # 9 points are a line of text


def test_the_alpha_sweep_has_a_line_for_each_learning_rate_and_tells_the_loss_turned_up(tmp_path: Path) -> None:
    rates = [lora(alpha, 0.4, hyperparameters={"learning_rate": rate}) for alpha in (8, 32) for rate in (1e-4, 1e-3)]
    build_store(tmp_path, [*rates, lora(64, 0.4, hyperparameters={"learning_rate": 1e-3}, turns_up_at=3)])
    data = _figure(_by_name(_analysis(tmp_path))["alpha-sweep"])["data"]
    accuracy = [trace for trace in data if "error_y" in trace]
    assert [(trace["name"], trace["x"]) for trace in accuracy] == [
        ("lora learning_rate=0.0001", [8, 32]),
        ("lora learning_rate=0.001", [8, 32, 64]),
    ]
    [lowest] = [trace for trace in data if trace["line"].get("dash")]
    assert lowest["name"].startswith("lora learning_rate=0.001")
    assert lowest["y"][-1] < lowest["y"][0] or lowest["hovertext"][-1].endswith("lowest of all epochs")


def test_many_alphas_are_written_where_there_is_room(tmp_path: Path) -> None:
    build_store(tmp_path, [lora(alpha, 0.4) for alpha in (1, 2, 4, 8, 16, 32, 64, 128, 129, 130, 256)])
    layout = _figure(_by_name(_analysis(tmp_path))["alpha-sweep"])["layout"]
    assert layout["xaxis"]["tickvals"] == [1, 2, 4, 8, 16, 32, 64, 128, 256]


def _shares(figure: dict[str, Any]) -> NDArray[Any]:
    """The matrix's cells by row and column, in percent, as they tell it."""
    [cells] = figure["data"]
    columns = [base + 0.48 for base in cells["base"]]
    found = np.full((max(cells["y"]) + 1, round(max(columns)) + 1), np.nan)
    for row, column, told in zip(cells["y"], columns, cells["hovertext"], strict=True):
        found[row, round(column)] = float(told.rsplit("<br>", 1)[1].split("%")[0])
    return found


def test_the_confusion_matrix_is_that_of_the_best_and_its_rows_add_up(
    analysis: Analysis, demo: dict[str, Picture]
) -> None:
    best = analysis.outcomes[0]
    assert best is not None
    shares = _shares(_figure(demo["confusion"]))
    assert shares.sum(axis=1) == pytest.approx(100, abs=0.7)
    right = best.right[:, best.labels == 3].mean()
    assert shares[3, 3] == pytest.approx(100 * right, abs=0.05)


@pytest.fixture(scope="module")
def crowded(analysis: Analysis) -> Analysis:
    """The same with 500 styles in place of 14, of which the first five are often taken for each other."""
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(500), 4)
    right = np.where(draw.random((3, 2000)) < 0.9, labels, draw.integers(0, 500, (3, 2000)))
    predictions = np.where(labels < 5, (labels + 1) % 5, right)
    many = Outcomes((0, 1, 2), tuple(f"style {i:03}" for i in range(500)), labels, predictions, None)
    return replace(analysis, outcomes=tuple(many if outcomes else None for outcomes in analysis.outcomes))


def test_of_many_styles_the_matrix_shows_those_with_the_most_mistakes_and_the_rest_as_one(crowded: Analysis) -> None:
    picture = _by_name(crowded)["confusion"]
    figure = _figure(picture)
    names = figure["layout"]["xaxis"]["ticktext"]
    assert names[:5] == [f"style 00{i}" for i in range(5)]
    assert (len(names), names[-1]) == (20, "481 other styles")
    assert _shares(figure).sum(axis=1) == pytest.approx(100, abs=1)
    assert _shares(figure)[0, 1] == 100
    assert "of 5,772 over 3 seeds" in figure["data"][0]["hovertext"][-1]
    assert "and 481 other styles" in picture.alt
    assert "style 000 for style 001 (100%)" in picture.alt
    assert picture.interactive is not None
    assert len(picture.interactive) + len(picture.draw("text")) < 500_000


def test_of_many_styles_the_most_frequent_mistakes_are_listed_too(crowded: Analysis) -> None:
    outcomes = crowded.outcomes[0]
    assert outcomes is not None
    table = tables.confusions(outcomes, label_noun("class"))
    assert table is not None
    assert [cell.value for cell in table.rows[0].cells] == ["style 000", "style 001", 1.0]
    assert (table.shown, len(table.rows)) == (20, 100)
    assert table.columns[0].title == "Class"


def test_what_the_records_do_not_tell_is_left_out(tmp_path: Path) -> None:
    untold: dict[str, Any] = {"quality.epochs": [], "compute": None}
    build_store(tmp_path, [HEAD, lora(8, 0.45)], changes=untold)
    found = _by_name(_analysis(tmp_path))
    assert list(found) == ["pareto", "accuracy", "difference", "confusion"]
    assert "memory" not in found["pareto"].alt


def test_without_predictions_there_are_means_and_no_intervals(analysis: Analysis) -> None:
    found = _by_name(stats.without_predictions(analysis.comparison))
    assert list(found) == ["pareto", "accuracy", "learning-curves", "alpha-sweep"]
    assert "can't be told" not in found["accuracy"].alt
    assert "–" not in " ".join(_hovers(found["accuracy"]))


def test_one_run_and_runs_that_failed_are_no_error(tmp_path: Path) -> None:
    [only] = stats.comparisons(build_store(tmp_path, [HEAD], seeds=[0]))
    assert "accuracy" in [picture.name for picture in pictures(stats.analyse(only, tmp_path))]
    [failed] = stats.comparisons([failed_record(HEAD)])
    assert pictures(stats.without_predictions(failed)) == []


def test_any_name_can_be_drawn_and_is_neither_markup_nor_mathematics(tmp_path: Path) -> None:
    names = ("<b>bold</b>", "$x^{$", "%{y} {0}", "名前 \u202e\x00", "&lt;")
    build_store(tmp_path, [Variant(name, {}, 0.4, 1000 * (i + 1)) for i, name in enumerate(names)])
    found = _by_name(_analysis(tmp_path))
    told = " ".join(_hovers(found["accuracy"]))
    assert "&lt;b&gt;bold&lt;/b&gt;" in told
    assert "&amp;lt;" in told
    assert "$" not in told


def test_of_many_variants_few_stand_out(tmp_path: Path) -> None:
    many = [
        lora(alpha, 0.3 + rate / 10, hyperparameters={"learning_rate": rate})
        for alpha in (8, 16, 32, 64, 128)
        for rate in (1.0, 0.1, 0.01, 0.001, 0.0001, 0.5, 0.05, 0.005, 0.0005)
    ]
    build_store(tmp_path, many, seeds=[0, 1])
    found = _by_name(_analysis(tmp_path))
    coloured = [trace for trace in _figure(found["learning-curves"])["data"] if "marker" in trace]
    assert len(coloured) == 2 * 6
    assert len(_figure(found["accuracy"])["data"][0]["x"]) <= rows.MOST


def _box(label: Label, point: tuple[float, float]) -> tuple[float, float, float, float]:
    """A label's box found anew: its side is the direction from the point to it."""
    wide = LETTER * max(map(len, label.text.split("\n")))
    high = LINE * len(label.text.split("\n"))
    up, across = label.side.split()
    diagonal = 0.7 if up != "middle" and across != "center" else 1.0
    x = point[0] + label.distance * diagonal * {"left": -1, "center": 0, "right": 1}[across]
    y = point[1] + label.distance * diagonal * {"bottom": -1, "middle": 0, "top": 1}[up]
    left = x - wide * {"left": 1.0, "center": 0.5, "right": 0.0}[across]
    bottom = y - high * {"bottom": 1.0, "middle": 0.5, "top": 0.0}[up]
    return left, bottom, left + wide, bottom + high


@settings(deadline=None)  # a busy machine is no error
@given(st.lists(st.tuples(st.floats(0, PANEL[0]), st.floats(0, PANEL[1])), max_size=12))
def test_names_never_cover_each_other(spots: list[tuple[float, float]]) -> None:
    points = dict(enumerate(spots))
    texts = {place: f"variant number {place}" for place in points}
    labels = put_labels(texts, range(0, 12, 2), points, [], PANEL)
    boxes = [_box(label, points[label.place]) for label in labels]
    for place, one in enumerate(boxes):
        assert -2.1 < one[1] < one[3] < PANEL[1] + 2.1
        for other in boxes[:place]:
            wide, high = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
            assert max(0.0, wide) * max(0.0, high) <= SLACK + 0.001
    assert all(label.distance < FAR[0] for label in labels if label.place % 2)


def test_a_lone_point_has_its_name_beside_it() -> None:
    [label] = put_labels({7: "head"}, [7], {7: (100.0, 90.0)}, [], PANEL)
    assert not label.far
