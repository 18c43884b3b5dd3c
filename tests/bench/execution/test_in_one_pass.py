"""Runs that a study trains in one pass: which these are, whose they are, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import call
from watched import LORA, job_of

from bench.console.lines import terminal
from bench.console.views import View
from bench.execution.execute import Execution
from bench.execution.results import Results
from bench.execution.slots import Placing
from bench.spec import Variant
from bench.store.claims import Owner
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.job import Job
    from bench.store.record import Record


def _arguments(model: Path, texts: Path, store: Path, *more: str) -> list[str]:
    command = ["run", "--device", "cpu", "--dtype", "fp32", "--max-steps", "2", "--no-baseline", "--threads", "1"]
    return [*command, "--model", str(model), "--data", str(texts), "--results", str(store), "--seeds", "0", *more]


def _records(store: Path) -> list[Record]:
    return list(Store(store).read().records)


def test_runs_whose_times_nobody_wants_are_trained_in_one_pass_and_timed_when_somebody_does(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _arguments(gpt2, texts, tmp_path / "store", "--methods", "head", "--set", "head.learning_rate=0.1,0.2")
    assert call(monkeypatch, *asked, "--no-timing", "--save-adapters", str(tmp_path / "adapters")) == 0
    together = _records(tmp_path / "store")
    assert [(record.status, record.speed, record.memory) for record in together] == [("ok", None, None)] * 2
    assert {tuple(record.notes) for record in together} == {
        ("speed and memory are null: it was one of 2 runs that were trained in one pass",)
    }
    assert all((tmp_path / "adapters" / record.uid / "adapter.safetensors").exists() for record in together)
    assert call(monkeypatch, *asked) == 0
    timed = {record.uid: record for record in _records(tmp_path / "store")}
    for record in together:
        now = timed[record.uid]
        assert now.speed is not None
        assert (now.speed.exclusive, now.notes) == (True, [])
        assert now.quality == record.quality


@pytest.mark.usefixtures("misbehaving_methods")
def test_what_goes_wrong_in_one_pass_is_done_by_itself(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = "crowded.learning_rate=0.1,0.2,0.3"
    asked = _arguments(gpt2, texts, tmp_path / "store", "--methods", "crowded", "--set", rates, "--no-timing")
    assert call(monkeypatch, *asked) == 0
    found = _records(tmp_path / "store")
    assert [(record.status, record.speed is not None) for record in found] == [("ok", True)] * 3


def test_of_runs_that_go_together_those_are_taken_that_no_other_study_has(tmp_path: Path) -> None:
    keys = ["a", "a", None, "a", "b", "a", "a", "a"]
    settings = [{**LORA.hyperparameters, "alpha": 1 + number} for number in range(len(keys))]
    found = [job_of(Variant(method="lora", hyperparameters=each)) for each in settings]
    jobs = [replace(job, one_pass=key) for job, key in zip(found, keys, strict=True)]
    store = Store(tmp_path)
    with Owner(tmp_path) as mine, Owner(tmp_path) as another:
        another.claim(jobs[1].spec.uid)
        results = Results({}, "", store, mine, View(terminal(), len(jobs)), {}, None)
        execution = Execution(results, Placing(), None)

        def begun(at_once: int) -> tuple[list[Job], list[Job]]:
            """What begins with the first of the jobs, and what waits then, where so many run at once."""
            execution._slots = replace(Placing().slots("cpu"), at_once=at_once)
            waiting = jobs[1:]
            taken = execution._claim_others(jobs[0], waiting)
            for job in taken:
                mine.release(job.spec.uid)
            return taken, waiting

        assert begun(at_once=1) == ([jobs[3], jobs[5], jobs[6]], [jobs[1], jobs[2], jobs[4], jobs[7]])
        execution._at_most[jobs[3].spec.uid] = 2  # what failed with more
        assert begun(at_once=1) == ([jobs[5], jobs[6], jobs[7]], [jobs[1], jobs[2], jobs[3], jobs[4]])
        del execution._at_most[jobs[3].spec.uid]
        assert begun(at_once=2) == ([jobs[3], jobs[5]], [jobs[1], jobs[2], jobs[4], jobs[6], jobs[7]])


@pytest.mark.parametrize(
    ("model", "more", "expected"),
    [
        ("gpt2", ("--no-timing", "--dtype", "fp32"), {"lora", "head"}),
        ("gpt2", ("--no-timing", "--dtype", "bf16"), {"lora", "head", "ia3"}),
        ("gpt2", (), set()),
        ("gpt2", ("--no-timing", "--checkpoint", "on"), set()),
        ("llama", ("--no-timing",), set()),
    ],
)
def test_those_are_trained_in_one_pass_that_are_quicker_so_and_lose_nothing_that_was_asked_for(
    model: str,
    more: tuple[str, ...],
    expected: set[str],
    texts: Path,
    tmp_path: Path,
    taken: list[Job],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of prefix none, and of IA3 on a CPU in fp32."""
    asked = _arguments(request.getfixturevalue(model), texts, tmp_path / "store", *more)
    call(monkeypatch, *asked, "--methods", "lora,head,ia3,prefix")
    assert {job.spec.variant.method for job in taken if job.one_pass} == expected
