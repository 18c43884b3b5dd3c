"""A slice of the matrix: methods that failed on some architecture in a run, and the core ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from in_process import Prepared, prepared
from small import save_model

if TYPE_CHECKING:
    from pathlib import Path

CORE = ("head", "lora", "ia3", "prefix", "full")
CHANGE_IN_PLACE = ("adalora", "c3a", "gralora")
FIT_THE_LAYERS = ("fourierft", "psoft", "waveft")


@pytest.fixture(scope="module", params=["llama", "bert"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Each model in turn."""
    return cast("Path", request.getfixturevalue(request.param))


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def study(
    folder: Path, texts: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Prepared:
    """Each model in each precision, for as little training as there is."""
    shortest: dict[str, Any] = {"epochs": 1, "max_steps": 2, "dtype": request.param}
    return prepared(folder, texts, tmp_path_factory.mktemp("scratch"), **shortest)


@pytest.mark.parametrize("method", [*CORE, *CHANGE_IN_PLACE, *FIT_THE_LAYERS])
def test_a_method_runs(method: str, study: Prepared) -> None:
    assert study.run(method).steps == 2


def test_behind_a_prompt_t5_finds_the_end_of_the_text(texts: Path, tmp_path: Path) -> None:
    model = save_model("t5", tmp_path / "model")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert prepared(model, texts, scratch, epochs=1, max_steps=2).run("prompt_tuning").steps == 2
