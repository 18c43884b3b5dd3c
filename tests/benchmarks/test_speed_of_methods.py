"""What each method's training step and inference take, and the pass for kept features."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch

import methods
from bench.gates import budget
from bench.model import features
from bench.model.prepacked import prepacked
from bench.training import train
from methods import adapters
from methods.from_peft import FromPeft
from methods.prepare import head_modules

if TYPE_CHECKING:
    from pathlib import Path

    from calibrated import Timed
    from transformers import PreTrainedModel

ROWS = np.arange(budget.TRAINING.batch_size)
STEPS = 4
"""Training steps a round."""
NAMES = [name for name in methods.names() if not issubclass(methods.get(name), FromPeft)]
"""The methods with code of their own here. What the others compute is counted by their budgets: to time all of peft
would take an hour."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", NAMES)
def test_training_step(name: str, timed: Timed) -> None:
    method = methods.get(name)()
    forward = budget.adapted(method, "packed")
    if not adapters.count(forward.module)[0] or hasattr(method, "fit"):
        pytest.skip(f"{name} takes no steps")
    fitting = train.Fitting(forward, method, budget.passages(), budget.TRAINING, watch=budget.nobody)
    with prepacked(forward.module):
        timed(lambda: [fitting.step(ROWS) for _ in range(STEPS)])


@pytest.mark.parametrize("name", NAMES)
def test_inference(name: str, timed: Timed) -> None:
    forward = budget.adapted(methods.get(name)(), "packed")
    with prepacked(forward.module):
        timed(lambda: train.evaluate(forward, budget.passages()))


def test_feature_caching(timed: Timed, tmp_path: Path) -> None:
    forward = budget.adapted(methods.get("head")(), "packed")
    (head,) = head_modules(cast("PreTrainedModel", forward.module)).values()
    files = (tmp_path / f"{number}.safetensors" for number in range(1000))
    timed(lambda file: features.one_pass(forward, head, budget.passages(), file), lambda: (next(files),))
