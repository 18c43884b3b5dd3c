"""What a person sees of a study: live on a terminal, plain lines where it is piped."""

from __future__ import annotations

import io
import re

from record_factory import DEMO, failed_record, make_record
from rich.console import Console
from watched import FROZEN, LORA, job_of

from bench import console
from bench.job import Progress

HOSTILE = "no \x1b[2Jroom\nfor [bold]it[/bold]"


def _watched(view: console.View) -> None:
    """A study of two runs: one that ends well, and one that fails with an unpleasant message."""
    with view:
        view.started(job_of(LORA))
        view.progressed(job_of(LORA), Progress("training", 3, 12, 1.2345))
        view.ended(job_of(LORA), make_record(DEMO[3]))
        view.started(job_of(FROZEN))
        view.ended(job_of(FROZEN), failed_record(DEMO[0], status="oom", message=HOSTILE))


def test_piped_a_run_is_one_plain_line() -> None:
    out = io.StringIO()
    _watched(console.View(Console(file=out), 2))
    first, second = out.getvalue().splitlines()
    record = make_record(DEMO[3])
    assert record.quality is not None
    assert first.startswith("1/2 · lora alpha=32 learning_rate=1.0 seed=3 · ")
    assert f"accuracy {record.quality.test.accuracy:.1%}" in first
    assert second.startswith("2/2 · frozen seed=3 · oom: no \\x1b[2Jroom for [bold]it[/bold] · ")


def test_a_good_run_says_what_it_lacks() -> None:
    record = make_record(DEMO[3], changes={"notes": ["compute is null: RuntimeError: no", "and more"]})
    out = io.StringIO()
    console.View(Console(file=out), 1).ended(job_of(LORA), record)
    assert out.getvalue().endswith(f"{record.wall_s:.1f} s · compute is null: RuntimeError: no; and more\n")


def test_on_a_terminal_the_table_grows_over_the_progress() -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=160, color_system=None)
    _watched(console.LiveView(terminal, 2))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", out.getvalue())
    last = shown[shown.rindex("macro-F1") :]
    rows = [line for line in last.splitlines() if "seed=3" in line]
    assert [row.split()[0] for row in rows] == ["lora", "frozen"]
    assert "oom: no \\x1b[2Jroom for [bold]it[/bold]" in " ".join(last.split())
    assert "\x1b[2J" not in out.getvalue()


def test_a_run_that_is_timed_alone_has_a_line_of_its_own() -> None:
    out = io.StringIO()
    view = console.View(Console(file=out), 1)
    view.timing(2)
    view.timed(job_of(LORA), make_record(DEMO[3]))
    view.timed(job_of(FROZEN), None)  # there are no figures
    assert [line[:60] for line in out.getvalue().splitlines()] == [
        "timing the first seed of each of 2 variants again, with no o",
        "timed alone · lora alpha=32 learning_rate=1.0 seed=3 · train",
    ]


def test_every_run_under_way_has_a_bar() -> None:
    out = io.StringIO()
    view = console.LiveView(Console(file=out, force_terminal=True, width=160, color_system=None), 2)
    with view:
        for variant, done in ((LORA, 3), (FROZEN, 5)):
            view.started(job_of(variant))
            view.progressed(job_of(variant), Progress("training", done, 12, None))
        view.live.refresh()
        shown = out.getvalue()
        view.ended(job_of(LORA), make_record(DEMO[3]))
        view.timing(1)
        view.started(job_of(LORA))
        view.timed(job_of(LORA), make_record(DEMO[3]))
    assert [f"{done}/12" in shown for done in (3, 5)] == [True, True]
    last = out.getvalue()
    assert "seed=3, timed alone" in last[last.rindex("macro-F1") :]


def test_a_run_that_begins_again_has_one_bar() -> None:
    view = console.LiveView(Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None), 1)
    with view:
        for _ in range(2):
            view.started(job_of(LORA))
        assert [task.visible for task in view.run.tasks].count(True) == 1


def test_a_terminal_shows_the_time_left_of_the_whole() -> None:
    out = io.StringIO()
    view = console.LiveView(
        Console(file=out, force_terminal=True, width=160, color_system=None), 2, {job_of(LORA).spec.variant_uid}
    )
    with view:
        view.started(job_of(LORA))
        view.live.refresh()
        assert "left -:--:--" in out.getvalue()
        view.ended(job_of(LORA), make_record(DEMO[3], changes={"wall_s": 4000.0, "speed.exclusive": False}))
        view.live.refresh()
        assert "left 2:13:20" in out.getvalue()
