"""`bench run`: the grid of a dry run, and a study on an odd system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from commands import bench, call
from record_factory import Variant, build_store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_dry_run_prints_the_grid_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweeps = ["--set", "lora.alpha=8,32", "--set", "lora.r=4,8,16"]
    assert call(monkeypatch, "run", "--methods", "lora,head", *sweeps, "--seeds", "3,4", "--dry-run") == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for alpha in (8, 32):
        for r in (4, 8, 16):
            assert sum(f"r={r}, alpha={alpha}," in row for row in rows) == 1
    assert rows[-1] == "7 variants × 2 seeds = 14 runs"
    assert list(tmp_path.iterdir()) == []


def test_without_settings_lora_is_swept_over_alpha(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert [f"alpha={alpha}" in shown for alpha in (8, 32, 128)] == [True] * 3
    assert shown.splitlines()[-1] == "7 variants × 3 seeds = 21 runs"


def test_a_dry_run_with_texts_tells_how_much_it_reads_and_how_long_that_takes(
    texts: Path, gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.machine import facts
    from bench.model import backbone

    monkeypatch.chdir(tmp_path)
    dry = ["run", "--data", str(texts), "--model", str(gpt2), "--methods", "head,ia3", "--dry-run", "--device", "cpu"]
    assert call(monkeypatch, *dry) == 0
    *_, read, unknown = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"About [\d,]+ tokens: [\d,]+ in train, [\d,]+ in validation, [\d,]+ in test\.", read)
    assert unknown.startswith("How long a study takes isn't known")
    here = {"environment.cpu": facts.processor(), "backbone.revision": backbone.local(gpt2).revision}
    build_store(tmp_path / "results/some", [Variant("head", {}, 0.4, 0, 100.0, 600.0, 40.0)], [0], here)
    assert call(monkeypatch, *dry) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"6 runs take about \d+ (s|min) here, by the speeds in results; 1 of 2 variants count as the slowest known\.",
        last,
    )


def test_a_study_bears_an_odd_system(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    """A long TMPDIR, a home that is none and an output of ASCII cost nothing."""
    folder = tmp_path / ("long-name-of-a-job" * 6)
    folder.mkdir()
    odd = {"TMPDIR": str(folder), "HOME": "/dev/null", "PYTHONIOENCODING": "ascii"}
    sources = ["--model", str(gpt2), "--data", str(texts), "--seeds", "0", "--max-steps", "2", "--results", "store"]
    done = bench("run", "--methods", "head", "--device", "cpu", "--dtype", "fp32", *sources, cwd=tmp_path, **odd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is too long for the path of a socket" in done.stderr
    assert "1 of 1 runs ok" in done.stdout
