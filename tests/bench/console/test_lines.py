"""What is said beside a study's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import console

if TYPE_CHECKING:
    import pytest


def test_a_warning_is_a_panel_on_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    console.warn("Take care", "of [this]")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Take care" in shown.err
    assert "of [this]" in shown.err
    assert "╭" in shown.err
