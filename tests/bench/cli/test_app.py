"""The commands together: their help, and what they don't wait for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import call, environment

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_command_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = call(monkeypatch)
    shown = capsys.readouterr()
    assert "Usage" in shown.out + shown.err
    assert "Traceback" not in shown.err
    assert code in (0, 2)


def test_the_help_names_every_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "run", "--help") == 0
    shown = capsys.readouterr().out
    for option in (
        *("methods", "set", "seeds", "preset", "model", "data", "category", "train-size", "epochs", "max-steps"),
        *("batch-size", "max-length", "device", "dtype", "results", "save-adapters", "dry-run"),
    ):
        assert f"--{option} " in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--dry-run"],
        ["run", "--methods", "head,./peft.json", "--dry-run"],
        ["list"],
        ["list", "--json"],
        ["run", "--preset", "demo", "--data", "{}", "--dry-run"],
    ],
)
def test_what_computes_nothing_does_not_wait_for_torch(arguments: list[str], texts: Path, tmp_path: Path) -> None:
    arguments = [argument.format(texts) for argument in arguments]
    (tmp_path / "peft.json").write_text('{"peft_type": "LORA", "use_dora": true}')
    code = (
        "import sys\nfrom bench import cli\n"
        f"sys.argv = ['bench', *{arguments!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "print(sorted({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"
