"""Small real models and texts that tests share. No test asks the Hub, or finds what this user has in its cache."""

from __future__ import annotations

import gc
import os
import tempfile
from typing import TYPE_CHECKING

import pytest
from small import save_model, write_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bench.execution.execute import Execution
    from bench.job import Job


def pytest_configure(config: pytest.Config) -> None:
    """Cut the Hub off before anything imports its client, which reads the environment once.

    One thread is enough in this process: on models this small a second one only waits.
    """
    home = tempfile.TemporaryDirectory(prefix="bench-tests-")
    config.add_cleanup(home.cleanup)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ENDPOINT"):
        os.environ.pop(name, None)
    os.environ.update(HF_HOME=home.name, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    _apart_from_other_workers(home.name)


def _apart_from_other_workers(home: str) -> None:
    """Give this worker's studies cores of their own, and let them see no other worker's: they'd wait, and time again.

    Each worker has its share of the cores; where there are fewer cores than workers, some share one.
    """
    os.environ["BENCH_CORES_DIR"] = home
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        workers = min(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), len(cores))
        os.sched_setaffinity(0, cores[number % workers :: workers])


FIRST = ("tests/bench/execution/", "tests/bench/tuning/", "tests/bench/training/", "tests/bench/cli/")
"""Where files are that take long, as their tests start processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first: one that is dealt last keeps one worker busy while the others have nothing to do."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish() -> None:
    """Let collections of garbage, with which each measured phase begins, pass over the libraries' million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, validation and test as jsonl: three styles in two categories, 37 + 12 + 15 passages."""
    return write_texts(tmp_path_factory.mktemp("data") / "some-texts")


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a GPT-2 of 2 layers, 32 wide, with random weights, and its byte-level tokenizer."""
    return save_model("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of the same size."""
    return save_model("llama", tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of the same size, whose tokenizer puts [CLS] and [SEP] around a text."""
    return save_model("bert", tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that studies give to the local engine, which does none of them."""
    from bench.execution import child, execute

    jobs: list[Job] = []

    def take(_: Execution, given: Iterable[Job]) -> None:
        jobs.extend(given)

    monkeypatch.setattr(execute.Execution, "run", take)
    monkeypatch.setattr(child, "warm_up", lambda: None)
    return jobs


@pytest.fixture
def misbehaving_methods(tmp_path: Path) -> Iterator[None]:
    """Methods that misbehave, as an installed package has them."""
    import misbehaving

    (tmp_path / "site").mkdir()
    with misbehaving.known(misbehaving.install(tmp_path / "site")):
        yield
