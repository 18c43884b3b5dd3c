"""Several studies on one store: each run is somebody's, and never two's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from commands import environment, wait_until

from bench.errors import UsageError
from bench.store.claims import STALE_BEATS, WORK, Facts, Owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UID, OTHER = "0123456789abcdef", "fedcba9876543210"
BEAT_S = 0.02
HERE = Facts.of_this_process()

WORKER = """
import os, sys
from pathlib import Path
from bench.store.claims import Owner

store, uids = Path(sys.argv[1]), [f"{number:016x}" for number in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.readline()
with Owner(store) as owner:
    while uids:
        for uid in list(uids):
            if not owner.claim(uid):
                continue
            if not (store / uid).exists():
                with (store / "log").open("a") as log:
                    log.write(f"{uid} {owner.name}\\n")
                os.sched_yield()
                (store / uid).touch()
            owner.release(uid)
            uids.remove(uid)
"""
"""Does each run that isn't done, and writes down that it did."""

HOLDER = """
import sys, threading
from pathlib import Path
from bench.store.claims import Owner

with Owner(Path(sys.argv[1])) as owner:
    assert owner.claim(sys.argv[2])
    (owner.folder / "half-done.part").touch()
    print(owner.name, flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    with Owner(tmp_path, BEAT_S) as found:
        yield found


def _start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _elsewhere(store: Path, name: str = "another-host-1-0") -> Path:
    """The folder of an owner on another machine that has a claim on UID."""
    folder = store / WORK / name
    folder.mkdir(parents=True)
    (folder / "owner.json").write_text(json.dumps(asdict(replace(HERE, host="another-host", machine="another boot"))))
    (store / f".{UID}.{name}.claim").touch()
    return folder


def test_a_run_is_one_owners_until_it_is_released(tmp_path: Path, owner: Owner) -> None:
    with Owner(tmp_path, BEAT_S) as second:
        assert owner.claim(UID)
        assert not second.claim(UID)
        assert second.rivals(UID) == [owner.name]
        assert second.claim(OTHER)
        owner.release(UID)
        assert second.claim(UID)
    assert owner.claim(OTHER)


def test_who_leaves_leaves_nothing(tmp_path: Path) -> None:
    with Owner(tmp_path, BEAT_S) as owner:
        owner.claim(UID)
        (owner.folder / "half-done").mkdir()
    assert list(tmp_path.iterdir()) == [tmp_path / WORK]
    assert list((tmp_path / WORK).iterdir()) == []


def test_a_dead_owners_claim_is_taken_over_and_its_litter_cleared_at_once(tmp_path: Path) -> None:
    process = _start(HOLDER, tmp_path, UID)
    name = _line(process)
    with Owner(tmp_path, 3600.0) as owner:
        assert not owner.claim(UID)
        process.kill()
        wait_until(lambda: owner.claim(UID), 10, "its claim counts no more")  # though nobody has reaped it yet
    with Owner(tmp_path, 3600.0):
        assert not (tmp_path / WORK / name).exists()
        assert list(tmp_path.glob(f".*.{name}.claim")) == []
    process.communicate()


def test_a_process_id_that_was_given_to_another_process_is_no_owner(tmp_path: Path, owner: Owner) -> None:
    folder = _elsewhere(tmp_path)
    assert not owner.claim(UID)
    (folder / "owner.json").write_text(json.dumps(asdict(replace(HERE, started="1"))))
    assert owner.claim(UID)


def test_on_another_machine_the_heartbeat_decides(tmp_path: Path, owner: Owner) -> None:
    folder = _elsewhere(tmp_path)
    beats = 0

    def beaten() -> bool:
        nonlocal beats
        beats += 1
        os.utime(folder / "owner.json", ns=(beats, beats))
        return beats > 3 * STALE_BEATS

    wait_until(beaten, 30, "a heart beats")
    assert not owner.claim(UID)
    wait_until(lambda: owner.claim(UID), 30, "a heart that stands still is noticed")
    assert not folder.exists()


def test_an_owner_on_another_machine_that_says_nothing_of_itself_is_waited_for_too(
    tmp_path: Path, owner: Owner
) -> None:
    (_elsewhere(tmp_path) / "owner.json").unlink()
    assert not owner.claim(UID)
    wait_until(lambda: owner.claim(UID), 30, "its silence is noticed")


def test_who_was_taken_for_dead_writes_nothing(tmp_path: Path, owner: Owner) -> None:
    assert owner.claim(UID)
    owner.check(UID)
    (tmp_path / f".{UID}.{owner.name}.claim").unlink()
    with pytest.raises(UsageError, match="start the same command again"):
        owner.check(UID)


def test_sixteen_processes_do_each_run_once(tmp_path: Path) -> None:
    runs = 150
    processes = [_start(WORKER, tmp_path, runs) for _ in range(16)]
    for process in processes:
        assert _line(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    done = Counter(line.split()[0] for line in (tmp_path / "log").read_text().splitlines())
    assert done == Counter({f"{number:016x}": 1 for number in range(runs)})
    assert list(tmp_path.glob(".*.claim")) == []
    assert list((tmp_path / WORK).iterdir()) == []


def test_a_stopped_owner_on_this_machine_keeps_its_claim(tmp_path: Path, owner: Owner) -> None:
    process = _start(HOLDER, tmp_path, UID)
    name = _line(process)
    process.send_signal(signal.SIGSTOP)
    assert owner.rivals(UID) == [name]
    process.kill()
    process.communicate()
