"""Wall time against a calibration: `pytest tests/benchmarks --benchmark-only`.

Right before each round a matrix product of fixed size is timed, by numpy, so that a new version of torch can't hide in
it. A benchmark's figure is `ratio` in its `extra_info`: the median over the rounds of time over calibration, which
carries over between busy and quiet hours far better than seconds do.

Where BENCH_TURN says so, the session takes turns with another, timing by timing: `python -m bench regress` runs two
revisions so, and what disturbs the machine disturbs both.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_benchmark.fixture import BenchmarkFixture

HERE = Path(__file__).parent
CALIBRATION_SIZE = 768


class Timed(Protocol):
    """Times a call of `function` in each round, with what `prepare` returns as its arguments."""

    def __call__(self, function: Callable[..., Any], prepare: Callable[[], tuple[Any, ...]] = tuple) -> None:
        """Time it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is timed out of the suite: it asks for a quiet machine, and for `--benchmark-only`."""
    if config.getoption("benchmark_only"):
        return
    timed = [item for item in items if HERE in item.path.parents]
    config.hook.pytest_deselected(items=timed)
    items[:] = [item for item in items if item not in timed]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print each benchmark's ratio."""
    session = getattr(config, "_benchmarksession", None)
    timed = [bench for bench in session.benchmarks if "ratio" in bench.extra_info] if session else []
    if timed:
        terminalreporter.section(f"time in matrix products of {CALIBRATION_SIZE}")
    for bench in timed:
        terminalreporter.write_line(f"{bench.extra_info['ratio']:10.3f}  {bench.name}")


@pytest.fixture(scope="session", autouse=True)
def _libraries_out_of_the_way() -> Iterator[None]:
    """A phase begins with a garbage collection: let it pass over the libraries' and pytest's million objects."""
    gc.freeze()
    yield
    gc.unfreeze()


class Turn:
    """The right to compute, which two sessions pass to each other, a byte through a pair of pipes."""

    def __init__(self, where: str) -> None:
        """Meet the other side; `where` holds this one's pipe to read and to write, and 1 for who goes first or 0."""
        self.read, self.write, first = map(int, where.split(","))
        self._give()
        self._take()
        if not first:
            self._take()

    def give_and_take(self) -> None:
        """Let the other side have its turn; return at once where it has ended."""
        self._give()
        self._take()

    def _give(self) -> None:
        with suppress(BrokenPipeError):
            os.write(self.write, b".")

    def _take(self) -> None:
        os.read(self.read, 1)


@pytest.fixture(scope="session")
def turn() -> Turn | None:
    """The turn that this session takes with another, if it does."""
    where = os.environ.get("BENCH_TURN")
    return Turn(where) if where else None


@pytest.fixture(scope="session")
def calibration() -> Callable[[], float]:
    """Return what times the matrix product once, in seconds."""
    left, right = np.random.default_rng(0).standard_normal((2, CALIBRATION_SIZE, CALIBRATION_SIZE), dtype=np.float32)
    product = np.empty_like(left)

    def once() -> float:
        begin = time.perf_counter()
        np.matmul(left, right, out=product)
        return time.perf_counter() - begin

    return once


@pytest.fixture
def timed(
    benchmark: BenchmarkFixture, calibration: Callable[[], float], turn: Turn | None, request: pytest.FixtureRequest
) -> Timed:
    """Return what times a function in `--benchmark-min-rounds` rounds, after one that warms up."""
    rounds: int = request.config.getoption("benchmark_min_rounds")

    def run(function: Callable[..., Any], prepare: Callable[[], tuple[Any, ...]] = tuple) -> None:
        calibrations: list[float] = []

        def before() -> tuple[tuple[Any, ...], dict[str, Any]]:
            arguments = prepare()
            if turn:
                turn.give_and_take()
            calibrations.append(calibration())
            return arguments, {}

        benchmark.pedantic(function, setup=before, rounds=rounds, warmup_rounds=1)
        if benchmark.stats is None:  # --benchmark-disable: it only had to run
            return
        seconds = benchmark.stats.stats.data
        pairs = zip(seconds, calibrations[-len(seconds) :], strict=True)
        benchmark.extra_info["ratio"] = statistics.median(took / product for took, product in pairs)
        benchmark.extra_info["calibration_s"] = statistics.median(calibrations)

    return run
