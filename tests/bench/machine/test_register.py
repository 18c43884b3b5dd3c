"""Each run is told of every other that it met, and of none that was killed before."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from commands import environment

from bench.machine.register import Register

if TYPE_CHECKING:
    from pathlib import Path

ENTERS = """
import sys
from pathlib import Path
from bench.machine.register import Register
entry = Register(Path(sys.argv[1])).enter()
print(entry.neighbours(), flush=True)
sys.stdin.read()
"""


def _enter_elsewhere(folder: Path) -> subprocess.Popen[str]:
    """Enter from another process, which stays until it is killed."""
    command = [sys.executable, "-c", ENTERS, str(folder)]
    return subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_no_neighbour_is_too_short_to_be_counted(tmp_path: Path) -> None:
    one, other = Register(tmp_path), Register(tmp_path)
    mine = one.enter()
    assert mine.neighbours() == 0
    first, second = other.enter(), other.enter()
    first.leave()
    second.leave()
    assert one.runs() == 1
    third = other.enter()
    assert (mine.neighbours(), first_met := third.neighbours()) == (2, 1)
    mine.leave()
    other.enter().leave()
    assert third.neighbours() == first_met
    third.leave()
    assert (one.runs(), [path.name for path in tmp_path.iterdir()]) == (0, ["register.lock"])


def test_of_many_that_enter_at_once_each_sees_all_others(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda _: Register(tmp_path).enter(), range(8)))
    assert [entry.neighbours() for entry in entries] == [7] * 8


def test_who_was_killed_is_nobodys_neighbour_any_more(tmp_path: Path) -> None:
    register = Register(tmp_path)
    mine = register.enter()
    with _enter_elsewhere(tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        assert (mine.neighbours(), register.runs()) == (1, 2)
        other.kill()
    later = register.enter()
    assert (later.neighbours(), register.runs()) == (1, 2)
    later.leave()
    mine.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["register.lock"]
