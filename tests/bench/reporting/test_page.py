"""The page in a real browser. Without one these tests skip; BENCH_BROWSER=required makes that a failure."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright
from record_factory import DEMO, Variant, build_store

from bench.reporting import page, report
from bench.reporting.model import Cell, Code, Column, Picture, Row, Section, Table, Unit, code, paragraph, strong
from bench.reporting.plots import drawing
from bench.reporting.plots.view import safe
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

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


def _visit(browser: Browser, file: Path, **options: object) -> Visit:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.complaints.append(message.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.goto(file.as_uri())
    return visit


@pytest.fixture(scope="module")
def shared(browser: Browser, file: Path) -> Visit:
    """One visit to the whole report for all tests that leave it as it was."""
    return _visit(browser, file)


@pytest.fixture
def visit(browser: Browser, tables: Path) -> Iterator[Visit]:
    """A visit of one's own, without pictures."""
    fresh = _visit(browser, tables)
    yield fresh
    fresh.page.context.close()


def test_it_loads_without_a_complaint_and_asks_for_nothing_else(shared: Visit, file: Path) -> None:
    expect(shared.page.locator("figure .plot svg.main-svg").first).to_be_visible()
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
    for point in plot.locator(".point:visible").all():
        point.hover(force=True)
        told = plot.locator(".hoverlayer").text_content() or ""
        if "</script>" in told:
            break
    assert re.search(r"accuracy \d\d\.\d% \(\d\d\.\d–\d\d\.\d\), 3 seeds", told)
    assert re.search(r"peak memory of live tensors: [\d.]+ MiB", told)
    assert told.startswith("<b>%{x}</b></script>")  # as it is called, neither bold nor filled in


def test_it_fits_a_phone_and_wide_tables_scroll_in_their_box(browser: Browser, file: Path) -> None:
    visit = _visit(browser, file, viewport=PHONE)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = visit.page.locator(".table").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    right = visit.page.locator(".plot").first.bounding_box()
    assert right is not None
    assert right["x"] + right["width"] <= PHONE["width"]
    visit.page.context.close()


def test_it_turns_dark_with_the_system_and_its_plots_with_it(shared: Visit) -> None:
    ground, ink = "getComputedStyle(document.body).backgroundColor", "document.querySelector('.plot text').style.fill"
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
    assert visit.page.evaluate("window.harmed") is None
    assert visit.complaints == []
    assert visit.page.title() == HOSTILE
    assert visit.page.locator("figure img").evaluate("image => image.decode().then(() => true)")
    assert visit.page.locator(".plot .gtitle").text_content() == HOSTILE
    for place in ("h1", "h2 >> nth=0", "p strong", "figcaption", "nav a >> nth=0", "thead th >> nth=0"):
        assert visit.page.locator(place).inner_text() == (f"{HOSTILE[:59]}…" if "thead" in place else HOSTILE)
    assert visit.page.locator("pre").inner_text() == f"first\n  {HOSTILE}"
    visit.page.context.close()


def test_a_report_without_pictures_carries_no_library() -> None:
    rendered = page.render(Section("Title", (paragraph("Nothing to draw."),)))
    assert len(rendered) < 30_000


def test_the_same_report_gives_the_same_bytes() -> None:
    section = Section("Title", (Table((Column("Method"),), (Row((Cell("lora"),)),)),))
    assert page.render(section) == page.render(section)
