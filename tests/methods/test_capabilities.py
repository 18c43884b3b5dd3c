"""What is said of what a method can do, from what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import methods
from methods import from_peft
from methods.capabilities import TITLES, UNKNOWN, Capabilities, described, matrix, measured
from methods.registry import _files

PEFT = "0.21.2"
ALL = Capabilities(
    merges={"gpt2": True, "bert": True},
    stock={"gpt2": False, "bert": True},
    operators={"gpt2": 1.0, "bert": 1.21},
    flops={"gpt2": 1.0, "bert": 1.5},
    quantised="",
    layers=("Linear", "Conv2d"),
)


def test_what_was_measured_is_said_in_a_few_words() -> None:
    said = described("no_such_method", PEFT, ALL)
    assert tuple(said) == TITLES
    assert said == {
        "Merges": "yes",
        "Unmerged inference": "10% more operators",  # the geometric mean
        "Loads with peft": "on bert only",
        "4-bit backbone": "yes",
        "Architectures": UNKNOWN,
        "Layers": "Linear, Conv2d",
    }


def test_what_does_not_apply_or_wasnt_tried_is_told_from_no() -> None:
    none = {"merges": None, "stock": None, "quantised": None, "layers": None, "operators": {"gpt2": 1.0}}
    said = described("x", PEFT, ALL.model_copy(update={**none, "flops": {"gpt2": 1.0}}))
    assert list(said.values()) == [
        *("nothing to merge", "not slowed", "no peft adapter", "not tried", UNKNOWN, "not by layer"),
    ]
    broken = {"merges": {"gpt2": False}, "quantised": "TypeError: it breaks", "flops": {"gpt2": 1.02}}
    no = described("x", PEFT, ALL.model_copy(update={**none, **broken, "layers": ()}))
    assert (no["Merges"], no["4-bit backbone"], no["Layers"]) == ("no", "no", "none of these")
    assert no["Unmerged inference"] == "2% more FLOPs"


@pytest.mark.parametrize(("method", "peft"), [("lora", "0.99.1"), ("my_own", PEFT)])
def test_another_peft_and_a_method_of_ones_own_are_unknown_not_guessed(method: str, peft: str) -> None:
    assert set(described(method, peft).values()) == {UNKNOWN}


def test_every_method_that_comes_with_the_project_was_measured() -> None:
    """Where this fails after a method was added: `make capabilities` and `make matrix` write what is missing."""
    names = {*_files(), *from_peft.names()}
    known, where = measured(PEFT), matrix(PEFT)
    assert known is not None
    assert where is not None
    assert names == set(known.methods) == set(where.failures)
    assert all(one.quantised is not None for one in known.methods.values())
    assert UNKNOWN not in methods.registry.describe("lora")["capabilities"].values()


def test_the_matrix_as_data_is_the_one_in_the_docs() -> None:
    where = matrix(PEFT)
    assert where is not None
    text = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text(encoding="utf-8")
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    lines = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    (_, *architectures), _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert tuple(architectures) == where.architectures
    assert where.failures == {
        name: {at: reasons[cell] for at, cell in zip(architectures, cells, strict=True) if cell != "✓"}
        for name, *cells in rows
    }
