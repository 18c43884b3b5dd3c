"""Runs that are trained in one pass end where each would have by itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from fake_cuda import fake_gpu, moved
from in_process import nobody, prepared
from small import save_model

from bench.data import HeldOut
from bench.model import backbone
from bench.training import one_pass, train
from methods import MethodError
from methods import one_pass as stacks
from methods.prepare import trainable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from in_process import Prepared
    from numpy.typing import NDArray
    from torch import nn

    from bench.job import Found
    from bench.training.run import Run
    from methods import Method

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "lora": [{"alpha": 8, "learning_rate": 1e-2}, {"alpha": 32, "learning_rate": 3e-3}, {"alpha": 64}],
    "rslora": [{"lora_alpha": 8, "learning_rate": 1e-2}, {"lora_alpha": 24}],
    "ia3": [{"learning_rate": 1e-2}, {"learning_rate": 3e-2}],
    "head": [{"learning_rate": 1e-2}, {"learning_rate": 3e-2}],
}
SAME = {
    "backbone_parameters",
    "steps",
    "padding_share",
    "feature_cache",
    "laid_out",
    "resolved",
    "parameters",
    "compute",
}


@pytest.fixture(scope="module")
def study(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Two epochs on a GPT-2 whose weights are large enough to show what an adapter does, and a short held-out text."""
    folder = tmp_path_factory.mktemp("study")
    found = prepared(save_model("gpt2", folder / "model", language=True), texts, folder / "scratch")
    HeldOut.of("the moon and a river of silver in the night", backbone.tokenizer(found.ref)).save(found.scratch)
    return found


def _runs(study: Prepared, method: str) -> list[Run]:
    return [study.begin(method, **given) for given in SETTINGS[method]]


def _figures(run: Run, found: Found) -> NDArray[np.float64]:
    """What a run predicts of each test passage, and all that says how well, as numbers."""
    assert found.quality is not None
    assert found.forgetting is not None
    losses = [loss for epoch in found.quality.epochs for loss in (epoch.train_loss or 0.0, epoch.validation_loss)]
    predicted = pd.read_parquet(run.job.predictions).filter(like="logp:").to_numpy()
    return np.concatenate([losses, [found.forgetting.after], predicted.ravel()])


@pytest.mark.parametrize(
    ("method", "changes"), [*((method, {}) for method in SETTINGS), ("lora", {"select_epoch": True, "epochs": 4})]
)
def test_each_ends_where_it_would_have_by_itself(method: str, changes: dict[str, Any], study: Prepared) -> None:
    asked = replace(study, training=study.training.model_copy(update=changes))
    runs = _runs(asked, method)
    assert len({run.spec.one_pass for run in runs}) == 1
    found = one_pass.outcomes([run.job for run in runs], nobody)
    for run, together in zip(runs, found, strict=True):
        assert not isinstance(together, train.Diverged)
        figures = _figures(run, together)
        alone = run.outcome()
        np.testing.assert_allclose(figures, _figures(run, alone), rtol=0, atol=1e-5)
        assert together.model_dump(include=SAME) == alone.model_dump(include=SAME)
        assert together.notes == (
            f"speed and memory are null: it was one of {len(runs)} runs that were trained in one pass",
        )


def test_one_that_diverges_says_so_and_disturbs_no_other(study: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def spoilt(module: nn.Module, methods: Sequence[Method]) -> Iterator[dict[str, nn.Parameter]]:
        with stacks.stacked(module, methods) as values:
            for stack in values.values():
                stack.data[1].fill_(torch.nan)
            yield values

    runs = _runs(study, "lora")
    undisturbed = one_pass.outcomes([run.job for run in runs], nobody)
    monkeypatch.setattr(one_pass, "stacked", spoilt)
    first, diverged, third = one_pass.outcomes([run.job for run in runs], nobody)
    assert str(diverged) == "the training loss is nan at step 0; a smaller learning_rate may help"
    assert (first, third) == (undisturbed[0], undisturbed[2])


@pytest.mark.parametrize("given", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}])
def test_what_trains_otherwise_is_refused_and_the_model_is_as_it_was(given: dict[str, Any], study: Prepared) -> None:
    run = study.begin("rslora", **given)
    forward, _ = run.load()
    before = [*map(id, forward.module.modules())]
    with pytest.raises(MethodError, match="can't train in one pass"), stacks.stacked(forward.module, [run.method] * 2):
        pass
    assert [*map(id, forward.module.modules())] == before


def test_eight_runs_give_a_gpu_hardly_more_to_begin_than_one(study: Prepared) -> None:
    asked = replace(study, training=study.training.model_copy(update={"dtype": "bf16", "device": "cuda"}))
    run, rows = asked.begin("lora"), np.arange(8)
    on_cpu, _ = run.load(run.training.model_copy(update={"device": "cpu"}))
    with stacks.stacked(on_cpu.module, [run.method] * 8) as values, fake_gpu() as gpu:
        forward = replace(on_cpu, module=moved(on_cpu.module), device="cuda", copies=8)
        there: Any = dict(zip(values, trainable(forward.module).values(), strict=True))
        fitting = one_pass.Fitting(forward, there, [run.method] * 8, run.splits, run.training, nobody)
        fitting.step(rows)
        gpu.restart()
        fitting.step(rows)
        together = gpu.kernels
        assert gpu.waits == {}
    alone, _ = run.load(run.training.model_copy(update={"device": "cpu"}))
    with fake_gpu() as gpu:
        forward = replace(alone, module=moved(alone.module), device="cuda")
        one = train.Fitting(forward, run.method, run.splits.train, run.training, nobody)
        one.count(rows)  # so that this isn't one of the steps after which the loss is read
        one.step(rows)
        gpu.restart()
        one.step(rows)
        assert together < 1.2 * gpu.kernels
