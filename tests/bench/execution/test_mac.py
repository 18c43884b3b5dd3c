"""On a Mac runs are fresh processes, not forked ones. Here that is tried where a process may also be forked."""

from __future__ import annotations

import os
import signal
from multiprocessing import forkserver
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from commands import call

from bench.execution import child
from bench.store.files import Store

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path


@pytest.fixture(autouse=True)
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac, as far as the code is concerned that makes processes."""

    def refuse(*_: object) -> None:
        pytest.fail("a server was started that runs are forked from")

    monkeypatch.setattr(child, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(forkserver, "ensure_running", refuse)


def test_a_study_runs_without_forking(gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = ["--model", str(gpt2), "--data", str(texts), "--device", "cpu", "--results", str(tmp_path)]
    assert call(monkeypatch, "run", "--methods", "frozen", "--seeds", "0", "--no-baseline", *sources) == 0
    assert [record.status for record in Store(tmp_path).read().records] == ["ok"]


def _tell(channel: Connection) -> None:
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    channel.send((blocked, {name: os.environ.get(name) for name in child.RUN_ENVIRONMENT}))


def test_a_fresh_process_has_a_runs_environment_and_is_spared_ctrl_c() -> None:
    processes = child.context()
    told, channel = processes.Pipe(duplex=False)
    process = processes.Process(target=_tell, args=(channel,))
    before = os.environ.copy()
    child.warm_up()
    child.start(process)
    assert told.recv() == (True, child.RUN_ENVIRONMENT)
    process.join()
    assert os.environ.copy() == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
