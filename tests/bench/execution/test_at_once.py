"""Several runs at once: the same results as one after the other, and times only from runs that were alone."""

from __future__ import annotations

import itertools
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest
from commands import call

import methods
from bench.errors import UsageError
from bench.execution import child, oom, slots
from bench.job import Job
from bench.machine import cores, facts
from bench.spec import BackboneRef, DataRef, RunSpec, TrainingSpec, Variant
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.store.record import Record

TWO = (1000, 1001)
"""Cores that no machine has: they are dealt out like others, and no process can be kept to them."""


class Stages(NamedTuple):
    """The records, by method, of a grid run in two ways and then timed; and for how long nothing was under way."""

    one_by_one: dict[str, Record]
    at_once: dict[str, Record]
    timed: dict[str, Record]
    idle: list[float]


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable", lambda: TWO)


def _arguments(gpt2: Path, texts: Path, store: Path, *more: str) -> list[str]:
    command = ["run", "--device", "cpu", "--dtype", "fp32", "--max-steps", "2", "--no-baseline", "--threads", "1"]
    return [*command, "--model", str(gpt2), "--data", str(texts), "--results", str(store), *more]


@pytest.fixture(scope="module")
def stages(gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    work = tmp_path_factory.mktemp("work")
    idle: list[float] = []
    wait = connection.wait

    def watched(sources: Any, timeout: float | None = None) -> list[Any]:
        if not sources:
            idle.append(timeout or 0.0)
        return wait(sources, timeout)

    def run(store: str, *more: str) -> dict[str, Record]:
        assert call(patch, *_arguments(gpt2, texts, work / store, "--methods", "head,ia3", "--seeds", "0", *more)) == 0
        return {record.method: record for record in Store(work / store).read().records}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "usable", lambda: TWO)
        patch.setattr(connection, "wait", watched)
        one_by_one = run("one")
        between = list(idle)
        at_once = run("two", "--jobs", "2", "--no-timing")
        timed = run("two", "--jobs", "2")
        patch.setattr(child, "warm_up", lambda: pytest.fail("a server is started for nothing"))
        assert run("two", "--jobs", "2") == timed
    return Stages(one_by_one, at_once, timed, between)


def test_results_dont_depend_on_how_many_run_at_once(stages: Stages) -> None:
    for method, record in stages.one_by_one.items():
        assert record.quality == stages.at_once[method].quality  # the predictions' SHA-256 among it
        assert record.parameters == stages.at_once[method].parameters


def test_a_record_says_whether_its_run_was_alone(stages: Stages) -> None:
    def said(records: dict[str, Record]) -> list[tuple[bool | None, int | None, int | None]]:
        speeds = [record.speed for record in records.values() if record.speed]
        return [(speed.exclusive, speed.neighbours, speed.threads) for speed in speeds]

    assert said(stages.one_by_one) == [(True, 0, 1)] * 2
    assert said(stages.at_once) == [(False, 1, 1)] * 2
    assert said(stages.timed) == [(True, 0, 1)] * 2


@pytest.mark.usefixtures("two_cores")
def test_a_neighbour_counts_however_short_and_a_study_that_waits_doesnt(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = cores.Cores((1002,))
    wait = connection.wait
    came: set[str] = set()

    def visited(sources: Any, timeout: float | None = None) -> list[Any]:
        [run] = others.folder.glob("run-*.lock")
        if run.name not in came and (lease := others.take(1)) is not None:
            if came:  # the second run's is one that computes
                lease.begin()
            lease.release()
            came.add(run.name)
        return wait(sources, timeout)

    monkeypatch.setattr(connection, "wait", visited)
    more = ("--methods", "frozen,ia3", "--seeds", "0", "--no-timing")
    assert call(monkeypatch, *_arguments(gpt2, texts, tmp_path, *more)) == 0
    speeds = {record.method: record.speed for record in Store(tmp_path).read().records}
    met = {method: (speed.exclusive, speed.neighbours) for method, speed in speeds.items() if speed}
    assert met == {"frozen": (True, 0), "ia3": (False, 1)}


@pytest.mark.usefixtures("two_cores")
def test_what_is_timed_has_the_threads_of_a_run_by_itself(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last of several at once, whose neighbours are over: it has fewer threads than the others' timings."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    command = [part for part in _arguments(gpt2, texts, tmp_path) if part not in ("--threads", "1")]
    alone = ["--methods", "ia3,frozen", "--jobs", "1", "--seeds", "0"]

    def threads() -> dict[str, tuple[int, int | None, bool | None]]:
        found = {record.method: record for record in Store(tmp_path).read().records}
        return {
            method: (record.training.threads, record.speed.threads, record.speed.exclusive)
            for method, record in found.items()
            if record.speed
        }

    assert call(monkeypatch, *command, "--methods", "ia3", "--seeds", "0", "--jobs", "2", "--no-timing") == 0
    assert threads() == {"ia3": (1, 1, False)}
    assert call(monkeypatch, *command, *alone) == 0
    assert threads() == {"ia3": (1, 2, True), "frozen": (2, 2, True)}


def test_the_same_command_times_what_wasnt_and_changes_nothing_else(stages: Stages) -> None:
    for method, before in stages.at_once.items():
        after = stages.timed[method]
        assert after.speed != before.speed
        measured = {"speed": None, "memory": None, "checksum": None}
        assert after.model_copy(update=measured) == before.model_copy(update=measured)


def test_nothing_is_waited_for_between_two_runs(stages: Stages) -> None:
    assert stages.idle == []


@pytest.mark.usefixtures("two_cores")
def test_auto_says_what_it_chose_and_why(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(slots, "quickest", lambda rates, runs, timed: max(rates))
    more = ("--methods", "ia3", "--seeds", "0,1", "--jobs", "auto")
    assert call(monkeypatch, *_arguments(gpt2, texts, tmp_path, *more)) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("--jobs")]
    assert line.startswith("--jobs auto: 2 runs at once, 1 thread each (1 at once: ")
    assert " steps/s, 2 at once: " in line
    assert line.endswith(" steps/s; 2 runs, and 1 to time alone if several run at once).")
    assert [record.speed and record.speed.neighbours for record in Store(tmp_path).read().records] == [0, 1]


ONE_FOR_ALL = {1: 10.0, 2: 10.2}
TWICE = {1: 10.0, 2: 19.0}
SIXTEEN = {1: 10.0, 2: 19.0, 4: 36.0, 8: 60.0, 16: 70.0}
"""Made-up steps a second of all runs together: where a run gains from every core, and where it gains little."""


@pytest.mark.parametrize(
    ("rates", "runs", "timed", "best"),
    [
        ({}, 21, 0, 1),
        (ONE_FOR_ALL, 20, 0, 1),
        (TWICE, 20, 0, 2),
        (TWICE, 21, 7, 2),
        (TWICE, 5, 5, 1),  # with one seed everything would be run again
        (TWICE, 1, 0, 1),
        ({1: 10.0, 2: 9.0}, 20, 0, 1),
        (SIXTEEN, 64, 0, 16),
        (SIXTEEN, 8, 0, 8),
        (SIXTEEN, 9, 0, 16),  # eight would need a second round for one run
        (SIXTEEN, 21, 7, 8),
        (SIXTEEN, 7, 7, 1),
        ({**SIXTEEN, 16: 60.5}, 64, 0, 8),
    ],
)
def test_so_many_run_at_once_as_get_the_study_done_soonest(
    rates: dict[int, float], runs: int, timed: int, best: int
) -> None:
    assert slots.quickest(rates, runs, timed) == best


@pytest.mark.parametrize(
    ("cores_there", "threads", "runs", "tried"),
    [
        (16, None, 60, {1: 16, 2: 8, 4: 4, 8: 2, 16: 1}),
        (12, None, 60, {1: 12, 2: 6, 4: 3, 8: 1, 12: 1}),
        (16, 4, 60, {1: 4, 2: 4, 4: 4}),
        (16, None, 3, {1: 16, 2: 8, 3: 5}),
        (2, None, 1, {}),
    ],
)
def test_every_share_of_the_cores_is_tried_once(
    cores_there: int, threads: int | None, runs: int, tried: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, int] = {}

    def measured(_: Job, shares: Sequence[tuple[int, ...]]) -> list[tuple[float, int]]:
        assert len({core for share in shares for core in share}) == sum(map(len, shares))
        seen[len(shares)] = len(shares[0])
        return [(0.1 * len(shares), 2**20)] * len(shares)

    monkeypatch.setattr(slots, "_measured", measured)
    jobs = [_job("lora")] * runs
    assert list(slots.rates(jobs, tuple(range(cores_there)), threads)) == list(tried)
    assert seen == tried


def test_no_more_are_tried_than_memory_allows_and_a_failure_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    half = psutil.virtual_memory().total // 2
    monkeypatch.setattr(slots, "_measured", lambda _, shares: [(0.1, half)] * len(shares))
    assert list(slots.rates([_job("lora")] * 8, tuple(range(8)), None)) == [1]
    monkeypatch.setattr(slots, "_measured", lambda *_: [])
    assert slots.rates([_job("lora")] * 8, tuple(range(8)), None) == {}
    monkeypatch.setattr(slots, "_measured", lambda *_: pytest.fail("nothing of it trains by steps"))
    assert slots.rates([_job("frozen")] * 8, tuple(range(8)), None) == {}


def _job(method: str) -> Job:
    spec = RunSpec(
        variant=Variant(method=method, hyperparameters=methods.get(method)().hyperparameters()),
        seed=0,
        preset="custom",
        backbone=BackboneRef(name="gpt2", source="random", revision="a", folder="/models"),
        data=DataRef(name="texts", source="local", revision=None, fingerprint="b"),
        training=TrainingSpec(epochs=1, batch_size=8, max_length=64, dtype="fp32", device="cpu"),
    )
    return Job(spec=spec, styles=("ann", "bob"), scratch=Path("scratch"), adapter=None)


@pytest.mark.usefixtures("two_cores")
def test_more_than_there_is_is_refused_and_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    placed = slots.slots(2, None, 1, "cpu")
    assert (placed.at_once, placed.threads) == (2, 1)
    assert slots.slots(1, None, 1, "cpu").threads == 2
    with pytest.raises(
        UsageError, match=r"--jobs 3: this machine has 2 cores .* take --jobs 2 at the most, or --jobs auto"
    ):
        slots.slots(3, None, 1, "cpu")
    with pytest.raises(UsageError, match=r"--jobs 2 with --threads 2: .* take --threads 1 at the most"):
        slots.slots(2, 2, 1, "cpu")
    with pytest.raises(UsageError, match="--runs-per-gpu is for runs on CUDA"):
        slots.slots(1, None, 2, "cpu")
    monkeypatch.setattr(facts, "gpus", lambda: ("0",))
    assert slots.slots(None, None, 2, "cuda").at_once == 2
    with pytest.raises(UsageError, match="--jobs 2: this machine has 1 GPU with 1 run each"):
        slots.slots(2, None, 1, "cuda")


@pytest.mark.usefixtures("two_cores", "misbehaving_methods")
def test_of_two_that_are_killed_the_kernels_count_explains_one_and_no_neighbour_is_blamed(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = itertools.count()
    monkeypatch.setattr(oom, "_told", 0)
    monkeypatch.setattr(oom, "kills", lambda: int(next(asked) >= 2))  # one, after both have begun
    more = ("--methods", "shot,frozen", "--seeds", "0,1", "--jobs", "2", "--no-timing")
    assert call(monkeypatch, *_arguments(gpt2, texts, tmp_path / "store", *more)) == 1
    records = Store(tmp_path / "store").read().records
    assert sorted((record.method, record.status) for record in records) == [
        *(("frozen", "ok"), ("frozen", "ok")),
        *(("shot", "failed"), ("shot", "oom")),
    ]
