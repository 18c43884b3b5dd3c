"""What becomes of a study whose runs go wrong, and of its processes when it ends before them."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest
from commands import BENCH, add_package, call, environment, wait_until

from bench.store import Store
from methods.registry import _registered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.record import Record

TROUBLE = """
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import ClassVar

import methods


class Trouble(methods.Method):
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    learning_rate: methods.LearningRate = 1e-3

    def adapt(self, model, plan):
        self.start()
        return model

    def start(self):
        pass


class Raises(Trouble):
    name: ClassVar[str] = "raises"

    def start(self):
        raise ValueError("what it was told\\nmakes no sense")


class Greedy(Trouble):
    name: ClassVar[str] = "greedy"

    def start(self):
        bytearray(2**60)


class Tensors(Trouble):
    name: ClassVar[str] = "tensors"

    def start(self):
        import torch

        torch.empty(2**50, dtype=torch.uint8)


class Wild(Trouble):
    name: ClassVar[str] = "wild"

    def after_step(self, module, step):
        for parameter in module.parameters():
            parameter.data.fill_(float("nan"))


class Leaves(Trouble):
    name: ClassVar[str] = "leaves"

    def start(self):
        print("a word before it goes", flush=True)
        os._exit(3)


class Crashes(Trouble):
    name: ClassVar[str] = "crashes"

    def start(self):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(2, b"from the depths of a library: \\xff\\n")
        os.kill(os.getpid(), signal.SIGSEGV)


class Chatty(Trouble):
    name: ClassVar[str] = "chatty"

    def start(self):
        for number in range(50):
            sys.stdout.write(f"{number:02} {'x' * 95}\\n" * 10**4)
        sys.stdout.write("the very last line\\n")
        sys.stdout.flush()
        os._exit(4)


class Waits(Trouble):
    name: ClassVar[str] = "waits"

    def start(self):
        Path(os.environ["WAITING"]).write_text(str(os.getpid()))
        threading.Event().wait()
"""
NAMES = ("raises", "greedy", "tensors", "wild", "leaves", "crashes", "chatty", "waits")
POINTS = "\n".join(f"{name} = trouble_methods:{name.title()}" for name in NAMES)
MIB = 2**20


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds an installed package of methods that go wrong."""
    folder = tmp_path_factory.mktemp("site")
    add_package(folder, "trouble_methods", TROUBLE, POINTS)
    return folder


@pytest.fixture(scope="module")
def records(
    trouble: Path, gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Record]]:
    """A study in which all but the last run go wrong, by method."""
    store = tmp_path_factory.mktemp("store")
    chosen = ",".join([*NAMES[:-1], "frozen"])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(trouble))
        sources = ["--model", str(gpt2), "--data", str(texts), "--device", "cpu", "--max-steps", "2"]
        code = call(patch, "run", "--methods", chosen, "--seeds", "0", *sources, "--results", str(store))
    assert code == 1
    yield {record.method: record for record in Store(store).read().records}
    for name in NAMES:
        _registered.pop(name, None)


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
    assert list(records) == [*NAMES[:-1], "frozen"]
    assert records["frozen"].status == "ok"


class Started:
    """A study in a session of its own, whose second run waits for ever."""

    def __init__(self, trouble: Path, gpt2: Path, texts: Path, work: Path) -> None:
        self.store, self.waiting, self.errors = work / "store", work / "waiting", work / "errors"
        variables = environment(WAITING=str(self.waiting))
        variables["PYTHONPATH"] += os.pathsep + str(trouble)
        command = [*BENCH, "run", "--methods", "frozen,waits,head", "--seeds", "0", "--device", "cpu"]
        command += ["--model", str(gpt2), "--data", str(texts), "--results", str(self.store), "--max-steps", "2"]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, cwd=work, env=variables, start_new_session=True, stderr=errors, stdout=subprocess.DEVNULL
            )

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
        os.killpg(self.process.pid, signal.SIGINT)
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


def test_a_run_ends_with_its_study(started: Started) -> None:
    run = started.waiting_process()
    started.process.kill()
    wait_until(lambda: not _alive(run), 10, "the run's process ends")
    wait_until(lambda: not started.all(), 30, "the server ends")


def test_ctrl_c_leaves_what_is_done_and_nobody(started: Started) -> None:
    started.waiting_process()
    assert started.interrupt() == 130
    wait_until(lambda: not started.all(), 30, "every process of the study ends")
    assert "Traceback" not in started.errors.read_text()
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
    assert "Traceback" not in started.errors.read_text()
