"""Proof that the gates work, with real timings: `make gates-proof`, or with the numbers of some parts.

Each sabotage is made in a checkout of its own and must be caught; HEAD against itself must raise no alarm, ten times.
It takes hours on a machine that should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def command(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `python -m bench` of a checkout; return its exit code and what it printed."""
    done = subprocess.run(
        [*BENCH, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.returncode, done.stdout


def caught(sabotage: Sabotage) -> bool:
    """Tell whether the gate that should notice the sabotage does."""
    with sabotaged(sabotage) as folder:
        if sabotage.gate == "budget":
            code, said = command(folder, "budget")
        else:
            code, said = command(ROOT, "regress", "HEAD", git(folder, "rev-parse", "HEAD"))
    print("\n".join(said.splitlines()[:SHOWN_LINES]))
    return code == CAUGHT


def quiet() -> bool:
    """Tell whether HEAD against itself raises no alarm."""
    code, said = command(ROOT, "regress", "HEAD", "HEAD")
    print(said)
    return code == QUIET


def main() -> None:
    """Prove what is asked for, a line each; exit 1 where something isn't proved."""
    parts = {str(number): part for number, part in enumerate(sabotages.ALL, start=1)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "; ".join(f"{number}: {part.name}".replace("%", "%%") for number, part in parts.items())
    every = [*parts, "same"]
    parser.add_argument("parts", nargs="*", metavar="PART", choices=every, default=every, help=f"{names}; same")
    parser.add_argument("--times", type=int, default=10, help="how often HEAD is compared with itself")
    asked = parser.parse_args()
    failed = 0
    for name in asked.parts:
        for _ in range(asked.times if name == "same" else 1):
            begin = time.monotonic()
            good = quiet() if name == "same" else caught(parts[name])
            what = "HEAD against itself" if name == "same" else parts[name].name
            told = ("no alarm" if good else "FALSE ALARM") if name == "same" else ("caught" if good else "MISSED")
            print(f"{told}: {what} ({time.monotonic() - begin:.0f} s)", flush=True)
            failed += not good
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
