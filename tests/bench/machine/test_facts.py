"""Facts about the machine, against what it says of itself."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys

import psutil
import pytest
import torch
import transformers
from commands import ROOT

from bench.machine import cgroups, facts


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


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four cores of two threads each, no limit to them, and nothing asked for."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8 if logical else 4)
    monkeypatch.setattr(cgroups, "processors", lambda: None)


@pytest.mark.usefixtures("four_cores")
def test_a_thread_a_core_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts.threads() == 4
    monkeypatch.setattr(cgroups, "processors", lambda: 2.5)
    assert facts.threads() == 2
    monkeypatch.setattr(cgroups, "processors", lambda: 0.5)
    assert facts.threads() == 1
    monkeypatch.setattr(cgroups, "processors", lambda: 16.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    assert facts.threads() == 3


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("3,1", 3), ("64", 4), ("", 4), ("many", 4), ("0", 1)])
def test_fewer_threads_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert facts.threads() == threads


def test_what_is_asked_for_is_taken_and_auto_is_resolved() -> None:
    assert facts.resolve_device("cpu") == "cpu"
    assert facts.resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert [facts.resolve_dtype(asked, "cpu") for asked in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert facts.resolve_dtype("auto", "cpu") == ("bf16" if facts.native_bf16("cpu") else "fp32")


def test_a_processor_that_is_held_to_less_than_bf16_computes_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As oneDNN is: it would emulate bf16, many times slower than fp32."""
    monkeypatch.setattr(facts, "_cpu_facts", lambda: ("a processor", frozenset({"avx512_bf16"})))
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert facts.resolve_dtype("auto", "cpu") == "bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert facts.resolve_dtype("auto", "cpu") == "fp32"
