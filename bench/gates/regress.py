"""Before and after on one machine: two revisions' timed benchmarks in alternation, until it is clear or enough.

Both revisions run head's benchmarks with the libraries that are installed, each in a checkout of its own. In a round
each has a process, and the two take turns timing by timing, so that what disturbs the machine for a second or more
disturbs both. A new process for each round: what chance makes of one, such as where its memory lies, is averaged too.
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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError
from bench.gates.ratios import Ratio, Rule, Verdict, ratio
from bench.reporting import markdown
from bench.reporting.model import Cell, Column, Row, Table, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Side = Literal["base", "head"]
    Times = dict[str, float]
    """A benchmark -> the least of its times in a round, in seconds: what disturbs it can only add."""
    Measure = Callable[[Sequence[str], Side], Mapping[Side, Times]]
    """Time the benchmarks of these names, or all for no names, on both sides for a round; one side goes first."""

ROOT = Path(__file__).parents[2]
BENCHMARKS = Path("tests/benchmarks")
REPEATS = 3
"""How often a benchmark is timed in a round."""
_LAST_LINES = 15
_STEADY = {
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    # freed memory is kept: else chance decides what the system takes back and how many pages fault, up to 8% of a time
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}


@dataclass(frozen=True)
class Compared:
    """One benchmark: its seconds, the medians over so many rounds, and what follows from them."""

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
        return decide(partial(_time, folders), rule, tell)


def decide(measure: Measure, rule: Rule, tell: Callable[[str], None]) -> Outcome:
    """Time both sides in alternation and look as the rule says; only what is still unclear goes on."""
    times: dict[Side, dict[str, list[float]]] = {"base": defaultdict(list), "head": defaultdict(list)}

    def a_round(number: int, names: Sequence[str]) -> None:
        tell(f"round {number}: {len(names) or 'all'} benchmarks")
        for side, found in measure(names, "base" if number % 2 else "head").items():
            for name, time in found.items():
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
    columns = ("Benchmark", "Rounds", "Base, ms", "Head, ms", "Ratio", "Interval", "Verdict")
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
        f"A round times both in turns, {REPEATS} times each, of which the least counts. Base and head are the medians "
        f"of the rounds; the ratio is the median of the rounds' ratios, with its {rule.confidence:.0%} bootstrap "
        "interval, corrected for the number of benchmarks and of looks. A benchmark fails where its whole interval "
        f"lies above {1 + rule.margin:g}."
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
    texts = (
        f"{1e3 * each.base:.1f}",
        f"{1e3 * each.head:.1f}",
        f"{each.ratio.value:.3f}",
        interval,
        each.verdict.value,
    )
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


def _time(folders: Mapping[Side, Path], names: Sequence[str], first: Side) -> dict[Side, Times]:
    """Run both sides' benchmarks once; base's that fail are left out. Raises UsageError where head's fail."""
    with tempfile.TemporaryDirectory() as work:
        files: dict[Side, Path] = {side: Path(work) / side for side in folders}
        codes = _wait(_start(folders, names, first, files))
        if codes["head"]:
            last = "\n".join(files["head"].read_text().splitlines()[-_LAST_LINES:])
            raise UsageError(f"head's benchmarks fail; `pytest {BENCHMARKS} --benchmark-only` there says why:\n{last}")
        return {side: _least(file.with_suffix(".json")) for side, file in files.items()}


def _start(
    folders: Mapping[Side, Path], names: Sequence[str], first: Side, files: Mapping[Side, Path]
) -> dict[Side, subprocess.Popen[bytes]]:
    """Start both sides' sessions, with the pipes through which they take turns; each prints into a file."""
    (base_reads, head_writes), (head_reads, base_writes) = os.pipe(), os.pipe()
    pipes = {"base": (base_reads, base_writes), "head": (head_reads, head_writes)}
    started: dict[Side, subprocess.Popen[bytes]] = {}
    for side, folder in folders.items():
        turn = ",".join(map(str, (*pipes[side], int(side == first))))
        with files[side].open("wb") as output:
            started[side] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pytest", *(names or [str(BENCHMARKS)]), "-p", "no:cacheprovider", "-q"),
                    *("--benchmark-only", f"--benchmark-min-rounds={REPEATS}"),
                    f"--benchmark-json={files[side].with_suffix('.json')}",
                ],
                cwd=folder,
                env={**_without_pytest(os.environ), **_STEADY, "PYTHONPATH": str(folder), "BENCH_TURN": turn},
                pass_fds=pipes[side],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
    for end in (*pipes["base"], *pipes["head"]):
        os.close(end)
    return started


def _wait(sessions: Mapping[Side, subprocess.Popen[bytes]]) -> dict[Side, int]:
    """Wait for both sides' ends and return their exit codes; whatever happens, none is left."""
    try:
        return {side: session.wait() for side, session in sessions.items()}
    finally:
        for session in sessions.values():
            session.kill()
            session.wait()


def _least(found: Path) -> Times:
    """Read the least time of each benchmark that ran."""
    benchmarks = json.loads(found.read_text() or "{}").get("benchmarks", []) if found.exists() else []
    return {each["fullname"]: each["stats"]["min"] for each in benchmarks}
