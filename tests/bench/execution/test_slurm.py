"""Workers on other nodes: through a real Slurm of one node, and through submitit's own executor for this machine."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import TYPE_CHECKING

import misbehaving
import psutil
import pytest
import slurm_cluster
from commands import ROOT, call, wait_until

from bench.errors import UsageError
from bench.execution import engine as engines
from bench.execution import node, slots, slurm
from bench.machine import cores
from bench.store.claims import WORK
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNS = 3
GRID = [
    *("run", "--methods", "frozen", "--seeds", ",".join(map(str, range(RUNS))), "--max-steps", "1"),
    *("--device", "cpu", "--dtype", "fp32", "--threads", "1", "--no-baseline", "--no-timing"),
]


@pytest.fixture
def _logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A method that notes each run, here and in workers."""
    site = tmp_path / "site"
    site.mkdir()
    misbehaving.install(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(site)]))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    with misbehaving.known(site):
        yield


@pytest.fixture(params=["slurm", "local"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """The engine's options on a real Slurm; where there can't be one, on what submitit has in its place."""
    pytest.importorskip("submitit")
    missing = slurm_cluster.missing()
    if request.param == "local":
        if not missing:
            pytest.skip("the same is tried on a real Slurm")
        yield ["--engine", "slurm", "--engine-set", "cluster=local"]
        return
    if missing:
        pytest.skip(missing)
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield ["--engine", "slurm"]


def _claims(store: Path) -> list[str]:
    """Who claims a run at this moment."""
    return [path.name.split(".")[2] for path in store.glob(".*.claim")]


def _end_a_worker(store: Path) -> None:
    """Kill the first worker that claims a run, and all that it has started, as a node's end does."""
    wait_until(lambda: bool(_claims(store)), 240, "a worker claims a run")
    worker = psutil.Process(json.loads((store / WORK / _claims(store)[0] / "owner.json").read_text())["pid"])
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()


def _left(store: Path) -> list[Path]:
    return [*store.glob(".*.claim"), *(store / WORK).iterdir()]


@pytest.mark.usefixtures("_logged")
def test_workers_share_the_runs_and_take_over_what_dies_and_are_cancelled_by_ctrl_c(
    engine: list[str], gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, notes = tmp_path / "store", tmp_path / "notes"
    sources = ["--methods", "logged", "--model", str(gpt2), "--data", str(texts), "--results", str(store)]
    command = [*GRID, *sources, *engine]
    killer = threading.Thread(target=_end_a_worker, args=(store,))
    killer.start()
    assert call(monkeypatch, *command, "--workers", "2") == 0
    killer.join()
    records = Store(store).read().records
    assert sorted((record.seed, record.status) for record in records) == [(seed, "ok") for seed in range(RUNS)]
    assert "--engine slurm" in records[0].environment.command
    begun = len(set(notes.read_text().split()))
    assert begun in (RUNS, RUNS + 1)  # what was killed may have begun
    assert _left(store) == []

    def interrupted(*_: object) -> None:
        if _claims(store):
            raise KeyboardInterrupt

    monkeypatch.setattr(slurm.Slurm, "_look", interrupted)
    assert call(monkeypatch, *command, "--workers", "1", "--rerun", "all") == 130
    assert _left(store) == []
    assert Store(store).read().records == records
    assert len(set(notes.read_text().split())) == begun


class InThread:
    """A worker in a thread of this process, which saves its imports; submitit says as much of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        try:
            node.work(self.folder)
        except UsageError as error:
            (self.folder / "worker.err").write_text(f"bench: {error}")

    def done(self) -> bool:
        return not self.thread.is_alive()


@pytest.fixture
def _in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in threads, on a machine of two cores."""

    def submit(engine: slurm.Slurm, most: int) -> None:
        engine._workers = [InThread(engine.folder)]

    pytest.importorskip("submitit")
    monkeypatch.setattr(slurm.Slurm, "_submit", submit)
    monkeypatch.setattr(cores, "usable", lambda: (1000, 1001))


@pytest.mark.usefixtures("_in_threads")
def test_workers_time_what_had_neighbours(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*GRID, "--model", str(gpt2), "--data", str(texts), "--results", str(tmp_path / "store"), "--jobs", "2"]
    engine = ["--engine", "slurm", "--engine-set", "cluster=local", "--timing"]
    assert call(monkeypatch, *command, *engine, "--seeds", "0,1") == 0
    records = sorted(Store(tmp_path / "store").read().records, key=lambda record: record.seed)
    assert [record.speed and record.speed.exclusive for record in records] == [True, False]
    assert "timed alone · frozen seed=0" in capsys.readouterr().out
    assert _left(tmp_path / "store") == []


@pytest.mark.usefixtures("_in_threads")
def test_where_no_worker_does_a_run_the_study_stops_and_says_what_they_said(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*GRID, "--model", str(gpt2), "--data", str(texts), "--results", str(tmp_path / "store"), "--jobs", "3"]
    assert call(monkeypatch, *command, "--engine", "slurm", "--engine-set", "cluster=local") == 2
    said = capsys.readouterr().err
    assert f"all workers have ended, and {RUNS} runs aren't done. The last of them said:" in said
    assert "--jobs 3: this machine has 2 cores that may be used; take --jobs 2 at the most" in said
    assert _left(tmp_path / "store") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "slurm", "--engine-set", "time=soon"], "--engine slurm: time: Input should be a valid integer"),
        (["--engine", "slurm", "--engine-set", "partitoin=gpu"], "partitoin: no such setting; there are cluster, time"),
        (["--engine", "slurm", "--engine-set", "time"], "--engine-set time: expected NAME=VALUE, e.g. time=60"),
        (["--engine", "slurm", "--engine-file", "none.yaml"], "none.yaml: can't be read: No such file or directory"),
        (["--engine", "slurm", "--engine-file", "list.yaml"], "list.yaml: expected lines such as `time: 60`"),
        (["--engine", "slurm", "--engine-file", "bad.yaml"], "bad.yaml: not YAML: "),
        (["--engine-set", "time=5"], "are for other engines; add --engine slurm"),
        (["--workers", "2"], "are for other engines; add --engine slurm"),
    ],
)
@pytest.mark.parametrize("command", ["run", "tune"])
def test_bad_settings_are_refused(
    command: str,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "bad.yaml").write_text("a: [")
    assert call(monkeypatch, command, *arguments, "--dry-run") == 2
    assert said in capsys.readouterr().err


def test_settings_are_read_from_a_file_and_words_count_for_more(tmp_path: Path) -> None:
    file = tmp_path / "slurm.yaml"
    file.write_text("time: 30\npartition: gpu\nsetup: [module load cuda]\n")
    found = engines.settings("slurm", None, 2, ["time=90", "mem=8G"], file)
    assert isinstance(found, slurm.Settings)
    assert found.options == slurm.Options(time=90, partition="gpu", mem="8G", setup=["module load cuda"])
    assert (found.workers, found.placing) == (2, slots.Placing())


def test_an_engine_that_cant_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    asked = engines.settings("slurm")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(UsageError, match="no sbatch here; run this on a node that can submit Slurm jobs"):
            asked.hardware("cpu", "fp32")
    with monkeypatch.context() as patch:
        for name in slurm.COMMANDS:
            (tmp_path / name).write_text("#!/bin/sh\necho Slurmctld is DOWN\nexit 1\n")
            (tmp_path / name).chmod(0o755)
        patch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        with pytest.raises(UsageError, match="can't be reached; `scontrol ping` said: Slurmctld is DOWN"):
            asked.hardware("cpu", "fp32")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"needs submitit, which isn't installed: pip install 'peft-bench\[slurm\]'"):
        asked.hardware("cpu", "fp32")


def test_device_and_precision_are_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    with_gpu = engines.settings("slurm", pairs=["cluster=local", "gpus_per_node=1"])
    assert with_gpu.hardware("auto", "bf16") == ("cuda", "bf16")
    with pytest.raises(UsageError, match=r"add --dtype bf16 .* or --dtype fp32"):
        with_gpu.hardware("auto", "auto")
    assert engines.settings("slurm", pairs=["cluster=local"]).hardware("auto", "fp32") == ("cpu", "fp32")
    more_than_here = slots.Placing(jobs=10_000)  # the nodes may have them
    assert engines.settings("slurm", more_than_here, pairs=["cluster=local"]).hardware("cpu", "fp32")
