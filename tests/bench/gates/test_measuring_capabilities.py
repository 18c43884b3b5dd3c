"""What methods can do, measured anew: the file that `bench list` and reports read says the same."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import methods
from bench.gates import capabilities
from methods.capabilities import measured
from methods.prepare import head_modules

if TYPE_CHECKING:
    from torch import nn

    from methods.base import Plan


@pytest.mark.parametrize("method", ["lora", "prefix", "boft", "bitfit"])
def test_what_is_kept_of_a_method_is_what_it_measures_as(method: str) -> None:
    """Merging and not, slower and not, loading where there is no Conv1D only, serving some architectures only."""
    kept = measured(metadata.version("peft"))
    assert kept is not None
    found = capabilities.measure(methods.get(method))
    expected = kept.methods[method]
    if found.quantised is None:  # bitsandbytes isn't installed
        expected = expected.model_copy(update={"quantised": None})
    assert found == expected


class Twice(methods.Method):
    """A method of somebody's own, which computes something beside the backbone."""

    name: ClassVar[str] = "twice"
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "chosen for this test"
    learning_rate: methods.LearningRate = 1e-2

    def adapt(self, model: Any, plan: Plan | None) -> nn.Module:
        """Double what the head reads, and halve it again."""
        for head in head_modules(model).values():
            head.register_forward_pre_hook(lambda _, inputs: (2 * inputs[0] / 2,))
        adapted: nn.Module = model
        return adapted


def test_a_method_of_ones_own_is_measured_too() -> None:
    found = capabilities.measure(Twice)
    assert (found.merges, found.stock, found.layers) == (None, None, None)
    assert set(found.operators) == {"gpt2", "llama", "bert"}
    assert all(times > 1 for times in found.operators.values())
    rows = {row.cells[0].value: row.cells[1].value for row in capabilities.table("twice", found).rows}
    assert rows["Merges"] == "nothing to merge"
    assert str(rows["Unmerged inference"]).endswith("operators")
    assert rows["Architectures"] == "unknown"


def test_where_4_bits_cannot_be_tried_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = capabilities.measure(Twice)
    assert found.quantised is None
    assert capabilities.lines(found) == [
        "A 4-bit backbone isn't tried: that takes bitsandbytes, which isn't installed."
    ]
