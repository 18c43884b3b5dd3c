"""Wall time against a calibration: `pytest tests/benchmarks --benchmark-only`.

Right before each round a matrix product of fixed size is timed, by numpy, so that a new version of torch can't hide in
it. A benchmark's figure is `ratio` in its `extra_info`: the median over the rounds of time over calibration, which
carries over between busy and quiet hours far better than seconds do.
"""

from __future__ import annotations

import gc
import statistics
import time
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
def timed(benchmark: BenchmarkFixture, calibration: Callable[[], float], request: pytest.FixtureRequest) -> Timed:
    """Return what times a function in `--benchmark-min-rounds` rounds, after one that warms up."""
    rounds: int = request.config.getoption("benchmark_min_rounds")

    def run(function: Callable[..., Any], prepare: Callable[[], tuple[Any, ...]] = tuple) -> None:
        calibrations: list[float] = []

        def before() -> tuple[tuple[Any, ...], dict[str, Any]]:
            arguments = prepare()
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
