"""Facts about the machine, against what it says of itself."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys

import pytest
import torch
import transformers
from commands import ROOT

from bench.machine import facts


def test_versions_and_processor_are_those_of_this_process() -> None:
    found = facts.environment("cpu", "python -m bench run")
    assert (found.python, found.transformers) == (platform.python_version(), transformers.__version__)
    assert torch.__version__.startswith(found.torch.partition("+")[0])
    assert found.gpu is None
    assert found.cpu
    assert found.command == "python -m bench run"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the project as a git checkout")
def test_the_commit_is_the_one_that_is_checked_out() -> None:
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    facts._git_state.cache_clear()
    assert facts.environment("cpu", "").git_commit == commit.stdout.strip()


def test_the_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["run", "--data", "my texts; rm", "--set", "lora.targets=a+b"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/bench/__main__.py", *typed])
    assert shlex.split(facts.command_line()) == ["python", "-m", "bench", *typed]


def test_what_is_asked_for_is_taken_and_auto_is_resolved() -> None:
    assert facts.resolve_device("cpu") == "cpu"
    assert facts.resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert [facts.resolve_dtype(asked, "cpu") for asked in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert facts.resolve_dtype("auto", "cpu") == ("bf16" if facts.native_bf16("cpu") else "fp32")
