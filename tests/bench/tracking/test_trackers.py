"""What trackers are told of a study, and that one which fails or hangs costs a warning."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trackers
from record_factory import DEMO, failed_record, make_record, make_trial
from watched import FROZEN, LORA, job_of

from bench import study
from bench.errors import UsageError
from bench.job import Progress
from bench.spec import TrialSpec
from bench.store.files import Store
from bench.study import Request
from bench.tracking import NAMES, Trackers, installed, reporter, reports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.job import Job
    from bench.store.record import Epoch, Record
    from bench.tracking import Name

TEXT = "the owl wasn't seen by anybody"
GOOD, FAILED = "lora alpha=32 learning_rate=1.0 seed=3", "frozen seed=3"
TRIAL = "lora alpha=32 learning_rate=1.0 trial=2 search-seed=3"


class View:
    """What a person would see: lines, and nothing else."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def said(self, line: str) -> None:
        self.lines.append(line)

    def started(self, job: Job) -> None: ...
    def progressed(self, job: Job, progress: Progress) -> None: ...
    def ended(self, job: Job, record: Record) -> None: ...
    def timing(self, runs: int) -> None: ...
    def timed(self, job: Job, record: Record | None) -> None: ...
    def waiting(self, jobs: Sequence[tuple[Job, Sequence[str]]]) -> None: ...


class Told(NamedTuple):
    """What was done, and what a tracker knows of it; `kept` is all that it has on the disk of these runs."""

    good: Record
    timed: Record
    trial: Record
    seen: dict[str, trackers.Seen]
    kept: bytes
    lines: list[str]
    name: Name


def _epochs(record: Record) -> list[Epoch]:
    assert record.quality is not None
    return record.quality.epochs


@pytest.fixture(scope="module", params=NAMES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A study of two runs at once, of which one fails, and a trial; then the good one is timed by itself."""
    name: Name = request.param
    pytest.importorskip(name, reason=f"{name} isn't installed: pip install 'peft-bench[{name}]'")
    root = tmp_path_factory.mktemp(name)
    folder, store = root / "kept", root / "owls"
    folder.mkdir()
    store.mkdir()
    command = "python -m bench run --data /home/maxine/owls --token hf_secret"
    good = make_record(DEMO[3], changes={"environment.command": command})
    assert good.speed is not None
    timed = good.model_copy(update={"speed": good.speed.model_copy(update={"train_s": 4.5, "exclusive": True})})
    trial, view = make_trial(DEMO[3], 2, [0.25, 0.5]), View()
    spec = job_of(LORA).spec
    searching = replace(job_of(LORA), spec=spec.model_copy(update={"search": TrialSpec(trial=2, space={})}))
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in trackers.settings(name, folder).items():
            patch.setenv(variable, value)
        with Trackers([name]) as reporting:
            events = reporting.beside(view, store)
            events.started(job_of(LORA))
            events.started(job_of(FROZEN))
            events.progressed(job_of(LORA), Progress("training", 10, 20, 1.5))
            events.progressed(job_of(LORA), Progress("training", 10, 20, 1.5, _epochs(good)[0]))
            events.ended(job_of(FROZEN), failed_record(DEMO[0], message=TEXT))
            events.ended(job_of(LORA), good)
            events.started(searching)
            events.ended(searching, trial)
            events.timing(1)
            events.started(job_of(LORA))
            events.progressed(job_of(LORA), Progress("training", 10, 20, 1.5, _epochs(good)[0]))
            events.timed(job_of(LORA), timed)
        places = [root] if name != "wandb" else list(folder.rglob("*.wandb"))  # its logs stay here
        files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
        kept = b"\n".join(file.read_bytes() for file in files if file.is_file())
        yield Told(good, timed, trial, trackers.seen(name, folder, store), kept, view.lines, name)


def test_each_run_is_there_with_how_it_ended(told: Told) -> None:
    good, bad = {
        "trackio": ("ok", "failed"),
        "wandb": ("exit 0", "exit 1"),
        "mlflow": ("FINISHED", "FAILED"),
        "tensorboard": ("STATUS_SUCCESS", "STATUS_FAILURE"),
    }[told.name]
    assert {name: run.ended for name, run in told.seen.items()} == {GOOD: good, FAILED: bad, TRIAL: good}
    assert told.lines == [line for line in told.lines if line.startswith(f"Reporting to {told.name}")]


def test_it_has_its_parameters_and_what_the_record_tells(told: Told) -> None:
    parameters = {name: str(value) for name, value in told.seen[GOOD].told.items()}
    assert parameters["method"] == "lora"
    assert [float(parameters[name]) for name in ("hyperparameters/alpha", "seed", "training/batch_size")] == [32, 3, 8]
    assert parameters["environment/torch"] == told.good.environment.torch
    assert told.seen[FAILED].told["error/type"] == "RuntimeError"


def test_it_has_each_epoch_once(told: Told) -> None:
    epochs = _epochs(told.good)
    assert len(epochs) > 1
    for figure in ("train_loss", "validation_loss", "validation_accuracy"):
        expected = {epoch.epoch: pytest.approx(getattr(epoch, figure)) for epoch in epochs}
        assert told.seen[GOOD].epochs[figure] == expected
    assert told.trial.search is not None
    assert told.trial.search.epochs is not None
    assert told.seen[TRIAL].epochs["validation_accuracy"] == {
        epoch.epoch: pytest.approx(epoch.validation_accuracy) for epoch in told.trial.search.epochs
    }


def test_it_has_the_figures_and_those_of_the_run_that_was_timed_by_itself(told: Told) -> None:
    figures = told.seen[GOOD].figures
    assert told.good.quality is not None
    assert told.timed.speed is not None
    assert figures["quality/test/accuracy"] == pytest.approx(told.good.quality.test.accuracy)
    assert figures["speed/train_s"] == pytest.approx(told.timed.speed.train_s)
    assert "quality/test/accuracy" not in told.seen[FAILED].figures


def test_a_trial_is_marked(told: Told) -> None:
    assert {name: run.kind for name, run in told.seen.items()} == {GOOD: "run", FAILED: "run", TRIAL: "trial"}


def test_commands_paths_and_what_errors_said_stay_here(told: Told) -> None:
    assert told.good.environment.platform.encode() in told.kept
    assert [said for said in (TEXT, "maxine", "hf_secret", "/models") if said.encode() in told.kept] == []


def test_a_study_reports_epochs_as_they_end_and_a_resumed_one_nothing_again(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(reports, "epochs", lambda record: [])
    request = Request(
        methods=("head",), seeds=(0,), model=str(gpt2), data=str(texts), results=tmp_path / "store", epochs=2,
        device="cpu", dtype="fp32", baseline=False, report_to=("tensorboard",),
    )  # fmt: skip
    _, [record] = study.run(request)
    [run] = trackers.seen("tensorboard", tmp_path, tmp_path / "store").values()
    assert run.ended == "STATUS_SUCCESS"
    assert run.epochs["validation_loss"] == {
        epoch.epoch: pytest.approx(epoch.validation_loss) for epoch in _epochs(record)
    }
    assert "Reporting to tensorboard: tensorboard --logdir " in capsys.readouterr().out
    study.run(replace(request, seeds=(0, 1)))
    assert len(trackers.seen("tensorboard", tmp_path, tmp_path / "store")) == 2
    assert len(Store(tmp_path / "store").read().records) == 2


def test_one_that_hangs_is_given_up_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setattr(reporter, "LIMIT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{mute.getsockname()[1]}")
        assert _warnings("mlflow", tmp_path) == [
            f"Warning: nothing more is reported to mlflow: it didn't answer for 0.2 s. The records are in {tmp_path}."
        ]


def test_one_that_fails_at_its_start_is_given_up_with_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("no folder")
    [warning] = _warnings("tensorboard", tmp_path)
    assert warning.startswith("Warning: nothing more is reported to tensorboard: FileExistsError: ")


def test_one_that_fails_later_is_given_up_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    (tmp_path / "kept").write_text("no folder")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))
    [_, warning] = _warnings("trackio", tmp_path)
    assert warning.startswith("Warning: nothing more is reported to trackio: ")


def _warnings(name: Name, store: Path) -> list[str]:
    """Report two runs, and return the lines that a person sees."""
    view = View()
    with Trackers([name]) as reporting:
        events = reporting.beside(view, store)
        for variant in (LORA, FROZEN):
            events.started(job_of(variant))
            events.ended(job_of(variant), make_record(DEMO[3]))
    return view.lines


def test_runs_under_way_are_interrupted_with_their_study(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with suppress(KeyboardInterrupt), Trackers(["tensorboard"]) as reporting:
        reporting.beside(View(), tmp_path).started(job_of(LORA))
        raise KeyboardInterrupt
    [run] = trackers.seen("tensorboard", tmp_path, tmp_path).values()
    assert (run.ended, run.told["status"]) == ("STATUS_FAILURE", "interrupted")


def test_what_another_study_did_is_left_to_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with Trackers(["tensorboard"]) as reporting:
        reporting.beside(View(), tmp_path).ended(job_of(LORA), make_record(DEMO[3]))
    assert trackers.seen("tensorboard", tmp_path, tmp_path) == {}


def test_one_that_is_not_installed_is_refused_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that is called like it is no package: wandb leaves one where it was used."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UsageError, match=r"needs wandb, which isn't installed: pip install 'peft-bench\[wandb\]'"):
        installed.check(["wandb"])
