"""`bench list`: the methods for people and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from commands import bench, call

from methods.capabilities import TITLES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_list_as_json_has_what_the_list_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "list", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert {"frozen", "head", "lora", "ia3", "prefix"} <= {method["name"] for method in described}
    assert call(monkeypatch, "list") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for method in described:
        assert method["name"] in shown
        assert " ".join(method.get("trains", method.get("unable")).split()) in shown
        for field, value in method.get("defaults", {}).items():
            assert value in (None, False) or f"{field}={value}" in shown
    for title in TITLES:
        assert title in shown or title.split()[0] in shown
    [lora] = [method for method in described if method["name"] == "lora"]
    assert lora["capabilities"]["Merges"] == "yes"
    assert "sweeps alpha over 8, 32, 128" in shown
    assert "learning_rate 1.581e-05..0.01581:log; alpha 8..128:log (alpha scales the update" in shown


def test_the_list_is_printed_in_whatever_encoding(tmp_path: Path) -> None:
    done = bench("list", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "lora" in done.stdout
