"""The page in a real browser. Without one these tests skip; BENCH_BROWSER=required makes that a failure."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import plotly.graph_objects
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, TimeoutError, expect, sync_playwright
from record_factory import DEMO, Variant, build_baseline, build_store, make_trial

from bench.reporting import document, page, report
from bench.reporting.figures import FIGURES
from bench.reporting.model import Cell, Code, Column, Picture, Row, Section, Table, Unit, code, paragraph, strong
from bench.reporting.plots import drawing, pictures
from bench.reporting.plots.view import safe
from bench.sharing import published
from bench.stats.pareto import on_front
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from bench.stats import Analysis

HOSTILE = '<b>%{x}</b></script><img src=x onerror="window.harmed=1"></style>--> $x^2$ "\'&amp; {{7*7}}'
UNRULY = Variant(HOSTILE, {"learning_rate": 1e-3}, 0.55, 20_000)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><text>100% #1 &amp; '\"</text></svg>"
PICTURES = ("pareto", "accuracy", "difference", "learning-curves", "alpha-sweep", "confusion")
PHONE = {"width": 360, "height": 740}
PATIENCE = 120_000
"""Milliseconds that a busy machine may take for what an idle one does in less than a second."""


@dataclass
class Visit:
    """A page that is open, what its console said, and what it asked the network or the disk for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def draw_all(self) -> None:
        """Come near every picture, since one is drawn when a reader does."""
        for figure in self.page.locator("figure[data-figure]").all():
            figure.scroll_into_view_if_needed()
            expect(figure.locator("svg.main-svg").first).to_be_visible()
        self.page.evaluate("scrollTo(0, 0)")

    def column(self, table: Locator, heading: str) -> list[str]:
        """The texts under a heading, from top to bottom, of the rows that show."""
        headings = table.locator("thead th").all_inner_texts()
        [place] = [number for number, text in enumerate(headings, start=1) if text.strip() == heading]
        return table.locator(f"tbody tr:visible > :nth-child({place})").all_inner_texts()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        absent = "needs a browser: install Debian's package chromium"
        (pytest.fail if os.environ.get("BENCH_BROWSER") == "required" else pytest.skip)(absent)
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=program, timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of eight variants, one of them with a name that would do harm if it could."""
    folder = tmp_path_factory.mktemp("store")
    build_store(folder, (*DEMO, UNRULY))
    return folder


@pytest.fixture(scope="module")
def file(store: Path) -> Path:
    """The report on it."""
    return _put(store / "report.html", page.render(report(Store(store).read(), store, pictures=True)))


@pytest.fixture(scope="module")
def tables(store: Path) -> Path:
    """The same without pictures: it opens in a moment."""
    return _put(store / "tables.html", page.render(report(Store(store).read(), store)))


def _put(path: Path, rendered: bytes) -> Path:
    path.write_bytes(rendered)
    return path


def _visit(browser: Browser, file: Path, address: str = "", **options: object) -> Visit:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.complaints.append(message.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.goto(file.as_uri() + address)
    return visit


@pytest.fixture(scope="module")
def shared(browser: Browser, file: Path) -> Visit:
    """One visit to the whole report, all its pictures drawn, for all tests that leave it as it was."""
    found = _visit(browser, file)
    found.draw_all()
    return found


@pytest.fixture
def visit(browser: Browser, tables: Path) -> Iterator[Visit]:
    """A visit of one's own, without pictures."""
    fresh = _visit(browser, tables)
    yield fresh
    fresh.page.context.close()


def test_it_loads_without_a_complaint_and_asks_for_nothing_else(shared: Visit, file: Path) -> None:
    assert shared.page.locator("figure .plot:has(svg.main-svg)").count() == len(PICTURES)
    assert shared.complaints == []
    assert shared.requests == [file.as_uri()]


def test_its_policy_forbids_connections(visit: Visit) -> None:
    assert visit.page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'refused')") == "refused"
    assert "Content Security Policy" in " ".join(visit.complaints)


def test_a_heading_sorts_by_its_figures_and_absent_ones_stay_last(visit: Visit) -> None:
    table = visit.page.locator("table").first
    heading = table.get_by_role("columnheader", name="Train time")
    heading.get_by_role("button").click()
    slowest = visit.column(table, "Train time")
    assert heading.get_attribute("aria-sort") == "descending"
    assert slowest[-2:] == ["–", "–"]  # the majority class and frozen
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert visit.column(table, "Train time") == [*reversed(slowest[:-2]), "–", "–"]
    assert table.locator("[aria-sort]").count() == 1


def test_the_keyboard_sorts_by_name(visit: Visit) -> None:
    table = visit.page.locator("table").first
    table.get_by_role("button", name="Method").focus()
    visit.page.keyboard.press("Enter")
    names = [re.sub(r"\W+$", "", name) for name in visit.column(table, "Method") if "script" not in name]
    assert names == [*("frozen", "head", "ia3", "lora alpha=8", "lora alpha=32", "lora alpha=128"), *names[-2:]]
    assert names[-2:] == ["majority class", "prefix"]


def test_the_filter_shows_the_rows_with_all_its_words(visit: Visit) -> None:
    table = visit.page.locator("table").first
    total = table.locator("tbody tr").count()
    visit.page.get_by_label("Filter").first.fill("LORA 128")
    assert len(visit.column(table, "Method")) == 1
    expect(visit.page.locator("output").first).to_have_text(f"1 of {total} rows")
    visit.page.get_by_label("Filter").first.fill("")
    assert len(visit.column(table, "Method")) == total


def test_a_name_from_outside_is_text_and_nothing_else(shared: Visit) -> None:
    assert shared.page.evaluate("window.harmed") is None
    assert shared.page.locator("img[src=x]").count() == 0
    assert shared.page.locator("tbody th", has_text=HOSTILE[:50]).count() > 0


def test_a_point_tells_its_variant_accuracy_and_cost(shared: Visit) -> None:
    plot = shared.page.locator(".plot").first
    plot.scroll_into_view_if_needed()
    label = plot.locator(".hoverlayer")
    for point in plot.locator(".point:visible").all():
        point.hover(force=True)
        with suppress(TimeoutError):  # the label follows the pointer a moment later
            label.filter(has_text="</script>").wait_for(timeout=300)
            break
    told = label.text_content() or ""
    assert re.search(r"accuracy \d\d\.\d% \(\d\d\.\d–\d\d\.\d\), 3 seeds", told)
    assert re.search(r"peak memory of live tensors: [\d.]+ MiB", told)
    assert told.startswith("<b>%{x}</b></script>")  # as it is called, neither bold nor filled in


def test_it_fits_a_phone_and_wide_tables_scroll_in_their_box(browser: Browser, file: Path) -> None:
    visit = _visit(browser, file, viewport=PHONE)
    visit.draw_all()
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = visit.page.locator(".table").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    right = visit.page.locator(".plot").first.bounding_box()
    assert right is not None
    assert right["x"] + right["width"] <= PHONE["width"]
    visit.page.context.close()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on more variants than have room, all with long names."""
    folder = tmp_path_factory.mktemp("crowded")
    rates = [round(0.0142 + place / 10_000, 4) for place in range(24)]
    prompts = [Variant("prompt_tuning", {"learning_rate": rate, "tokens": 5}, 0.2 + 10 * rate, 5_000) for rate in rates]
    build_store(folder, prompts)
    return _put(folder / "report.html", page.render(report(Store(folder).read(), folder, pictures=True)))


@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_names_of_rows_are_not_drawn_over_each_other(browser: Browser, crowded: Path, width: int) -> None:
    visit = _visit(browser, crowded, viewport={"width": width, "height": 740})
    figure = visit.page.locator("figure", has_text="Test accuracy with 95% interval")
    figure.scroll_into_view_if_needed()
    expect(figure.locator("svg.main-svg").first).to_be_visible()
    names = figure.locator(".ytick text").all()
    boxes = sorted((box["y"], box["height"]) for name in names if (box := name.bounding_box()))
    visit.page.context.close()
    assert len(boxes) == 24
    assert all(top + height <= below for (top, height), (below, _) in pairwise(boxes))


def test_it_turns_dark_with_the_system_and_its_plots_with_it(shared: Visit) -> None:
    ground, ink = "getComputedStyle(document.body).backgroundColor", "document.querySelector('.plot text').style.fill"
    shared.page.locator("figure").first.scroll_into_view_if_needed()
    light = [shared.page.evaluate(colour) for colour in (ground, ink)]
    shared.page.emulate_media(color_scheme="dark")
    for colour, before in zip((ground, ink), light, strict=True):
        shared.page.wait_for_function(f"{colour} !== '{before}'")
    shared.page.emulate_media(color_scheme="light")
    for colour, before in zip((ground, ink), light, strict=True):
        shared.page.wait_for_function(f"{colour} === '{before}'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(shared: Visit, scheme: Literal["light", "dark"]) -> None:
    shared.page.emulate_media(color_scheme=scheme)
    found = Axe().run(shared.page).response["violations"]
    shared.page.emulate_media(color_scheme="light")
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found] == []


def test_paper_gets_the_drawings_in_place_of_the_plots(shared: Visit) -> None:
    shared.page.emulate_media(media="print")
    drawings = shared.page.locator("figure img:visible").count()
    others = shared.page.locator(".plot:visible, .tools:visible, nav:visible").count()
    shared.page.emulate_media(media="screen")
    assert (drawings, others) == (len(PICTURES), 0)


def test_paper_gets_every_row(visit: Visit) -> None:
    visit.page.get_by_label("Filter").first.fill("lora")
    visit.page.emulate_media(media="print")
    rows = visit.page.locator("table").first.locator("tbody tr")
    assert rows.locator("visible=true").count() == rows.count() == len(DEMO) + 2


def test_without_javascript_all_is_there_to_read(browser: Browser, file: Path) -> None:
    visit = _visit(browser, file, java_script_enabled=False)
    assert visit.page.locator("figure img:visible").count() == len(PICTURES)
    assert visit.page.locator("table").first.locator("tbody tr:visible").count() == len(DEMO) + 2
    visit.page.context.close()


def test_folded_rows_unfold_by_their_button_and_by_the_filter(browser: Browser, tmp_path: Path) -> None:
    rows = tuple(Row((Cell(f"variant {number}"), Cell(number))) for number in range(9))
    table = Table((Column("Method"), Column("n", Unit.COUNT)), rows, shown=2, rest="7 more")
    visit = _visit(browser, _put(tmp_path / "page.html", page.render(Section("Title", (table,)))))
    shown = visit.page.locator("tbody tr:visible")
    assert shown.count() == 2
    visit.page.get_by_role("button", name="7 more").click()
    assert shown.count() == 9
    visit.page.reload()
    visit.page.get_by_label("Filter").fill("variant 8")
    assert shown.all_inner_texts() == ["variant 8\t8"]
    assert visit.page.get_by_role("button", name="7 more").count() == 0
    visit.page.context.close()


def test_hostile_text_stays_in_its_place_whatever_block_it_is_in(browser: Browser, tmp_path: Path) -> None:
    figure = drawing.plotly([], {"xaxis": {}, "yaxis": {}, "title": {"text": safe(HOSTILE)}}, height=10)
    table = Table((Column(HOSTILE), Column("n", Unit.COUNT)), (Row((Cell(HOSTILE), Cell(1))),), shown=0, rest=HOSTILE)
    blocks = (
        *(paragraph(HOSTILE, strong(HOSTILE), code(HOSTILE)), table, Code(f"first\n  {HOSTILE}")),
        Picture("name", HOSTILE, HOSTILE, lambda letters: SVG, figure),
    )
    rendered = page.render(Section(HOSTILE, blocks, (Section(HOSTILE), Section("b"))))
    visit = _visit(browser, _put(tmp_path / "page.html", rendered))
    visit.draw_all()
    assert visit.page.evaluate("window.harmed") is None
    assert visit.complaints == []
    assert visit.page.title() == HOSTILE
    assert visit.page.locator("figure img").evaluate("image => image.decode().then(() => true)")
    assert visit.page.locator(".plot .gtitle").text_content() == HOSTILE
    for place in ("h1", "h2 >> nth=0", "p strong", "figcaption", "nav a >> nth=0", "thead th >> nth=0"):
        assert visit.page.locator(place).inner_text() == (f"{HOSTILE[:59]}…" if "thead" in place else HOSTILE)
    assert visit.page.locator("pre").inner_text() == f"first\n  {HOSTILE}"
    visit.page.context.close()


def _pareto(shared: Visit, analysis: Analysis, address: str = "") -> dict[str, Any]:
    """The Pareto plot that the page makes of an analysis at an address, as a plotly figure."""
    [picture] = [picture for picture in pictures(analysis) if picture.name == "pareto"]
    make = "([data, at]) => { chosen = new URLSearchParams(at); return paretoOf(JSON.parse(data), 1000).figure; }"
    try:
        found: dict[str, Any] = shared.page.evaluate(make, [picture.interactive, address])
    finally:
        shared.page.evaluate("readAddress()")
    plotly.graph_objects.Figure(found)  # raises ValueError for what it doesn't know
    return found


def _analysis(folder: Path) -> Analysis:
    with published.as_store(folder) as store:
        [found] = document.analyses(Store(store).read().records, store)
    return found


def _told(figure: dict[str, Any]) -> list[str]:
    return [text for trace in figure["data"] for text in trace.get("hovertext", [])]


@pytest.mark.parametrize("folder", [Path("results/published/demo"), Path("results/published/all-methods")])
def test_the_page_finds_the_same_front_as_the_report_for_any_two_figures(shared: Visit, folder: Path) -> None:
    analysis = _analysis(folder)
    [picture] = [picture for picture in pictures(analysis) if picture.name == "pareto"]
    find = """text => {
        const { figures, variants } = JSON.parse(text);
        return figures.flatMap(x => figures.map(y => {
            const able = variants.filter(each => each.front && x.name in each.values && y.name in each.values);
            return [x.name, y.name, frontOf(able, x, y).map(each => variants.indexOf(each))];
        }));
    }"""
    found = {(x, y): frozenset(members) for x, y, members in shared.page.evaluate(find, picture.interactive)}
    for front in analysis.fronts:
        assert found.get((front.cost, "accuracy"), frozenset()) == front.members  # none, where nobody was timed
    places = [place for place, above in enumerate(analysis.above_majority) if above]
    for (x, y), members in found.items():
        able, (across, up) = places, (FIGURES[x], FIGURES[y])
        values = {}
        for figure in (across, up):
            estimates = {place: figure.estimate(analysis.comparison.summaries[place]) for place in able}
            able = [place for place in able if estimates[place]]
            sign = 1 if figure.more_is_better else -1
            values[figure.name] = {place: sign * one.mean for place, one in estimates.items() if one}
        gain, cost = (np.array([[values[name][place] for place in able]]) for name in (y, x))
        assert members == {able[at] for at in np.flatnonzero(on_front(gain, -cost)[0])}, (x, y)


def test_the_front_has_its_members_and_nothing_that_is_no_better_than_the_majority(shared: Visit, store: Path) -> None:
    analysis = _analysis(store)
    points = [trace for trace in _pareto(shared, analysis)["data"] if trace["mode"] == "markers+text"]
    assert len(points) == 2 * len(analysis.fronts)
    for front, on, off in zip(analysis.fronts, points[::2], points[1::2], strict=True):
        assert len(on["x"]) == len(front.members)
        assert len(off["x"]) == len(DEMO) - len(front.members)
        assert all(": in" in text or "on the front" in text for text in on["hovertext"])
    assert not any("frozen" in text for text in _told({"data": points}))


def test_better_is_to_the_left_and_up_whatever_the_axes(shared: Visit, store: Path) -> None:
    analysis = _analysis(store)
    layout = _pareto(shared, analysis)["layout"]
    ranges = [layout[name]["range"] for name in ("xaxis", "xaxis2", "xaxis3", "xaxis4", "yaxis")]
    assert [low < high for low, high in ranges] == [True, True, True, False, True]  # the fourth is inference speed
    layout = _pareto(shared, analysis, "x=macro_f1&y=train_s")["layout"]
    assert [layout[f"{way}axis"]["range"][0] > layout[f"{way}axis"]["range"][1] for way in "xy"] == [True, True]
    assert layout["xaxis"]["title"]["text"] == "Macro-F1 (%, axis reversed)"


def test_an_axis_is_logarithmic_where_values_span_much_or_a_reader_asks(shared: Visit, store: Path) -> None:
    analysis = _analysis(store)
    kind = [
        _pareto(shared, analysis, f"x=trainable{more}")["layout"]["xaxis"]["type"] for more in ("", "&x-scale=linear")
    ]
    assert kind == ["log", "linear"]
    assert _pareto(shared, analysis, "x=trainable&y-scale=log")["layout"]["yaxis"]["type"] == "log"


def test_forgetting_has_room_for_less_than_nothing_and_no_logarithm(shared: Visit, tmp_path: Path) -> None:
    forgets = {"head": 0.0, "ia3": -0.02, "lora": 0.3}
    build_store(tmp_path, [replace(v, forgetting=forgets[v.method]) for v in DEMO if v.method in forgets])
    figure = _pareto(shared, _analysis(tmp_path), "x=forgetting&x-scale=log")
    low, high = figure["layout"]["xaxis"]["range"]
    assert (low < -0.02, high > 0.3, figure["layout"]["xaxis"]["type"]) == (True, True, "linear")
    assert any("forgetting: −0.0" in text and "nats a token" in text for text in _told(figure))


def test_a_baseline_far_above_all_variants_is_still_in_the_picture(shared: Visit, tmp_path: Path) -> None:
    build_store(tmp_path, DEMO, changes=build_baseline(tmp_path, 0.9))
    analysis = _analysis(tmp_path)
    layout = _pareto(shared, analysis)["layout"]
    assert analysis.comparison.baseline is not None
    at = 100 * analysis.comparison.baseline.accuracy
    low, high = layout["yaxis"]["range"]
    assert low < at < high
    assert [shape["y0"] for shape in layout["shapes"]] == pytest.approx([at] * len(analysis.fronts))


def test_a_hyperparameter_colours_the_points(shared: Visit, store: Path) -> None:
    figure = _pareto(shared, _analysis(store), "x=train_s&colour=alpha")
    named = {trace["name"]: trace["marker"]["color"] for trace in figure["data"] if trace.get("name")}
    colours = {
        name: colour
        for trace in figure["data"]
        for name, colour in zip(trace.get("customdata", []), trace.get("marker", {}).get("color", []), strict=False)
    }
    for alpha in (8, 32, 128):
        assert colours[f"lora alpha={alpha}"] == named[f"alpha={alpha}"]
    assert colours["head"] == named["no alpha"]
    assert len(set(colours.values())) == 4


def test_of_many_variants_only_those_on_the_front_are_named(shared: Visit, tmp_path: Path) -> None:
    many = [Variant(f"method{i:02}", {"learning_rate": 10**-i}, 0.35 + 0.002 * i, 1_000 * i) for i in range(1, 16)]
    build_store(tmp_path, many, seeds=[0, 1])
    figure = _pareto(shared, _analysis(tmp_path), "x=train_s&colour=learning_rate")
    [on, off] = [trace for trace in figure["data"] if trace["mode"] == "markers+text"]
    assert any(on["text"])
    assert not any(off["text"])
    assert len({*on["marker"]["color"], *off["marker"]["color"]}) > 10  # a scale, as there are too many for a legend


@pytest.fixture
def explored(browser: Browser, file: Path) -> Iterator[Visit]:
    """A visit of one's own to the whole report."""
    fresh = _visit(browser, file)
    fresh.page.locator(".choice").wait_for()
    yield fresh
    fresh.page.context.close()


ADDRESS = "#x=train_s&y=macro_f1&x-scale=log&colour=alpha&family=lora-family&family=scaling&select=lora+alpha%3D8"


def test_what_is_chosen_stands_in_the_address(explored: Visit) -> None:
    page = explored.page
    page.get_by_role("combobox", name="Across").select_option("train_s")
    page.get_by_role("combobox", name="Up").select_option("macro_f1")
    page.get_by_label("log scale across").check()
    page.get_by_role("combobox", name="Colour").select_option("alpha")
    for family in ("lora-family", "scaling"):
        page.get_by_role("button", name=family).click()
    page.locator("table").first.get_by_role("button", name="lora alpha=8").click()
    assert page.evaluate("location.hash") == ADDRESS
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("combobox", name="Colour").select_option("the front")
    assert page.evaluate("location.hash") == "#x=train_s&y=macro_f1&x-scale=log"


def test_a_link_shows_what_its_sender_saw(browser: Browser, file: Path) -> None:
    visit = _visit(browser, file, address=ADDRESS)
    page = visit.page
    visit.draw_all()
    assert page.locator("figure select").evaluate_all("lists => lists.map(list => list.value)") == [
        *("train_s", "macro_f1", "alpha")
    ]
    assert page.get_by_label("log scale across").is_checked()
    pressed = page.locator("[aria-pressed=true]")
    assert set(pressed.all_inner_texts()) >= {"lora-family", "scaling"}
    expect(page.locator(".picked")).to_have_text(["lora alpha=8"])
    names = visit.column(page.locator("table").first, "Method")
    assert {name.split()[0] for name in names} == {"lora", "ia3", "majority"}
    shown = page.evaluate("[...document.querySelectorAll('.plot')].map(plot => plot.data.flatMap(variantsOf))")
    for picture, variants in zip(PICTURES[:-1], shown, strict=False):
        assert set(variants) <= {"lora alpha=8", "lora alpha=32", "lora alpha=128", "ia3"}, picture
        assert variants.count("lora alpha=8") >= 2, picture
    ringed = "[...document.querySelectorAll('.plot')].map(plot => plot.data.filter(t => t.marker?.size === 18).length)"
    assert page.evaluate(ringed) == [1, 1, 2, 0, 2, 0]  # learning curves are lines, and the matrix is of one method
    axes = page.locator(".plot").first.evaluate("plot => [plot.layout.xaxis.title.text, plot.layout.xaxis.type]")
    assert axes == ["Training time (s)", "log"]
    assert visit.complaints == []
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found] == []
    page.context.close()


def test_a_row_is_selected_by_click_and_by_keyboard_in_every_table(explored: Visit) -> None:
    page = explored.page
    first = page.locator("table").first
    first.locator("tbody tr", has_text="prefix").locator("td").last.click()
    selected = page.locator("tr.selected")
    assert selected.count() > 3
    assert {name.split()[0] for name in selected.locator("th").all_inner_texts()} == {"prefix"}
    first.get_by_role("button", name="prefix").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert len(page.evaluate("chosen.getAll('select')")) == 2
    page.keyboard.press("Enter")
    assert page.evaluate("chosen.getAll('select')") == ["prefix"]
    reached = first.locator(".pick[tabindex='0']")
    assert reached.count() == 1  # Tab comes to one name of a table, and arrow keys to the others


def test_a_point_is_selected_like_its_row(explored: Visit) -> None:
    plot = explored.page.locator(".plot").nth(1)
    plot.scroll_into_view_if_needed()
    plot.locator(".point").first.click(force=True)
    [name] = explored.page.evaluate("chosen.getAll('select')")
    row = explored.page.locator("table").first.locator("tr.selected")
    assert row.get_attribute("data-variant") == name


def test_a_picture_that_nothing_chosen_is_in_says_so(explored: Visit) -> None:
    explored.page.get_by_role("button", name="scaling").click()
    explored.draw_all()
    sweep = explored.page.locator(".plot").nth(PICTURES.index("alpha-sweep"))
    expect(sweep).to_contain_text("None of the methods that are shown is in this picture.")
    explored.page.get_by_role("button", name="lora-family").click()
    sweep.scroll_into_view_if_needed()
    expect(sweep).not_to_contain_text("None of the methods")


def test_small_pictures_of_methods_that_are_not_shown_make_room_for_the_others(
    browser: Browser, tmp_path: Path
) -> None:
    searched = [variant for variant in DEMO if variant.method in ("head", "ia3", "prefix")]
    build_store(tmp_path, searched)
    for default in searched:
        for trial, rate in enumerate((default.hyperparameters["learning_rate"], 1e-4)):
            variant = replace(default, hyperparameters={**default.hyperparameters, "learning_rate": rate})
            Store(tmp_path).put(make_trial(variant, trial, [default.accuracy - 0.01 * trial]))
    found = report(Store(tmp_path).read(), tmp_path, pictures=True)
    visit = _visit(browser, _put(tmp_path / "searched.html", page.render(found)))
    drawn = visit.page.locator("img[alt^='Validation accuracy of each trial']")
    rates = visit.page.locator("figure", has=drawn)
    rates.scroll_into_view_if_needed()
    headings = rates.locator("text.annotation-text")
    expect(headings).to_have_count(3)
    names = headings.all_text_contents()
    assert names[0] == "ia3"
    left = headings.first.evaluate("heading => heading.getBoundingClientRect().left")
    visit.page.get_by_role("button", name="prompts").click()
    visit.page.get_by_role("button", name="anchors").click()
    expect(headings).to_have_text(names[1:])
    rates.scroll_into_view_if_needed()
    assert headings.first.evaluate("heading => heading.getBoundingClientRect().left") == left
    assert rates.locator(".point").count() == 4
    rates.locator(".point").first.click(force=True)
    assert visit.page.evaluate("chosen.getAll('select')") == [names[1]]
    assert visit.complaints == []
    visit.page.context.close()


def test_the_contents_lead_to_a_section_and_leave_what_was_chosen(explored: Visit) -> None:
    explored.page.get_by_role("combobox", name="Across").select_option("train_s")
    explored.page.locator("nav a").nth(2).click()
    explored.page.wait_for_function("location.hash === '#report-3&x=train_s'")
    assert explored.page.get_by_role("combobox", name="Across").input_value() == "train_s"


def test_an_address_of_nonsense_does_no_harm(browser: Browser, file: Path) -> None:
    nonsense = (
        "#report-99&x=<img src=x onerror=harmed()>&y=__proto__&colour=constructor&family=no&select=</script>&x-scale=9"
    )
    visit = _visit(browser, file, address=nonsense)
    visit.page.locator(".choice").wait_for()
    assert visit.complaints == []
    assert visit.page.get_by_role("combobox", name="Across").input_value() == ""
    visit.page.get_by_role("button", name="Clear").click()
    visit.page.locator("figure").first.scroll_into_view_if_needed()
    expect(visit.page.locator("svg.main-svg").first).to_be_visible()
    assert visit.complaints == []
    visit.page.context.close()


def test_the_largest_page_of_the_published_studies_is_below_a_megabyte_and_a_half() -> None:
    with published.as_store(Path("results/published/all-methods")) as folder:
        assert len(page.render(report(Store(folder).read(), folder, pictures=True))) < 1_500_000


def test_a_report_without_pictures_carries_no_library() -> None:
    rendered = page.render(Section("Title", (paragraph("Nothing to draw."),)))
    assert len(rendered) < 30_000


def test_the_same_report_gives_the_same_bytes() -> None:
    section = Section("Title", (Table((Column("Method"),), (Row((Cell("lora"),)),)),))
    assert page.render(section) == page.render(section)
