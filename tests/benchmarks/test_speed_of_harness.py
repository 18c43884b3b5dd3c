"""What the harness takes around the methods: texts, records, reports, a command's start."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import BENCH, environment
from record_factory import DEMO, build_store, make_record, predictions_parquet
from typer.testing import CliRunner

import report
from bench.data import load_local, tokenise
from bench.model import backbone
from bench.store.files import Store

if TYPE_CHECKING:
    from pathlib import Path

    from calibrated import Timed

STYLES, PASSAGES, WORDS = 6, 500, 40
SEEDS = range(2)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of made-up passages: words of one to eight letters."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), size)) for size in rng.integers(1, 9, 500)]
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [
        {"text": " ".join(rng.choice(words, WORDS)), "style": f"style {number % STYLES}", "category": "made up"}
        for number in range(PASSAGES)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with 14 records and their predictions."""
    folder = tmp_path_factory.mktemp("results") / "store"
    build_store(folder, seeds=SEEDS)
    return folder


def test_data_preparation(timed: Timed, texts: Path) -> None:
    tokenizer = backbone.tokenizer(backbone.embedded())
    timed(lambda: tokenise(load_local(texts), tokenizer, 128))


def test_store_write(timed: Timed, tmp_path: Path) -> None:
    runs = [(make_record(variant), predictions_parquet(variant, 0)) for variant in DEMO]
    written = Store(tmp_path / "store")
    timed(lambda: [written.put(record, predictions) for record, predictions in runs])


def test_store_read(timed: Timed, store: Path) -> None:
    timed(lambda: Store(store).read())


def test_report_rendering(timed: Timed, store: Path, tmp_path: Path) -> None:
    def render() -> None:
        done = CliRunner().invoke(report.app, [str(store), "-o", str(tmp_path / "report.md")])
        assert done.exit_code == 0, done.output

    timed(render)


def test_command_line_start(timed: Timed, tmp_path: Path) -> None:
    timed(lambda: subprocess.run([*BENCH, "list"], cwd=tmp_path, env=environment(), capture_output=True, check=True))
