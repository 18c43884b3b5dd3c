"""The classical baseline in the report: its row, its sentence, its differences and its lines, in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import plotly.graph_objects
import pytest
from record_factory import DEMO, build_baseline, build_store

from bench import stats
from bench.reporting import answer, comparison, document, latex, markdown, page, report, spreadsheet, tables
from bench.reporting.layout import Layout
from bench.reporting.plots import pictures
from bench.reporting.terminal import to_rich
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.reporting.model import Span
    from bench.stats import Analysis, Verdict
    from bench.store.record import Record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo study beside a baseline of about 45%."""
    made = tmp_path_factory.mktemp("store")
    build_store(made, DEMO, changes=build_baseline(made, 0.45))
    return made


@pytest.fixture(scope="module")
def records(folder: Path) -> tuple[Record, ...]:
    return Store(folder).read().records


@pytest.fixture(scope="module")
def analysis(folder: Path, records: tuple[Record, ...]) -> Analysis:
    [found] = document.analyses(records, folder)
    return found


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return markdown.render(report(Store(folder).read(), folder))


def _row(text: str, name: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| *{name}*")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_its_row_has_accuracy_with_an_interval_and_the_time_to_fit(text: str, analysis: Analysis) -> None:
    baseline = analysis.comparison.baseline
    assert baseline is not None
    head, *_ = [line for line in text.splitlines() if line.startswith("| Method")]
    titles = [title.strip() for title in head.strip("|").split("|")]
    row = dict(zip(titles, _row(text, "character n-grams"), strict=True))
    assert row["Accuracy"].startswith(f"*{100 * baseline.accuracy:.1f}% (")
    assert "±" not in row["Accuracy"] + row["Macro-F1"]
    assert row["Macro-F1"].startswith(f"*{100 * baseline.macro_f1:.1f}% (")
    assert row["Train time"] == "*6.2 s*"
    assert {row[title] for title in ("n", "Trainable", "Share", "Peak memory", "Adapter")} == {"*–*"}


def test_both_baselines_stand_at_their_places(analysis: Analysis) -> None:
    table = tables.comparison(Layout(analysis))
    place = [column.title for column in table.columns].index("Accuracy")
    accuracies = [row.cells[place].value for row in table.rows]
    assert accuracies == sorted(accuracies, key=lambda value: -float(value or 0))
    assert [row.cells[0].value for row in table.rows if row.baseline] == ["character n-grams", "majority class"]


def test_the_report_says_what_the_row_is_and_how_each_variant_differs(text: str) -> None:
    assert "logistic regression on the frequencies of 2 to 5 characters within words, fitted once to" in text
    assert "C = 10 did best on validation" in text
    assert "It was fitted to" not in text
    section = text.split("## Differences from character n-grams")[1].split("\n## ")[0]
    assert "adjusted p, which corrects for the number of rows (Holm)" in section
    assert section.count("\n| ") == 1 + 1 + len(DEMO)


def test_on_the_terminal_it_has_its_row_by_the_records_alone(records: tuple[Record, ...]) -> None:
    [(_, table)] = comparison(records)
    [row] = [row for row in table.rows if row.cells[0].value == "character n-grams"]
    assert row.cells[1].value == pytest.approx(0.45, abs=0.05)
    assert row.cells[1].interval is None
    assert to_rich(table, 200).row_count == len(DEMO) + 2


def test_csv_and_latex_have_it(analysis: Analysis) -> None:
    found = document.comparison_tables([analysis])
    [row] = [row for row in csv.DictReader(io.StringIO(spreadsheet.render(found))) if "n-grams" in row["Method"]]
    assert 0 < float(row["Accuracy low"]) < float(row["Accuracy"]) < float(row["Accuracy high"]) < 1
    assert (row["Accuracy sd"], row["Train time (s)"], row["Trainable"]) == ("", "6.2", "")
    assert r"{}\emph{character n-grams} & \emph{" in latex.render(found)


def test_the_page_has_it(folder: Path) -> None:
    html = page.render(report(Store(folder).read(), folder)).decode()
    assert html.count("character n-grams") >= 4


def test_a_report_without_it_says_nothing_of_it(tmp_path: Path) -> None:
    build_store(tmp_path, DEMO)
    contents = Store(tmp_path).read()
    assert "n-grams" not in markdown.render(report(contents, tmp_path))
    assert "n-grams" not in spreadsheet.render(comparison(contents.records))


def _spans(analysis: Analysis, *verdicts: Verdict) -> tuple[Span, ...]:
    """The answer where the variants, the most accurate first, have these verdicts."""
    assert analysis.against_baseline is not None
    found = tuple(
        one and replace(one, verdict=verdict)
        for one, verdict in zip(analysis.against_baseline.differences, verdicts, strict=True)
    )
    changed = replace(analysis, against_baseline=replace(analysis.against_baseline, differences=found))
    return answer.answer(Layout(changed)).spans


def _answer(analysis: Analysis, *verdicts: Verdict) -> str:
    return "".join(span.text for span in _spans(analysis, *verdicts))


NONE: Verdict = "no difference found"
WORSE: Verdict = "worse"
BETTER: Verdict = "better"
FITTED = "and is fitted in 6.2 s: "


def test_the_answer_says_who_beats_it_who_does_not_and_who_cannot_be_told_from_it(analysis: Analysis) -> None:
    names = [Layout(analysis).label(place) for place in range(len(DEMO))]
    said = _answer(analysis, "better", "better", "equivalent", NONE, NONE, "worse", "worse")
    assert " Logistic regression on character n-grams gets 4" in said
    assert (
        f"{FITTED}{names[0]} and {names[1]} are better, {names[2]} is within a point of it, "
        f"{names[3]} and {names[4]} can't be told from it, and {names[5]} and {names[6]} are worse." in said
    )


def test_where_nobody_beats_it_the_answer_says_so_aloud(analysis: Analysis) -> None:
    said = _answer(analysis, NONE, *[WORSE] * 6)
    aloud = "No method is shown to beat logistic regression on character n-grams"
    assert f"{aloud}, which gets 4" in said
    assert f"{FITTED}{Layout(analysis).label(0)} can't be told from it, and " in said
    assert f"{FITTED}all are worse." in _answer(analysis, *[WORSE] * 7)
    assert f"{FITTED}all are better." in _answer(analysis, *[BETTER] * 7)
    assert aloud in [span.text for span in _spans(analysis, *[WORSE] * 7) if span.style == "strong"]


def test_without_predictions_nothing_is_claimed(records: tuple[Record, ...]) -> None:
    [found] = stats.comparisons(records)
    said = "".join(span.text for span in answer.answer(Layout(stats.without_predictions(found))).spans)
    assert "Whether a method beats it can't be told without the predictions." in said


def test_pictures_have_a_dotted_line_where_it_is(analysis: Analysis) -> None:
    assert analysis.comparison.baseline is not None
    at = 100 * analysis.comparison.baseline.accuracy
    drawn = {picture.name: picture for picture in pictures(analysis)}
    assert all("character n-grams" in drawn[name].alt for name in ("accuracy", "pareto"))
    figure = json.loads(drawn["accuracy"].interactive or "")
    plotly.graph_objects.Figure(figure)  # raises ValueError for what it doesn't know
    lines = [shape for shape in figure["layout"]["shapes"] if shape["line"]["dash"] == "dot"]
    assert [line["x0"] for line in lines] == pytest.approx([at])
    baseline = json.loads(drawn["pareto"].interactive or "")["baseline"]
    assert (baseline["name"], 100 * baseline["accuracy"]) == ("character n-grams", at)
