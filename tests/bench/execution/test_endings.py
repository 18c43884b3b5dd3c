"""Runs and studies that are ended from outside, and what the next command finds."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import misbehaving
import psutil
import pytest
from commands import BENCH, TWO_CORES, Terminal, add_package, bench, environment, here, wait_until
from safetensors import safe_open

from bench.machine.cores import Cores
from bench.store.claims import WORK
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.store.record import Record

GIB = 2**30
WARM = "--baseline"
"""Computed first, it has the server of processes import everything before a run's time begins."""


class Folders(NamedTuple):
    """Where a study works, and what it needs."""

    work: Path
    site: Path
    gpt2: Path
    texts: Path
    started: list[subprocess.Popen[str]]

    @property
    def store(self) -> Store:
        return Store(self.work / "store")

    @property
    def notes(self) -> Path:
        return self.work / "notes"

    def arguments(self, *more: str) -> list[str]:
        """What `bench` is told to run."""
        training = ["--device", "cpu", "--dtype", "fp32", "--max-steps", "2", "--no-baseline"]
        return ["run", *training, "--results", "store", "--model", str(self.gpt2), "--data", str(self.texts), *more]

    def start(self, *more: str, join: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        """Start a study, in the control group `join`."""
        told = environment(NOTES=str(self.notes), OMP_NUM_THREADS="1", **variables)
        told["PYTHONPATH"] += os.pathsep + str(self.site)
        command = [*(TWO_CORES if "--jobs" in more else BENCH), *self.arguments(*more)]
        if join is not None:
            command = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(join), *command]
        process = subprocess.Popen(
            command,
            cwd=self.work,
            env=told,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def records(self) -> dict[str, Record]:
        contents = self.store.read()
        assert contents.unreadable == ()
        return {record.method: record for record in contents.records}

    def noted(self) -> int:
        """The process id that the run wrote down, as soon as it has."""
        wait_until(lambda: self.notes.exists() and self.notes.read_text() != "", 120, "the run begins")
        return int(self.notes.read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds an installed package of methods that end in many ways."""
    return misbehaving.install(tmp_path_factory.mktemp("site"))


@pytest.fixture
def folders(tmp_path: Path, site: Path, gpt2: Path, texts: Path) -> Iterator[Folders]:
    """The folders, and nothing left of the studies after the test."""
    found = Folders(tmp_path, site, gpt2, texts, [])
    yield found
    for process in found.started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _finish(process: subprocess.Popen[str], code: int) -> str:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == code, said
    return said


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _session(process: subprocess.Popen[str]) -> list[int]:
    """What is alive of a study's processes."""

    def belongs(pid: int) -> bool:
        try:
            return os.getsid(pid) == process.pid and not _gone(pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False

    return [pid for pid in psutil.pids() if belongs(pid)]


def _clean(store: Store) -> bool:
    """Tell whether nothing is claimed and nothing lies half-written."""
    return not [*store.folder.glob(".*.claim"), *(store.folder / WORK).iterdir(), *store.folder.rglob("*.part")]


def test_a_run_that_hangs_is_ended_with_what_it_started_and_the_study_goes_on(folders: Folders) -> None:
    _finish(folders.start("--methods", "floods,shot", "--seeds", "0", "--timeout", "8s", WARM), 1)
    records = folders.records()
    floods, shot = records["floods"].error, records["shot"].error
    assert floods is not None
    assert shot is not None
    assert (records["floods"].status, floods.type, floods.message) == (
        "timeout",
        "Timeout",
        "it wasn't done after 8 s",
    )
    assert floods.last_lines[-1].startswith("still here")
    assert _gone(folders.noted())
    # somebody shot it: that isn't the kernel, which counts those that it ends
    assert (records["shot"].status, shot.type) == ("failed", "SIGKILL")
    assert _clean(folders.store)


def _memory_group() -> Path | None:
    """A new control group that holds a GiB at the most, beside this process's own; None where none can be made."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        root = Path("/sys/fs/cgroup") / ("memory" if controllers else "")
        if controllers not in ("", "memory"):
            continue
        for parent in (root / path.lstrip("/"), root):
            group, limit = parent / f"bench-{os.getpid()}", "memory.limit_in_bytes" if controllers else "memory.max"
            try:
                group.mkdir()
                (group / limit).write_text(str(GIB))
            except OSError:
                if group.exists():
                    group.rmdir()
                continue
            return group
    return None


@pytest.fixture
def memory_group() -> Iterator[Path]:
    group = _memory_group()
    if group is None:
        pytest.skip("no memory control group can be made here")
    yield group
    wait_until(lambda: (group / "cgroup.procs").read_text() == "", 30, "the group empties")
    group.rmdir()


def test_the_kernels_kill_is_told_from_others_by_its_count(folders: Folders, memory_group: Path) -> None:
    _finish(folders.start("--methods", "hogs,shot,head", "--seeds", "0", join=memory_group), 1)
    statuses = {name: (record.status, record.error and record.error.type) for name, record in folders.records().items()}
    assert statuses == {"hogs": ("oom", "SIGKILL"), "shot": ("failed", "SIGKILL"), "head": ("ok", None)}


def test_sigterm_ends_two_runs_under_way_and_leaves_nothing_of_them(folders: Folders) -> None:
    process = folders.start("--methods", "waits", "--seeds", "0,1,2", "--jobs", "2")
    run = folders.noted()
    wait_until(lambda: Cores(()).runs() == 2, 60, "both are under way")
    process.send_signal(signal.SIGTERM)
    said = _finish(process, 130)
    wait_until(lambda: _gone(run), 1, "the run's process ends")
    assert "Stopped after 0 of 3 runs. The same command goes on with the rest." in said
    assert "Traceback" not in said
    assert folders.records() == {}
    assert _clean(folders.store)
    assert Cores(()).runs() == 0


def test_two_runs_at_once_have_a_timeout_each(folders: Folders) -> None:
    _finish(folders.start("--methods", "waits", "--seeds", "0,1", "--jobs", "2", "--timeout", "2s", WARM), 1)
    records = folders.store.read().records
    assert [(record.status, record.wall_s < 4) for record in records] == [("timeout", True)] * 2
    begins = sorted(datetime.fromisoformat(record.created_at) for record in records)
    assert begins[1] - begins[0] < timedelta(seconds=2)
    assert _clean(folders.store)


LEAVES = """
import threading
from bench import console
from bench.execution.interrupts import leaving

with leaving(), console.view(3):
    try:
        print("begun", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("once", flush=True)
        threading.Event().wait()
"""
"""Leaves so slowly that the second signal finds it still at it."""


def test_an_interrupt_of_a_librarys_import_ends_with_its_exit_code(tmp_path: Path) -> None:
    """Python itself would end by SIGINT where text was being executed."""
    add_package(tmp_path, "interrupted", 'exec("raise KeyboardInterrupt")', "interrupted = interrupted:Method")
    done = bench("list", cwd=tmp_path, PYTHONPATH=os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)]))
    assert done.returncode == 130
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_leaves_at_once(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", LEAVES], env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for said in ("begun", "once"):
        assert process.stdout.readline().strip() == said
        process.send_signal(number)
    assert process.wait(10) == 130
    process.stdout.close()


SWALLOWS = """
import signal
import threading
from bench.execution.interrupts import leaving

class Dropped:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

with leaving():
    try:
        Dropped()
        threading.Event().wait()
    except KeyboardInterrupt:
        print("left")
"""


def test_an_interrupt_that_comes_where_python_swallows_it_is_raised_again() -> None:
    """Many a library's import drops objects with a `__del__`, which no exception leaves."""
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


def test_the_second_ctrl_c_leaves_a_usable_terminal(tmp_path: Path) -> None:
    terminal = Terminal([sys.executable, "-c", LEAVES], tmp_path)
    for said in ("begun", "once"):
        wait_until(lambda said=said: said in terminal.shown, 60, said)  # type: ignore[misc]
        terminal.press_ctrl_c()
    assert terminal.process.wait(10) == 130
    terminal.wait()
    hidden = terminal.shown.rindex("\x1b[?25l")
    assert "\x1b[?25h" in terminal.shown[hidden:]
    assert terminal.shown.endswith("\n")  # the prompt doesn't go on a progress bar's line
    assert "Traceback" not in terminal.shown


def test_after_a_kill_the_same_command_does_the_rest_and_clears_up(folders: Folders) -> None:
    command = ("--methods", "head,waits", "--seeds", "0")
    process = folders.start(*command)
    run = folders.noted()
    process.kill()
    wait_until(lambda: _gone(run), 1, "the run's process ends")
    process.communicate()
    wait_until(lambda: not _session(process), 30, "the server that runs are forked from ends")
    [head] = folders.records().values()
    assert not _clean(folders.store)

    said = _finish(folders.start(*command, MISBEHAVE="off"), 0)
    assert "1 of 2 runs have a record already (1 ok); to do: 1 (1 missing)" in said
    assert "2 of 2 runs ok" in said
    assert folders.records()["head"] == head
    assert _clean(folders.store)


def test_a_long_run_goes_on_from_its_last_epoch_after_a_kill(folders: Folders) -> None:
    command = ["--methods", "lora", "--set", "lora.alpha=8", "--seeds", "0", "--epochs", "8", "--max-steps", "24"]
    checkpoints = folders.store.folder / ".checkpoints"
    process = folders.start(*command, "--checkpoint", "on")
    wait_until(lambda: any(checkpoints.glob("*.safetensors")), 120, "an epoch ends")
    process.kill()
    process.communicate()
    assert folders.records() == {}
    [path] = checkpoints.iterdir()
    with safe_open(path, framework="np") as file:
        kept = json.loads(file.metadata()["state"])["fit"]

    again = here("bench", *folders.arguments(*command), cwd=folders.work)
    assert again.returncode == 0, again.stdout + again.stderr
    record = folders.records()["lora"]
    assert record.speed is not None
    assert record.training.steps == 24
    assert record.speed.warmup_s == sum(kept["step_s"][:3])  # no step takes as long twice
    assert list(checkpoints.iterdir()) == []


def test_two_equal_commands_at_once_share_the_runs(folders: Folders) -> None:
    command = ("--methods", "logged", "--seeds", "0,1,2,3,4,5", "--no-timing")
    both = [folders.start(*command), folders.start(*command)]
    for process in both:
        assert "6 of 6 runs ok" in _finish(process, 0)
    assert len(set(folders.notes.read_text().split())) == 6  # each run is a process of its own
    assert _clean(folders.store)


def test_a_disk_that_refuses_ends_the_study_in_a_line(folders: Folders) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        process = folders.start("--methods", "head", "--seeds", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = _finish(process, 2)
    assert "store can't be written: " in said
    assert "Traceback" not in said
    assert _clean(folders.store)
    assert folders.records() == {}
