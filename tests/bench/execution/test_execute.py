"""What becomes of a study whose runs go wrong, and of its processes when it ends before them."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import misbehaving
import psutil
import pytest
from commands import BENCH, Terminal, call, environment, wait_until

from bench.execution import results
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.store.record import Record

TROUBLE = ("raises", "greedy", "tensors", "wild", "leaves", "crashes", "chatty")
LATE = ("stumbles", "expires")
"""What goes wrong after training only."""
MIB = 2**20
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds an installed package of methods that go wrong."""
    return misbehaving.install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def records(trouble: Path, gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """A study in which all but the last run go wrong, some of them when they have a result, by method."""
    store = tmp_path_factory.mktemp("store")
    chosen = ",".join([*TROUBLE, *LATE, "frozen"])
    with misbehaving.known(trouble), pytest.MonkeyPatch.context() as patch:
        sources = ["--model", str(gpt2), "--data", str(texts), "--device", "cpu", "--max-steps", "2"]
        code = call(patch, "run", "--methods", chosen, "--seeds", "0", *sources, "--results", str(store))
    assert code == 1
    return {record.method: record for record in Store(store).read().records}


@pytest.mark.parametrize(
    ("method", "status", "kind", "message"),
    [
        ("raises", "failed", "ValueError", "what it was told\nmakes no sense"),
        ("greedy", "oom", "MemoryError", ""),
        ("tensors", "oom", "RuntimeError", "can't allocate memory"),
        ("wild", "diverged", "Diverged", "nan"),
        ("leaves", "failed", "Exit", "exit code 3"),
        ("crashes", "failed", "SIGSEGV", "ended by SIGSEGV"),
        ("chatty", "failed", "Exit", "exit code 4"),
    ],
)
def test_what_went_wrong_is_recorded(
    records: dict[str, Record], method: str, status: str, kind: str, message: str
) -> None:
    record = records[method]
    assert record.error is not None
    assert (record.status, record.error.type) == (status, kind)
    assert message in record.error.message
    assert (record.quality, record.parameters, record.speed, record.memory) == (None,) * 4
    assert record.training.steps is None


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("raises", "makes no sense"),
        ("leaves", "a word before it goes"),
        ("crashes", "from the depths of a library: \ufffd"),
        ("chatty", "the very last line"),
    ],
)
def test_the_last_lines_say_where(records: dict[str, Record], method: str, line: str) -> None:
    error = records[method].error
    assert error is not None
    assert error.last_lines[-1] == line
    assert len(error.last_lines) <= 20
    assert sum(map(len, error.last_lines)) < 16_384


def test_the_study_goes_on_to_the_end(records: dict[str, Record]) -> None:
    assert list(records) == [*TROUBLE, *LATE, "frozen"]
    assert (records["frozen"].status, records["frozen"].notes) == ("ok", [])


@pytest.mark.parametrize(
    ("method", "note"),
    [
        ("stumbles", "compute is null: RuntimeError: no second legs"),
        ("expires", "what is measured after training is null: SIGKILL: the run's process was ended by SIGKILL"),
    ],
)
def test_what_goes_wrong_after_training_costs_its_own_figure_alone(
    records: dict[str, Record], method: str, note: str
) -> None:
    record = records[method]
    assert (record.status, record.error, record.notes, record.compute) == ("ok", None, [note], None)
    assert record.quality is not None
    assert record.quality.predictions_sha256 is not None
    assert record.training.steps == 2
    assert record.speed is not None
    assert record.speed.train_tokens_per_s is not None
    assert record.speed.matmul_share is None
    assert record.memory is not None
    assert record.parameters is not None
    assert (record.parameters.adapter_bytes is None) == (method == "expires")


def test_an_adapter_that_the_disk_refuses_leaves_no_half_of_it(tmp_path: Path) -> None:
    adapter, adapters = tmp_path / "adapter", tmp_path / "adapters"
    for folder in (adapter, adapters):
        folder.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(bytes(2000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            results.move(adapter, adapters / "0123456789abcdef")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(adapters.iterdir()) == []
    results.move(adapter, adapters / "0123456789abcdef")
    assert [path.name for path in adapters.iterdir()] == ["0123456789abcdef"]
    assert not adapter.exists()


class Started:
    """A study on a terminal, whose second run waits for ever."""

    def __init__(self, trouble: Path, gpt2: Path, texts: Path, work: Path) -> None:
        self.store, self.waiting = work / "store", work / "waiting"
        command = [*BENCH, "run", "--methods", "frozen,waits,head", "--seeds", "0", "--max-steps", "2"]
        command += ["--device", "cpu", "--no-baseline", "--model", str(gpt2), "--data", str(texts)]
        command += ["--results", str(self.store)]
        path = os.pathsep.join([environment()["PYTHONPATH"], str(trouble)])
        self.terminal = Terminal(command, work, NOTES=str(self.waiting), PYTHONPATH=path)
        self.process = self.terminal.process

    def waiting_process(self) -> psutil.Process:
        """The run that waits, as soon as it does."""
        wait_until(lambda: self.waiting.exists() and self.waiting.read_text() != "", 240, "the second run begins")
        return psutil.Process(int(self.waiting.read_text()))

    def all(self) -> list[psutil.Process]:
        """What is alive of the session."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.process.pid and _alive(process):
                    found.append(process)
            except ProcessLookupError:
                continue
        return found

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.terminal.press_ctrl_c()
        return self.process.wait(timeout=60)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def started(trouble: Path, gpt2: Path, texts: Path, tmp_path: Path) -> Iterator[Started]:
    """The study, and nothing left of it after the test."""
    study = Started(trouble, gpt2, texts, tmp_path)
    yield study
    for process in study.all():
        process.kill()
    study.process.wait()
    study.terminal.wait()


def test_ctrl_c_leaves_what_is_done_and_nobody(started: Started) -> None:
    started.waiting_process()
    assert started.interrupt() == 130
    wait_until(lambda: not started.all(), 30, "every process of the study ends")
    started.terminal.wait()
    shown = started.terminal.shown
    assert "Traceback" not in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert shown.endswith("Stopped after 1 of 3 runs. The same command goes on with the rest.\r\n")
    contents = Store(started.store).read()
    assert [(record.method, record.status) for record in contents.records] == [("frozen", "ok")]
    assert contents.unreadable == ()
    assert {path.suffix for path in started.store.iterdir() if not path.name.startswith(".")} == {".json", ".parquet"}


def test_ctrl_c_while_the_server_imports_is_quiet(started: Started) -> None:
    def importing() -> bool:
        servers = [process for process in started.all() if "forkserver import main" in " ".join(process.cmdline())]
        return any(process.memory_info().rss > 60 * MIB for process in servers)

    wait_until(importing, 120, "the server that runs are forked from imports")
    assert started.interrupt() == 130
    wait_until(lambda: not started.all(), 120, "the server ends when it has imported")
    started.terminal.wait()
    assert "Traceback" not in started.terminal.shown
