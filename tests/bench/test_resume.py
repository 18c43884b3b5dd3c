"""The same command again runs only what is missing or failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
from record_factory import DEMO, failed_record, make_record

from bench import console, resume, study
from bench.execution import child
from bench.job import Job
from bench.spec import BackboneRef, DataRef, LearningRates, RunSpec, Study, TrainingSpec, Variant, variants
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.resume import Rerun
    from bench.store.record import Record, Status

STATUSES: tuple[Status, ...] = ("ok", "failed", "oom", "timeout", "diverged")


def _spec(seed: int) -> RunSpec:
    return RunSpec(
        variant=Variant(method="head", hyperparameters={"learning_rate": 1e-3}),
        seed=seed,
        preset="demo",
        backbone=BackboneRef(name="gpt2", source="hub", revision="a" * 40, folder="/cache/gpt2"),
        data=DataRef(name="texts", source="hub", revision="b" * 40, fingerprint="c" * 64),
        training=TrainingSpec(epochs=3, batch_size=16, max_length=256, dtype="fp32", device="cpu"),
    )


SPECS = [_spec(seed) for seed in range(len(STATUSES) + 1)]
"""A run for each status, and one that was never run."""


def _record(status: Status, uid: str) -> Record:
    made = make_record(DEMO[1]) if status == "ok" else failed_record(DEMO[1], status=status)
    return made.model_copy(update={"uid": uid})


RECORDS = [_record(status, spec.uid) for status, spec in zip(STATUSES, SPECS, strict=False)]


def test_a_study_that_grows_does_what_is_new() -> None:
    def grid(alphas: list[int], seeds: tuple[int, ...]) -> list[RunSpec]:
        shared = {name: getattr(SPECS[0], name) for name in ("preset", "backbone", "data", "training")}
        return Study(
            variants=tuple(variants(("lora",), {"lora": {"alpha": alphas}}, LearningRates())), seeds=seeds, **shared
        ).runs()

    done = [_record("ok", spec.uid) for spec in grid([8], (0, 1))]
    todo = resume.plan(grid([8, 32], (0, 1, 2)), done, "missing", None).todo
    found = [(spec.seed, spec.variant.hyperparameters["alpha"]) for spec in todo]
    assert found == [(0, 32), (1, 32), (2, 8), (2, 32)]


def _todo(rerun: Rerun, adapters: Path | None = None) -> list[str]:
    """The statuses of what is to be run."""
    names = dict(zip([spec.uid for spec in SPECS], [*STATUSES, "missing"], strict=True))
    return [names[spec.uid] for spec in resume.plan(SPECS, RECORDS, rerun, adapters).todo]


@pytest.mark.parametrize(
    ("rerun", "todo"),
    [
        ("missing", ["missing"]),
        ("failed", ["failed", "oom", "timeout", "missing"]),
        ("all", [*STATUSES, "missing"]),
        ("none", []),
    ],
)
def test_what_is_run_again(rerun: Rerun, todo: list[str]) -> None:
    assert _todo(rerun) == todo


def test_a_run_whose_adapter_is_wanted_and_not_there_is_run_again(tmp_path: Path) -> None:
    assert _todo("missing", tmp_path) == ["ok", "missing"]
    (tmp_path / SPECS[0].uid).mkdir()
    assert _todo("missing", tmp_path) == ["missing"]


def test_one_line_says_what_is_skipped_and_why() -> None:
    def said(rerun: Rerun, count: int = len(SPECS)) -> str | None:
        return resume.plan(SPECS[:count], RECORDS, rerun, None).sentence()

    assert said("all") is None
    assert resume.plan(SPECS, [], "failed", None).sentence() is None
    assert said("failed") == (
        "2 of 6 runs have a record already (1 diverged, 1 ok); to do: 4 (1 failed, 1 missing, 1 oom, 1 timeout). "
        "--rerun all runs all again."
    )
    assert said("failed", 1) == "Nothing to run: 1 of 1 runs have a record already (1 ok). --rerun all runs them again."


def test_whom_a_study_waits_for_is_said_when_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [Job(spec=spec, styles=("a", "b"), scratch=tmp_path, adapter=None, threads=1) for spec in SPECS[:2]]
    view = console.view(2)
    for owners in (["node-1-2"], ["node-1-2"], ["node-3-4"]):
        view.waiting([(jobs[0], owners), (jobs[1], ["node-1-2"])])
    assert capsys.readouterr().out.splitlines() == [
        "waiting for 2 runs of another study: node-1-2",
        "waiting for 2 runs of another study: node-1-2, node-3-4",
    ]


def _request(gpt2: Path, texts: Path, store: Path, methods: tuple[str, ...], rerun: Rerun = "failed") -> study.Request:
    return study.Request(
        methods=methods,
        seeds=(0,),
        model=str(gpt2),
        data=str(texts),
        max_steps=2,
        device="cpu",
        dtype="fp32",
        baseline=False,
        results=store,
        rerun=rerun,
    )


def test_the_same_command_again_starts_no_process_and_a_larger_one_runs_the_rest(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, [first] = study.run(_request(gpt2, texts, tmp_path, ("frozen",)))
    with monkeypatch.context() as patch:
        patch.setattr(child, "warm_up", lambda: pytest.fail("a server is started for nothing"))
        _, again = study.run(_request(gpt2, texts, tmp_path, ("frozen",)))
        _, shown = study.run(_request(gpt2, texts, tmp_path, ("frozen", "head"), rerun="none"))
    assert [record.created_at for record in [*again, *shown]] == [first.created_at] * 2
    assert "Nothing to run: 1 of 1 runs" in capsys.readouterr().out

    _, larger = study.run(_request(gpt2, texts, tmp_path, ("head", "frozen")))
    assert [(record.method, record.status) for record in larger] == [("head", "ok"), ("frozen", "ok")]
    assert larger[1].created_at == first.created_at
    assert len(Store(tmp_path).read().records) == 2


@pytest.mark.parametrize(("asked", "after_s"), [("auto", 60.0), ("on", 0.0), ("off", None)])
def test_epochs_are_kept_when_they_are_long_or_always_or_never(
    asked: Literal["auto", "on", "off"],
    after_s: float | None,
    gpt2: Path,
    texts: Path,
    tmp_path: Path,
    taken: list[Job],
) -> None:
    study.run(replace(_request(gpt2, texts, tmp_path, ("head",)), checkpoint=asked))
    assert [job.checkpoint and job.checkpoint_after_s for job in taken] == [after_s]
