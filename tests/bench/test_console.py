"""What a person sees of a study: live on a terminal, plain lines where it is piped."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from record_factory import DEMO, failed_record, make_record
from rich.console import Console

from bench import console
from bench.job import Job, Progress
from bench.spec import BackboneRef, DataRef, RunSpec, TrainingSpec, Variant

if TYPE_CHECKING:
    import pytest

FROZEN = Variant(method="frozen", hyperparameters={"learning_rate": 0.0})
LORA = Variant(
    method="lora", hyperparameters={"r": 8, "alpha": 32, "dropout": 0.0, "targets": None, "learning_rate": 1.0}
)
HOSTILE = "no \x1b[2Jroom\nfor [bold]it[/bold]"


def _job(variant: Variant) -> Job:
    spec = RunSpec(
        variant=variant,
        seed=3,
        preset="demo",
        backbone=BackboneRef(name="gpt2", source="random", revision="a", folder="/models"),
        data=DataRef(name="texts", source="local", revision=None, fingerprint="b"),
        training=TrainingSpec(epochs=1, batch_size=8, max_length=64, dtype="fp32", device="cpu"),
    )
    return Job(spec=spec, styles=("ann", "bob"), scratch=Path("scratch"), adapter=None, threads=1)


def _watched(view: console.View) -> None:
    """A study of two runs: one that ends well, and one that fails with an unpleasant message."""
    with view:
        view.started(_job(LORA))
        view.progressed(_job(LORA), Progress("training", 3, 12, 1.2345))
        view.ended(_job(LORA), make_record(DEMO[3]))
        view.started(_job(FROZEN))
        view.ended(_job(FROZEN), failed_record(DEMO[0], status="oom", message=HOSTILE))


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
    console.View(Console(file=out), 1).ended(_job(LORA), record)
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
    view.timed(_job(LORA), make_record(DEMO[3]))
    view.timed(_job(FROZEN), None)  # there are no figures
    assert [line[:60] for line in out.getvalue().splitlines()] == [
        "timing the first seed of each of 2 variants again, with no o",
        "timed alone · lora alpha=32 learning_rate=1.0 seed=3 · train",
    ]


def test_every_run_under_way_has_a_bar() -> None:
    out = io.StringIO()
    view = console.LiveView(Console(file=out, force_terminal=True, width=160, color_system=None), 2)
    with view:
        for variant, done in ((LORA, 3), (FROZEN, 5)):
            view.started(_job(variant))
            view.progressed(_job(variant), Progress("training", done, 12, None))
        view.live.refresh()
        shown = out.getvalue()
        view.ended(_job(LORA), make_record(DEMO[3]))
        view.timing(1)
        view.started(_job(LORA))
        view.timed(_job(LORA), make_record(DEMO[3]))
    assert [f"{done}/12" in shown for done in (3, 5)] == [True, True]
    last = out.getvalue()
    assert "seed=3, timed alone" in last[last.rindex("macro-F1") :]


def _left(remaining: console.Remaining) -> float:
    seconds = remaining.seconds()
    assert seconds is not None
    return seconds


def test_the_time_left_is_of_all_runs_and_of_those_that_are_timed_after_them() -> None:
    now = 0.0
    remaining = console.Remaining(6, {_job(LORA).spec.variant_uid, _job(FROZEN).spec.variant_uid}, lambda: now)
    seeds = [replace(_job(LORA), spec=_job(LORA).spec.model_copy(update={"seed": seed})) for seed in range(6)]
    took = make_record(DEMO[3], changes={"wall_s": 10.0, "speed.exclusive": False})
    for run in seeds[:2]:
        remaining.started(run)
    assert remaining.seconds() is None
    now = 10.0
    remaining.ended(seeds[0], took)
    # five of ten seconds each, two at once, one of which is as good as over; then two alone, each ten at the most
    assert _left(remaining) == (5 * 10 - 10) / 2 + 2 * 10
    remaining.ended(seeds[1], took)
    remaining.started(seeds[2])
    remaining.started(seeds[3])
    now = 14.0
    assert _left(remaining) == (4 * 10 - 2 * 4) / 2 + 2 * 10
    for run in seeds[2:]:
        remaining.ended(run, took)
    assert _left(remaining) == 2 * 10

    remaining.timing(2)
    remaining.started(seeds[0])
    now += 6
    assert _left(remaining) == 2 * 10 - 6
    remaining.timed(seeds[0])
    assert _left(remaining) == 6
    remaining.timed(_job(FROZEN))  # nobody could
    assert _left(remaining) == 0


def test_nothing_is_timed_after_runs_that_were_alone() -> None:
    remaining = console.Remaining(3, {_job(LORA).spec.variant_uid}, lambda: 0.0)
    remaining.started(_job(LORA))
    remaining.ended(_job(LORA), make_record(DEMO[3], changes={"wall_s": 10.0, "speed.exclusive": True}))
    assert _left(remaining) == 2 * 10


def test_a_terminal_shows_the_time_left_of_the_whole() -> None:
    out = io.StringIO()
    view = console.LiveView(
        Console(file=out, force_terminal=True, width=160, color_system=None), 2, {_job(LORA).spec.variant_uid}
    )
    with view:
        view.started(_job(LORA))
        view.live.refresh()
        assert "left -:--:--" in out.getvalue()
        view.ended(_job(LORA), make_record(DEMO[3], changes={"wall_s": 4000.0, "speed.exclusive": False}))
        view.live.refresh()
        assert "left 2:13:20" in out.getvalue()


def test_a_warning_is_a_panel_on_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    console.warn("Take care", "of [this]")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Take care" in shown.err
    assert "of [this]" in shown.err
    assert "╭" in shown.err
