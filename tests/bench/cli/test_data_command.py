"""`bench data`: what was understood of texts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from commands import call

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_was_understood_of_texts_is_shown(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"a": f"the moon {i}", "b": f"bread {i % 40}", "kind": i % 2, "target": "x"} for i in range(90)]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    columns = ["--text", "a,b", "--label", "kind", "--sample", "60"]
    assert call(monkeypatch, "data", "some.jsonl", "--model", str(gpt2), *columns) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == "some: text: columns `a` and `b`; label: column `kind`, 2 labels; no group"
    assert "A sample: 60 of 91 passages, each split and label in its share." in shown
    assert any(line.startswith("Duplicates: 0 texts") for line in shown)
    assert any(re.fullmatch(r"all \d+ \d+ \d+", line) for line in shown)
    assert any("the moon 2 bread 2" in line for line in shown)
    assert any(line.startswith("train ") for line in shown)
    assert any("--max-length 16 cuts no more" in line or "--max-length 24 cuts" in line for line in shown)
    assert any(line.startswith("About ") for line in shown)
    assert {path.name for path in tmp_path.iterdir()} == {"some.jsonl"}
    assert call(monkeypatch, "data", "some.jsonl", "--model", str(gpt2)) == 2
    assert (
        "which column is the text? Name it with --text; the columns are a, b, kind, target" in capsys.readouterr().err
    )
