"""A study on a real Ray cluster of three nodes on this machine, one of which is killed in the middle.

The first run that is timed again is given to the node that is gone, and then the process that attends to it is killed.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import misbehaving
import psutil
import pytest
from commands import BENCH, Terminal, call, wait_until

from bench.console import View
from bench.errors import UsageError
from bench.execution.slots import Placing
from bench.machine import facts
from bench.store.claims import WORK
from bench.store.files import Store

pytest.importorskip("ray", reason="Ray isn't installed: pip install -e '.[ray]'")

import ray
import ray_cluster

from bench.execution import ray_engine
from bench.execution.ray_node import Begun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ray_cluster import Nodes

    from bench.store.record import Record

METHODS = ("head", "ia3", "leaves")
GRID = 6
STUDY = ["run", "--device", "cpu", "--dtype", "fp32", "--max-steps", "2", "--threads", "1", "--no-baseline"]


class Stages(NamedTuple):
    """Records, by method and seed, of one grid: by the local engine, by Ray, and there after some were timed again.

    And how often the end of each run was told, which runs were lost with their nodes, and what the engine said.
    """

    local: dict[tuple[str, int], Record]
    ray: dict[tuple[str, int], Record]
    timed: dict[tuple[str, int], Record]
    store: Path
    ended: Counter[str]
    lost: list[str]
    said: str


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    site = misbehaving.install(tmp_path_factory.mktemp("site"))
    with ray_cluster.cluster(PYTHONPATH=str(site)) as nodes, misbehaving.known(site):
        yield nodes


@pytest.fixture(scope="module")
def stages(nodes: Nodes, gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    work = tmp_path_factory.mktemp("work")
    ended: Counter[str] = Counter()
    lost: list[str] = []
    begun: list[str] = []
    gone: list[str] = []

    def run(store: str, *more: str) -> dict[tuple[str, int], Record]:
        sources = ["--model", str(gpt2), "--data", str(texts), "--results", str(work / store)]
        assert call(patch, *STUDY, *sources, "--methods", ",".join(METHODS), "--seeds", "0,1", *more) == 1
        return _by_method(Store(work / store).read().records)

    def started(self: View, job: Any) -> None:
        begun.append(job.spec.uid)
        if len(begun) == 2:  # one on each node
            gone.extend([nodes.kill()] * (ray_engine.TRIES - 1))
        if len(begun) > GRID:  # it is timed again
            for process in nodes.running():
                process.kill()

    def noted_end(self: View, job: Any, record: Record) -> None:
        ended[record.uid] += 1

    def noted_loss(self: Any, run: Any, error: Exception) -> Any:
        lost.append(run.job.spec.uid)
        return lose(self, run, error)

    def run_beside_others(self: Any, jobs: Any) -> None:
        run_all(self, jobs)
        by_ray.update(_by_method(self.results.records.values()))
        for seed in (0, 1):  # to be timed again
            record = _meet_others(Store(work / "ray"), by_ray["ia3", seed])
            self.results.records[record.uid] = record
            self._losses[record.uid] = ray_engine.TRIES - 1

    def largest_or_gone(self: Any) -> Any:
        node = largest(self)
        return {**node, "NodeID": gone.pop()} if gone else node

    by_ray: dict[tuple[str, int], Record] = {}
    lose, run_all, largest = ray_engine.Ray._lost, ray_engine.Ray.run, ray_engine.Ray._largest
    with pytest.MonkeyPatch.context() as patch:
        local = run("local", "--no-timing")
        said: list[str] = []
        patch.setattr(View, "said", lambda self, line: said.append(line))
        patch.setattr(View, "ended", noted_end)
        patch.setattr(View, "started", started)
        patch.setattr(ray_engine.Ray, "_lost", noted_loss)
        patch.setattr(ray_engine.Ray, "run", run_beside_others)
        patch.setattr(ray_engine.Ray, "_largest", largest_or_gone)
        timed = run("ray", *nodes.options)
    return Stages(local, by_ray, timed, work / "ray", ended, lost, said[0])


def _by_method(records: Iterable[Record]) -> dict[tuple[str, int], Record]:
    return {(record.method, record.seed): record for record in records}


def _meet_others(store: Store, record: Record) -> Record:
    assert record.speed is not None
    speed = record.speed.model_copy(update={"exclusive": False, "neighbours": 1})
    changed = record.model_copy(update={"speed": speed, "checksum": None})
    store.put(changed, store.predictions_path(record.uid).read_bytes())
    return changed


def test_none_is_lost_and_none_is_done_twice_where_a_node_is_killed(stages: Stages) -> None:
    assert stages.lost
    assert stages.ray.keys() == stages.local.keys()
    assert list(stages.ended.values()) == [1] * GRID
    assert [*stages.store.glob(".*.claim"), *(stages.store / WORK).iterdir()] == []
    assert stages.said == "Ray: 3 nodes, room for 2 runs at once"


def test_results_and_errors_are_those_of_the_local_engine(stages: Stages) -> None:
    for key, record in stages.local.items():
        other = stages.ray[key]
        assert other.quality == record.quality  # the predictions' SHA-256 among it
        assert (other.uid, other.status, other.error) == (record.uid, record.status, record.error)
        assert (other.parameters, other.compute, other.training) == (
            record.parameters,
            record.compute,
            record.training,
        )
        assert other.environment == record.environment.model_copy(update={"command": other.environment.command})
    assert {record.status for (method, _), record in stages.ray.items() if method == "leaves"} == {"failed"}


def test_a_run_has_times_of_its_own_where_it_has_a_node_and_nothing_kept_by_others(stages: Stages) -> None:
    speeds = [record.speed for record in stages.ray.values() if record.speed]
    assert [speed.exclusive for speed in speeds] == [not speed.features_reused for speed in speeds]


def test_what_met_others_is_timed_again_on_a_whole_node(stages: Stages) -> None:
    speeds = {seed: stages.timed["ia3", seed].speed for seed in (0, 1)}
    assert [speed and speed.exclusive for speed in speeds.values()] == [True, False]
    for key, record in stages.timed.items():
        assert record.quality == stages.ray[key].quality


def test_nodes_keep_the_backbone_and_nothing_of_the_study(stages: Stages, nodes: Nodes) -> None:
    kept = {
        path.name for folder in nodes.folders.values() for path in folder.glob("peft-bench-ray-*/*") if path.is_dir()
    }
    assert kept == {f"backbone-{record.backbone.revision}" for record in stages.ray.values()}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--threads", "9"], "no node of the cluster has what a run asks for, 9 CPUs: they have 0 CPUs; 1 CPU"),
        (["--device", "cuda", "--dtype", "fp32"], "what a run asks for, 1 CPU and 1 GPU: they have 0 CPUs; 1 CPU"),
        (["--jobs", "2"], "--jobs is for one machine"),
        (["--runs-per-gpu", "2"], "--runs-per-gpu is for runs on CUDA"),
        (["--workers", "2"], "--workers is for --engine slurm"),
        (["--engine-set", "adress=x"], "adress: no such setting; there are address"),
    ],
)
def test_what_cant_be_had_is_refused_and_what_to_do_is_said(
    more: list[str],
    said: str,
    nodes: Nodes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.cluster.address)
    study = [*STUDY, "--preset", "demo", "--results", str(tmp_path / "store"), "--engine", "ray"]
    assert call(monkeypatch, *study, *more) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no Ray cluster can be reached at 127.0.0.1:1: [Errno 111] Connection refused. `ray status`"),
        ("nonsense", "no Ray cluster can be reached at nonsense: "),
        ("ray://127.0.0.1:10001", "run it on a machine of the cluster"),
    ],
)
def test_a_cluster_that_isnt_there_is_refused(
    address: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ray.shutdown()
    study = [*STUDY, "--preset", "demo", "--results", str(tmp_path / "store"), "--engine", "ray"]
    assert call(monkeypatch, *study, "--engine-set", f"address={address}") == 2
    assert said in capsys.readouterr().err


def test_without_ray_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert call(monkeypatch, *STUDY, "--preset", "demo", "--results", str(tmp_path), "--engine", "ray") == 2
    assert "pip install 'peft-bench[ray]'" in capsys.readouterr().err


def test_a_node_with_other_versions_is_refused() -> None:
    engine = ray_engine.Ray(SimpleNamespace(command=""), Placing(), None)  # type: ignore[arg-type]
    there = facts.environment("cpu", "").model_copy(update={"torch": "1.0"})
    with pytest.raises(UsageError, match=r"the node far has torch 1\.0, and this machine \d"):
        engine._began(SimpleNamespace(), Begun("far", there))  # type: ignore[arg-type]


def test_ctrl_c_ends_the_runs_and_the_cluster_that_was_started_and_only_the_study_speaks(
    gpt2: Path, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    site = misbehaving.install(tmp_path / "site")
    notes, store = tmp_path / "notes", tmp_path / "store"
    path = os.pathsep.join([str(Path(__file__).parents[3]), str(site)])
    study = [*STUDY, "--model", str(gpt2), "--data", str(texts), "--results", str(store)]
    own = ["--methods", "waits", "--engine", "ray", "--engine-set", "address=local"]
    variables = {"PYTHONPATH": path, "NOTES": str(notes), "HOME": str(tmp_path)}
    terminal = Terminal([*BENCH, *study, *own], tmp_path, **variables)
    wait_until(notes.exists, 120, "a run began")
    run = psutil.Process(int(notes.read_text()))
    started = psutil.Process(terminal.process.pid).children(recursive=True)
    terminal.press_ctrl_c()
    terminal.wait()
    assert terminal.process.wait() == 130
    assert "Stopped after 0 of 3 runs. The same command goes on with the rest." in terminal.shown
    assert psutil.wait_procs([run, *started], 20)[1] == []
    assert list(store.glob("*.json")) == []
    assert not {"raylet", "worker.py", "logging.cc", "Traceback"} & set(terminal.shown.split())
