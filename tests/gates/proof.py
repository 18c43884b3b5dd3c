"""Proof that the gates work, with real timings: `make gates-proof`, or with the numbers of some parts.

Each sabotage is made in a checkout of its own and must be caught; HEAD against itself must raise no alarm, ten times.
A comparison takes one core, so as many go on at once as there are cores: it takes an hour or two, on a machine that
should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import sabotages  # noqa: E402
from commands import BENCH  # noqa: E402

if TYPE_CHECKING:
    from sabotages import Sabotage

AUTHOR = {f"GIT_{who}_{what}": "proof@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
CAUGHT, QUIET = 1, 0
SHOWN_LINES = 25


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it prints."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**os.environ, **AUTHOR},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


@contextmanager
def sabotaged(sabotage: Sabotage) -> Iterator[Path]:
    """Yield a checkout of HEAD with the sabotage committed, on no branch."""
    with tempfile.TemporaryDirectory(prefix="bench-proof-") as work:
        folder = Path(work) / "checkout"
        git(ROOT, "worktree", "add", "--quiet", "--detach", str(folder), "HEAD")
        try:
            sabotage.apply(folder)
            git(folder, "commit", "--quiet", "--no-verify", "-am", sabotage.name)
            yield folder
        finally:
            git(ROOT, "worktree", "remove", "--force", str(folder))


def command(folder: Path, core: int, *arguments: str) -> tuple[int, str]:
    """Run `python -m bench` of a checkout on one core; return its exit code and what it printed."""
    done = subprocess.run(
        ["taskset", "--cpu-list", str(core), *BENCH, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.returncode, done.stdout


@dataclass(frozen=True)
class Claim:
    """Something to prove: what `check` runs, on one core, must leave with `expected`."""

    name: str
    expected: int
    check: Callable[[int], tuple[int, str]]


def caught(sabotage: Sabotage) -> Claim:
    """Claim that the gate that should notice the sabotage does."""

    def check(core: int) -> tuple[int, str]:
        with sabotaged(sabotage) as folder:
            if sabotage.gate == "budget":
                return command(folder, core, "budget")
            return command(ROOT, core, "regress", "HEAD", git(folder, "rev-parse", "HEAD"))

    return Claim(sabotage.name, CAUGHT, check)


def quiet(number: int) -> Claim:
    """Claim that HEAD against itself raises no alarm."""
    return Claim(f"HEAD against itself, {number}", QUIET, lambda core: command(ROOT, core, "regress", "HEAD", "HEAD"))


def prove(claims: list[Claim]) -> int:
    """Check the claims, one to a core, and print a line for each as it is done; return how many don't hold."""
    failed, begin, cores = 0, time.monotonic(), Queue[int]()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def check(claim: Claim) -> tuple[Claim, int, str]:
        core = cores.get()
        try:
            return claim, *claim.check(core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        for done in as_completed([pool.submit(check, claim) for claim in claims]):
            claim, code, said = done.result()
            print("\n".join(said.splitlines()[:SHOWN_LINES]))
            holds = code == claim.expected
            told = {CAUGHT: ("MISSED", "caught"), QUIET: ("FALSE ALARM", "no alarm")}[claim.expected][holds]
            print(f"{told}: {claim.name} (after {time.monotonic() - begin:.0f} s)", flush=True)
            failed += not holds
    return failed


def main() -> None:
    """Prove what is asked for; exit 1 where something isn't proved."""
    parts = {str(number): part for number, part in enumerate(sabotages.ALL, start=1)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "; ".join(f"{number}: {part.name}".replace("%", "%%") for number, part in parts.items())
    every = [*parts, "same"]
    parser.add_argument("parts", nargs="*", metavar="PART", choices=every, default=every, help=f"{names}; same")
    parser.add_argument("--times", type=int, default=10, help="how often HEAD is compared with itself")
    asked = parser.parse_args()
    claims = [caught(parts[name]) for name in asked.parts if name != "same"]
    if "same" in asked.parts:
        claims += [quiet(number + 1) for number in range(asked.times)]
    sys.exit(bool(prove(claims)))


if __name__ == "__main__":
    main()
