"""The gate of wall time: no false alarms on a noisy machine, ten per cent noticed, and the commands around it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import ROOT, call

from bench.errors import UsageError
from bench.gates import regress
from bench.gates.ratios import Rule, Verdict, ratio
from bench.gates.regress import decide, report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.gates.regress import Outcome, Side, Times

BENCHMARKS = [f"tests/benchmarks/test_speed.py::test_step[{number}]" for number in range(15)]
QUICK = Rule(confidence=0.5, looks=1, most=2)
"""Two rounds for one benchmark: for what isn't about noise."""


class Machine:
    """Times with noise: slow hours that both sides of a round share, jitter, and now and then a fifth more."""

    def __init__(self, seed: int, slower: float = 1.0, jitter: float = 0.015) -> None:
        self.rng, self.slower, self.jitter = np.random.default_rng(seed), slower, jitter
        self.timed: list[tuple[Side, int]] = []

    def __call__(self, names: Sequence[str], first: Side) -> dict[Side, Times]:
        chosen = names or BENCHMARKS
        self.timed.append((first, len(chosen)))
        drift = np.exp(0.1 * self.rng.standard_normal())
        return {"base": self._times("base", chosen, drift), "head": self._times("head", chosen, drift)}

    def _times(self, side: Side, chosen: Sequence[str], drift: float) -> Times:
        noise = drift * np.exp(self.jitter * self.rng.standard_normal(len(chosen)))
        noise[self.rng.random(len(chosen)) < 0.05] *= 1.2
        changed = [self.slower if side == "head" and name == BENCHMARKS[3] else 1.0 for name in chosen]
        return dict(zip(chosen, noise * changed, strict=True))


def decided(machine: Machine, rule: Rule | None = None) -> Outcome:
    return decide(machine, rule or Rule(), tell=lambda line: None)


def slower(outcome: Outcome) -> list[str]:
    return [each.benchmark for each in outcome.compared if each.verdict is Verdict.SLOWER]


@pytest.mark.parametrize("jitter", [0.005, 0.04])
def test_a_revision_against_itself_raises_no_alarm(jitter: float) -> None:
    assert [slower(decided(Machine(seed, jitter=jitter))) for seed in range(6)] == [[]] * 6


def test_a_step_ten_per_cent_slower_is_caught_and_nothing_else() -> None:
    found = [slower(decided(Machine(seed, slower=1.1, jitter=0.01))) for seed in range(8)]
    assert {name for names in found for name in names} == {BENCHMARKS[3]}
    assert sum(map(bool, found)) >= 7  # the limit on rounds leaves a few unclear


def test_at_the_margin_itself_the_correction_keeps_alarms_rare() -> None:
    rule, tried = Rule(), 300
    rng = np.random.default_rng(0)
    alarms = {rule.level(15): 0, rule.confidence: 0}
    for _ in range(tried):
        times = 1 + rule.margin + 0.02 * rng.standard_normal(rule.most)
        for level in alarms:
            found = [ratio([1.0] * n, times[:n].tolist(), level) for n in rule.rounds(15)]
            alarms[level] += any(rule.judge(each.low, each.high) is Verdict.SLOWER for each in found)
    assert alarms[rule.level(15)] / tried < 0.02
    assert alarms[rule.confidence] > 4 * alarms[rule.level(15)]


def test_rounds_are_added_only_where_it_is_unclear_up_to_the_limit() -> None:
    machine = Machine(0, slower=1.05)
    outcome = decided(machine)
    rounds = {each.benchmark: each.rounds for each in outcome.compared}
    assert rounds[BENCHMARKS[3]] == Rule().most
    assert min(rounds.values()) == Rule().rounds(15)[0]
    assert machine.timed[-1][1] < len(BENCHMARKS)


def test_sides_take_turns_in_going_first() -> None:
    machine = Machine(0)
    decided(machine)
    assert [first for first, _ in machine.timed[:4]] == ["base", "head"] * 2


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.051, 1.2, Verdict.SLOWER),
        (1.04, 1.2, Verdict.UNCLEAR),
        (0.9, 1.05, Verdict.SAME),
        (0.8, 0.95, Verdict.FASTER),
    ],
)
def test_only_a_whole_interval_beyond_the_margin_counts(low: float, high: float, verdict: Verdict) -> None:
    assert Rule(margin=0.05).judge(low, high) is verdict


def test_the_more_benchmarks_the_more_rounds_before_the_first_look() -> None:
    assert Rule().level(1) < Rule().level(15)
    assert Rule().rounds(1)[0] < Rule().rounds(15)[0]
    assert Rule().rounds(15)[-1] == Rule().most


def test_the_report_names_what_is_slower_and_what_is_new() -> None:
    class Grown(Machine):
        def __call__(self, names: Sequence[str], first: Side) -> dict[Side, Times]:
            found = super().__call__(names, first)
            found["head"]["t.py::test_new_thing"] = 1.0
            return found

    shown = report(decided(Grown(0, slower=1.2)), "main", "work", Rule())
    assert shown.startswith("### Speed of work against main\n\n**Slower by more than 5%:** step\\[3\\].\n\n| Benchmark")
    assert "Not in base: new thing." in shown
    rows = [line for line in shown.splitlines() if line.startswith("| step")]
    assert len(rows) == 15
    assert sum("| slower" in row for row in rows) == 1


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two revisions, `fast` and HEAD, of a project whose one benchmark takes as long as its module says."""
    folder = tmp_path / "project"
    (folder / regress.BENCHMARKS).mkdir(parents=True)
    (folder / regress.BENCHMARKS / "test_it.py").write_text(
        "import itertools\nimport pytest\nimport speed\n\n"
        "@pytest.mark.benchmark(timer=itertools.count(0, speed.TIME).__next__)\n"
        "def test_work(benchmark):\n    benchmark.pedantic(int)\n"
    )
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for number, tag in ((2.0, "fast"), (3.0, "slow")):
        (folder / "speed.py").write_text(f"TIME = {number}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", tag], check=True)
        subprocess.run([*git, "tag", tag], check=True)
    return folder


def test_two_revisions_are_timed_side_by_side(repository: Path) -> None:
    outcome = regress.compare(repository, "fast", "HEAD", QUICK, tell=lambda line: None)
    (found,) = outcome.compared
    assert (found.rounds, found.base, found.head, found.ratio.value) == (2, 2.0, 3.0, 1.5)
    assert outcome.slower
    listed = subprocess.run(["git", "-C", str(repository), "worktree", "list"], capture_output=True, text=True)
    assert len(listed.stdout.splitlines()) == 1


TAKES_TURNS = """
import os, pathlib
import speed

def test_work(timed):
    def note():
        assert not hasattr(speed, "broken")
        with open(os.environ["NOTES"], "a") as notes:
            print(speed.TIME, file=notes)
    timed(note)
"""


@pytest.fixture
def notes(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the benchmark of `repository`, which now takes turns as ours do, notes whose timing it is."""
    for name in ("conftest.py", "calibrated.py"):
        shutil.copy(ROOT / regress.BENCHMARKS / name, repository / regress.BENCHMARKS)
    (repository / regress.BENCHMARKS / "test_it.py").write_text(TAKES_TURNS)
    _commit(repository)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def test_the_sides_take_turns_timing_by_timing(repository: Path, notes: Path) -> None:
    regress.compare(repository, "fast", "HEAD", QUICK, tell=lambda line: None)
    a_round = 1 + regress.REPEATS  # one warms up
    assert notes.read_text().split() == ["2.0", "3.0"] * a_round + ["3.0", "2.0"] * a_round


def test_the_other_side_goes_on_alone_where_a_benchmark_fails_in_base(repository: Path, notes: Path) -> None:
    (repository / "speed.py").write_text("TIME = broken = 4.0\n")
    _commit(repository)
    (repository / "speed.py").write_text("TIME = 5.0\n")
    _commit(repository)
    outcome = regress.compare(repository, "HEAD^", "HEAD", QUICK, tell=lambda line: None)
    assert (outcome.compared, outcome.new) == ((), ("tests/benchmarks/test_it.py::test_work",))
    assert notes.read_text().split() == ["5.0"] * (1 + regress.REPEATS)


def _commit(repository: Path) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "a change"], check=True)


def test_benchmarks_that_fail_in_head_are_an_error_that_says_why(repository: Path) -> None:
    (repository / "speed.py").write_text("raise RuntimeError('broken on purpose')\n")
    _commit(repository)
    with pytest.raises(UsageError, match="broken on purpose"):
        regress.compare(repository, "fast", "HEAD", QUICK, tell=lambda line: None)


def test_an_unknown_revision_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "regress", "no-such-branch") == 2
    assert "no-such-branch: git knows no such revision" in capsys.readouterr().err
