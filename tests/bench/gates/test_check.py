"""`bench check`: a method's promises from the command line, of ours and of a package that pip installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from commands import bench, call, environment, here

import methods
from methods.registry import _registered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = """
from typing import ClassVar

import torch

import methods


@methods.register
class Scaled(methods.Method):
    name: ClassVar[str] = "scaled"
    trains: ClassVar[str] = "a scale of what the head reads, and the head"
    paper: ClassVar[str] = "none"
    family: ClassVar[str] = "scaling"
    learning_rate_source: ClassVar[str] = "chosen for this test"
    identity_at_start: ClassVar[bool] = True
    learning_rate: methods.LearningRate = 1e-2

    def adapt(self, model, plan):
        from methods.prepare import head_modules

        for head in head_modules(model).values():
            scale = torch.nn.Parameter(torch.ones(1))
            head.register_parameter("scale", scale)
            head.register_forward_pre_hook(lambda module, inputs: (inputs[0] * module.scale,))
        return model
"""
FORGETFUL = (
    OWN.replace("Scaled", "Forgetful")
    .replace('"scaled"', '"forgetful"')
    .replace("scale = torch.nn.Parameter(torch.ones(1))", "scale = torch.nn.Parameter(torch.ones(1) * 2)")
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed a package with two methods, one of which doesn't keep what it promises."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel, info = folder / "theirs-1.0-py3-none-any.whl", "theirs-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("theirs_scaled.py", OWN)
        archive.writestr("theirs_forgetful.py", FORGETFUL)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        points = "scaled = theirs_scaled:Scaled\nforgetful = theirs_forgetful:Forgetful\n"
        archive.writestr(f"{info}/entry_points.txt", f"[bench.methods]\n{points}")
        archive.writestr(f"{info}/RECORD", "")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, timeout=120)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(str(site))
    yield
    for name in ("scaled", "forgetful"):
        _registered.pop(name, None)
        sys.modules.pop(f"theirs_{name}", None)


@pytest.mark.usefixtures("installed")
def test_an_installed_method_takes_part_in_everything(site: Path, gpt2: Path, texts: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([environment()["PYTHONPATH"], str(site)])
    listed = {one["name"]: one for one in json.loads(bench("list", "--json", cwd=tmp_path, PYTHONPATH=path).stdout)}
    assert listed["scaled"]["trains"] == "a scale of what the head reads, and the head"
    options = ("--model", str(gpt2), "--data", str(texts), "--seeds", "0", "--max-steps", "2", "--results", "store")
    done = here("bench", "run", "--methods", "head,scaled", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert here("report.py", "store", "-o", "report.md", cwd=tmp_path).returncode == 0
    assert "| scaled" in (tmp_path / "report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("installed")
def test_an_installed_method_is_checked(tmp_path: Path) -> None:
    kept = here("bench", "check", "scaled", cwd=tmp_path)
    assert "nothing to merge" in kept.stdout
    assert (kept.returncode, kept.stdout.splitlines()[-1]) == (0, "scaled keeps every promise.")
    broken = here("bench", "check", "forgetful", cwd=tmp_path)
    assert broken.returncode == 1
    assert "gpt2: fresh one changes nothing: a fresh one changes the logits by" in broken.stdout
    assert broken.stdout.splitlines()[-1] == "forgetful breaks 3 of its promises."


def test_what_a_method_cannot_serve_is_no_broken_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "check", "bitfit") == 0
    assert "llama: bitfit can't tune LlamaForSequenceClassification" in capsys.readouterr().out


def test_a_method_that_is_not_there_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "check", "xlora") == 2
    assert methods.unable()["xlora"] in capsys.readouterr().err
