"""A study file with several tasks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from commands import call

from bench import study
from bench.errors import UsageError
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.job import Job


@pytest.fixture
def tasks(texts: Path, gpt2: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a study on two data sets with two backbones, in the current folder."""
    shutil.copytree(texts, tmp_path / "fewer")
    train = tmp_path / "fewer/train.jsonl"
    train.write_text("".join(train.read_text("utf-8").splitlines(keepends=True)[:-2]), encoding="utf-8")
    file = tmp_path / "study.yaml"
    chosen = "methods: head\nseeds: 0\nmax_steps: 2\ndevice: cpu\ndtype: fp32\nbaseline: false\n"
    file.write_text(f"data: [{texts}, fewer]\nmodel: [{gpt2}, {bert}]\n{chosen}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return file


def test_a_study_file_runs_every_task_into_one_store_and_again_only_what_is_missing(
    tasks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "study.yaml") == 0
    store = Store(tasks.parent / "results/study")
    ran = {(run.data.fingerprint, run.backbone.name): run for run in store.read().records}
    assert len(ran) == 4
    assert {run.data.sizes.train for run in ran.values()} == {35, 37}
    assert {(run.backbone.name, run.data.majority.accuracy) for run in ran.values()} == {
        (name, 0.4) for name in ("tiny-gpt2", "tiny-bert")
    }
    out = capsys.readouterr().out
    assert "4/4 · fewer · tiny-bert · head seed=0 · accuracy" in out
    assert "Over all 4 tasks" in out

    assert call(monkeypatch, "run", "study.yaml", "--seeds", "0,1", "--rerun", "none") == 0
    assert "4 of 4 runs ok" in capsys.readouterr().out
    gone = next(iter(ran.values()))
    store.record_path(gone.uid).unlink()
    assert call(monkeypatch, "run", "study.yaml") == 0
    out = capsys.readouterr().out
    assert "3 of 4 runs have a record already (3 ok); to do: 1 (1 missing)" in out
    assert "1/1 · " in out


def test_a_dry_run_counts_the_tasks(
    tasks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "study.yaml", "--set", "head.learning_rate=0.1,0.2", "--dry-run") == 0
    assert "4 tasks × 2 variants × 1 seeds = 8 runs" in capsys.readouterr().out


def test_tasks_have_a_scratch_folder_each_and_are_named(
    tasks: Path, texts: Path, gpt2: Path, taken: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, "run", "study.yaml", "--no-baseline") == 0
    assert len({job.scratch for job in taken}) == 4
    assert taken[0].label == "some-texts · tiny-gpt2 · head seed=0"
    study.run(study.Request(("head",), data=str(texts), model=str(gpt2), device="cpu", dtype="fp32", baseline=False))
    assert taken[4].label == "head seed=0"  # with one task it goes without saying


def test_each_train_size_is_a_task_with_the_same_test_passages(
    texts: Path, gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = ["--methods", "head", "--seeds", "0", "--max-steps", "2", "--device", "cpu", "--dtype", "fp32"]
    where = ["--model", str(gpt2), "--data", str(texts), "--results", "store", "--train-size", "10,37"]
    assert call(monkeypatch, "run", *chosen, *where, "--dry-run") == 0
    assert "2 tasks × 1 variants × 1 seeds = 2 runs" in capsys.readouterr().out
    assert call(monkeypatch, "run", *chosen, *where) == 0
    out = capsys.readouterr().out
    assert "1/2 · some-texts, 10 train passages · tiny-gpt2 · head" in out
    assert "2/2 · some-texts · tiny-gpt2 · head" in out
    assert "Accuracy by train size" in out
    store = Store(tmp_path / "store")
    ten, whole = sorted(store.read().records, key=lambda run: run.data.sizes.train)
    assert [run.data.sizes.train for run in (ten, whole)] == [10, 37]
    assert (ten.data.drawn_from, whole.data.drawn_from) == (whole.data.fingerprint, None)
    assert [run.data.baseline.passages for run in (ten, whole) if run.data.baseline] == [10, 37]
    tested = [pd.read_parquet(store.folder / f"{run.uid}.parquet")["text_hash"] for run in (ten, whole)]
    assert tested[0].equals(tested[1])


def test_one_task_under_two_names_is_refused(tasks: Path, texts: Path, gpt2: Path) -> None:
    shutil.copytree(texts, tasks.parent / "copy")
    same = [study.Request(("head",), data=name, model=str(gpt2), device="cpu") for name in (str(texts), "copy")]
    with pytest.raises(UsageError, match="copy · tiny-gpt2 and some-texts · tiny-gpt2 are the same"):
        study.run(*same)


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("settings", "said"),
    [("label: mood", "no column 'mood'"), ("category: [leters]", "no category 'leters'"), ("train_size: 99", "99")],
)
def test_what_is_wrong_with_texts_is_told_with_the_line_that_names_them(
    settings: str,
    said: str,
    dry: list[str],
    tasks: Path,
    texts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = f"preset: demo\nmethods: head\ndevice: cpu\ndata:\n  - {texts}\n  - source: fewer\n    {settings}\n"
    tasks.write_text(text, encoding="utf-8")
    assert call(monkeypatch, "run", "study.yaml", *dry) == 2
    told = capsys.readouterr().err
    assert told.startswith("bench: study.yaml:6: data: ")
    assert said in told


def test_a_data_set_that_cannot_be_read_stops_the_study_before_its_first_run(
    tasks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tasks.parent / "fewer/test.jsonl").write_text("{", encoding="utf-8")
    assert call(monkeypatch, "run", "study.yaml") == 2
    assert capsys.readouterr().err.startswith("bench: study.yaml:1: data: fewer/test.jsonl, line 1: ")
    assert not list(tasks.parent.glob("results/*/*.json"))
