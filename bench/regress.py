"""Before and after on one machine: two revisions' timed benchmarks in alternation, until it is clear or enough.

Both revisions run head's benchmarks with the libraries that are installed, each in a checkout of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError
from bench.ratios import Ratio, Rule, Verdict, ratio
from bench.reporting import markdown
from bench.reporting.model import Cell, Column, Row, Table, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Side = Literal["base", "head"]
    Times = dict[str, float]
    Measure = Callable[[Side, Sequence[str]], Times]
    """Time the benchmarks of these names, or all for no names, once: a benchmark -> its time in calibrations."""

ROOT = Path(__file__).parent.parent
BENCHMARKS = Path("tests/benchmarks")
REPEATS = 5
"""How often a benchmark is timed in a round; the median counts."""
_LAST_LINES = 15


@dataclass(frozen=True)
class Compared:
    """One benchmark: its median times in calibrations over so many rounds, and what follows from them."""

    benchmark: str
    rounds: int
    base: float
    head: float
    ratio: Ratio
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """What the comparison found; `new` are head's benchmarks that don't run in base."""

    compared: tuple[Compared, ...]
    new: tuple[str, ...]

    @property
    def slower(self) -> bool:
        """Whether head is slower beyond the margin in any benchmark."""
        return any(each.verdict is Verdict.SLOWER for each in self.compared)


def compare(root: Path, base: str, head: str, rule: Rule, tell: Callable[[str], None]) -> Outcome:
    """Check out two revisions of the repository at `root` and time both; `tell` hears of each round.

    Raises UsageError for an unknown revision, and where head's benchmarks don't run.
    """
    commits: dict[Side, str] = {"base": _commit(root, base), "head": _commit(root, head)}
    with _checkouts(root, commits) as folders:
        return decide(lambda side, names: _time(folders[side], names, must_run=side == "head"), rule, tell)


def decide(measure: Measure, rule: Rule, tell: Callable[[str], None]) -> Outcome:
    """Time both sides in alternation and look as the rule says; only what is still unclear goes on."""
    times: dict[Side, dict[str, list[float]]] = {"base": defaultdict(list), "head": defaultdict(list)}

    def a_round(number: int, names: Sequence[str]) -> None:
        tell(f"round {number}: {len(names) or 'all'} benchmarks")
        sides: list[Side] = ["base", "head"] if number % 2 else ["head", "base"]
        for side in sides:
            for name, time in measure(side, names).items():
                times[side][name].append(time)

    a_round(1, ())
    unclear = sorted(times["base"].keys() & times["head"].keys())
    new = tuple(sorted(times["head"].keys() - times["base"].keys()))
    found: dict[str, Compared] = {}
    done, count = 1, len(unclear)
    for look in rule.rounds(count) if unclear else []:
        for number in range(done + 1, look + 1):
            a_round(number, unclear)
        done = look
        found |= {name: _compared(name, times["base"][name], times["head"][name], rule, count) for name in unclear}
        unclear = [name for name in unclear if found[name].verdict is Verdict.UNCLEAR]
        if not unclear:
            break
    return Outcome(tuple(found[name] for name in sorted(found)), new)


def _compared(name: str, base: list[float], head: list[float], rule: Rule, benchmarks: int) -> Compared:
    found = ratio(base, head, rule.level(benchmarks))
    medians = statistics.median(base), statistics.median(head)
    return Compared(name, len(base), *medians, found, rule.judge(found.low, found.high))


def report(outcome: Outcome, base: str, head: str, rule: Rule) -> str:
    """Return the comparison as Markdown for a pull request."""
    columns = ("Benchmark", "Rounds", "Base", "Head", "Ratio", "Interval", "Verdict")
    table = Table(
        tuple(Column(title, Unit.COUNT if title == "Rounds" else Unit.TEXT) for title in columns),
        tuple(_row(each) for each in outcome.compared),
    )
    parts = [f"### Speed of {markdown.escape(head)} against {markdown.escape(base)}", _sentence(outcome, rule)]
    if outcome.compared:
        parts.append(markdown.table(table))
    if outcome.new:
        parts.append(f"Not in base: {markdown.escape(', '.join(map(_title, outcome.new)), 2000)}.")
    parts.append(
        "Base and head are median times in matrix products of fixed size, timed right before; the ratio is the median "
        f"of the rounds' ratios, with its {rule.confidence:.0%} bootstrap interval, corrected for the number of "
        f"benchmarks and of looks. A benchmark fails where its whole interval lies above {1 + rule.margin:g}."
    )
    return "\n\n".join(parts) + "\n"


def _sentence(outcome: Outcome, rule: Rule) -> str:
    slower = [_title(each.benchmark) for each in outcome.compared if each.verdict is Verdict.SLOWER]
    if slower:
        return f"**Slower by more than {rule.margin:.0%}:** {markdown.escape(', '.join(slower), 2000)}."
    unclear = sum(each.verdict is Verdict.UNCLEAR for each in outcome.compared)
    rest = f" {unclear} of {len(outcome.compared)} stayed unclear." if unclear else ""
    return f"Nothing is shown to be slower by more than {rule.margin:.0%}.{rest}"


def _row(each: Compared) -> Row:
    interval = f"{each.ratio.low:.3f} to {each.ratio.high:.3f}"
    texts = (f"{each.base:.3f}", f"{each.head:.3f}", f"{each.ratio.value:.3f}", interval, each.verdict.value)
    return Row((Cell(_title(each.benchmark)), Cell(each.rounds), *map(Cell, texts)))


def _title(benchmark: str) -> str:
    return benchmark.rpartition("::test_")[2].replace("_", " ")


def _commit(root: Path, revision: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UsageError(f"regress {revision}: git knows no such revision in {root}; name a branch, a tag or a commit")
    return done.stdout.strip()


@contextmanager
def _checkouts(root: Path, commits: dict[Side, str]) -> Iterator[dict[Side, Path]]:
    """Yield a checkout of each commit, both with head's benchmarks."""
    with tempfile.TemporaryDirectory(prefix="bench-regress-") as work:
        folders: dict[Side, Path] = {side: Path(work) / side for side in commits}
        try:
            for side, folder in folders.items():
                _git(root, "worktree", "add", "--quiet", "--detach", str(folder), commits[side])
            shutil.rmtree(folders["base"] / BENCHMARKS, ignore_errors=True)
            if (folders["head"] / BENCHMARKS).is_dir():
                shutil.copytree(folders["head"] / BENCHMARKS, folders["base"] / BENCHMARKS)
            yield folders
        finally:
            for folder in folders.values():
                subprocess.run(
                    ["git", "-C", str(root), "worktree", "remove", "--force", str(folder)], capture_output=True
                )


def _git(root: Path, *arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"git {arguments[0]} fails: {' '.join(done.stderr.split())}")


def _without_pytest(variables: Mapping[str, str]) -> dict[str, str]:
    """Drop what a person, or a pytest that this one runs within, has told pytest."""
    return {name: value for name, value in variables.items() if not name.startswith("PYTEST")}


def _time(folder: Path, names: Sequence[str], *, must_run: bool) -> Times:
    """Run one side's benchmarks once; those that fail are left out. Raises UsageError where they must not."""
    with tempfile.TemporaryDirectory() as work:
        found = Path(work) / "found.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", *(names or [str(BENCHMARKS)]), "-p", "no:cacheprovider", "-q"),
                *("--benchmark-only", f"--benchmark-min-rounds={REPEATS}", f"--benchmark-json={found}"),
            ],
            cwd=folder,
            env={**_without_pytest(os.environ), "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        if must_run and done.returncode:
            last = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
            raise UsageError(f"head's benchmarks fail; `pytest {BENCHMARKS} --benchmark-only` there says why:\n{last}")
        benchmarks = json.loads(found.read_text() or "{}").get("benchmarks", []) if found.exists() else []
    return {each["fullname"]: each["extra_info"]["ratio"] for each in benchmarks if "ratio" in each["extra_info"]}
