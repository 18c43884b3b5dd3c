"""Kept features give what the long way gives, and every run is charged the pass that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import methods
from bench.data import eval_batches, load_local, tokenise
from bench.machine.measure import Phase
from bench.model import backbone, features, weights
from bench.model.features import CachedForward
from bench.model.forward import EVAL_BATCH_SIZE, Forward
from bench.spec import TrainingSpec
from bench.training import train
from bench.training.costs import Costs
from methods.prepare import head_modules

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Splits
    from methods import Method

TRAINING = TrainingSpec(epochs=2, batch_size=8, max_length=64, dtype="fp32", device="cpu")
STYLES = 3


def nobody(phase: str, done: int, total: int, loss: float | None = None, epoch: object = None) -> None:
    pass


def adapted(name: str, folder: Path) -> tuple[Method, Forward, torch.nn.Module]:
    ref = backbone.local(folder)
    torch.manual_seed(0)
    model = weights.load(ref, STYLES, seed=0)
    method = methods.get(name)()
    module = method.apply(model)
    (head,) = head_modules(model).values()
    return method, Forward(module, "cpu", "fp32", backbone.pad_id(ref), STYLES), head


def splits(model: Path, texts: Path) -> Splits:
    return tokenise(load_local(texts), backbone.tokenizer(backbone.local(model)), 64)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bert"])
def test_the_head_reads_the_same_from_kept_features(
    architecture: str, texts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(architecture)
    test = splits(folder, texts).test
    _, forward, head = adapted("head", folder)
    kept = features.one_pass(forward, head, test, tmp_path / "test.safetensors")
    cached = CachedForward(forward.module, "cpu", "fp32", 0, STYLES, head=head, features={test: kept.features})
    rows = np.array([3, 0, 2])
    torch.testing.assert_close(cached(test, rows), forward(test, rows), rtol=1e-4, atol=1e-5)


def test_the_padding_is_the_passes_own(bert: Path, texts: Path, tmp_path: Path) -> None:
    train = splits(bert, texts).train
    _, forward, head = adapted("head", bert)
    batches = eval_batches(train.lengths, EVAL_BATCH_SIZE)
    slots = sum(len(rows) * train.lengths[rows].max() for rows in batches)
    found = features.one_pass(forward, head, train, tmp_path / "train.safetensors")
    assert found.padding_share == pytest.approx(1 - train.lengths.sum() / slots)
    assert found.padding_share > 0


def test_training_on_kept_features_ends_where_the_long_way_ends(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    found = splits(gpt2, texts)
    results: list[tuple[Any, Any]] = []
    for keep in (True, False):
        method, forward, head = adapted("head", gpt2)
        reader = forward
        if keep:
            passes = {
                split: features.one_pass(forward, head, split, tmp_path / f"{name}.safetensors").features
                for name, split in (("a", found.train), ("b", found.validation), ("c", found.test))
            }
            reader = CachedForward(forward.module, "cpu", "fp32", 0, STYLES, head=head, features=passes)
        fit = train.fit(reader, method, found, TRAINING, 0, nobody)
        results.append((fit, train.evaluate(reader, found.test).logits))
    (kept, kept_logits), (long, long_logits) = results
    assert (kept_logits.argmax(1) == long_logits.argmax(1)).all()
    np.testing.assert_allclose(kept_logits, long_logits, rtol=1e-3, atol=1e-4)
    assert kept.tokens == long.tokens
    for a, b in zip(kept.epochs, long.epochs, strict=True):
        assert a.validation_accuracy == b.validation_accuracy
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)


def test_a_second_run_reads_what_the_first_left(gpt2: Path, texts: Path, tmp_path: Path) -> None:
    test = splits(gpt2, texts).test
    _, forward, head = adapted("head", gpt2)
    first = features.one_pass(forward, head, test, tmp_path / "test.safetensors")
    broken = Forward(torch.nn.Identity(), "cpu", "fp32", 0, STYLES)  # would raise if it were asked
    second = features.one_pass(broken, head, test, tmp_path / "test.safetensors")
    assert (first.reused, second.reused) == (False, True)
    assert second.cost == first.cost
    torch.testing.assert_close(second.features, first.features, rtol=0, atol=0)


def test_each_run_is_charged_the_pass_reused_or_not(gpt2: Path, texts: Path) -> None:
    found = splits(gpt2, texts)
    nothing = torch.empty(0)
    for reused in (True, False):
        passes = {
            "train": features.Pass(nothing, Phase(seconds=10.0, peak_bytes=900, joules=30.0), 0.0, reused),
            "validation": features.Pass(nothing, Phase(seconds=3.0, peak_bytes=5_000), 0.0, reused),
            "test": features.Pass(nothing, Phase(seconds=4.0, peak_bytes=700), 0.0, reused),
        }
        fit = train.Fit(step_s=[0.5] * 8, tokens=[10] * 8, samples=[2] * 8, peak_bytes=300, joules=[1.5, 2.5])
        evaluation = train.Evaluation(np.empty((0, STYLES), np.float32), Phase(seconds=1.0, peak_bytes=200), 0)
        costs = Costs("cpu", 100, Phase(2.0, 250), passes, fit, evaluation, flops_per_token=1e6, matmul_flops_per_s=1e9)
        speed, memory = costs.speed(found), costs.memory()
        assert speed.train_s == pytest.approx(14.0)
        assert speed.train_joules == pytest.approx(34.0)
        assert speed.train_tokens_per_s == pytest.approx(found.train.lengths.sum() / 14.0)
        assert speed.eval_s == pytest.approx(5.0)
        assert speed.eval_tokens_per_s == pytest.approx(found.test.lengths.sum() / 5.0)
        assert speed.features_s == pytest.approx(17.0)
        assert speed.features_reused is reused
        assert speed.matmul_share == pytest.approx(found.train.lengths.sum() / 14.0 / 1e3)
        assert (memory.train_peak_bytes, memory.eval_peak_bytes, memory.peak_bytes) == (900, 700, 900)
        assert memory.baseline_bytes == 100


class Hoarder(torch.nn.Module):
    """Holds 64 MiB more in evaluation than in training."""

    def __init__(self) -> None:
        super().__init__()
        self.score = torch.nn.Linear(1, STYLES)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        extra = None if self.training else torch.ones(64 * 2**20 // 4)
        logits = self.score(attention_mask.sum(1, keepdim=True).float())
        del extra
        return type("Output", (), {"logits": logits})


def test_memory_held_in_evaluation_only_is_charged_to_evaluation_only(gpt2: Path, texts: Path) -> None:
    found = splits(gpt2, texts)
    forward = Forward(Hoarder(), "cpu", "fp32", 0, STYLES)
    fit = train.fit(forward, methods.get("head")(), found, TRAINING, 0, nobody)
    evaluation = train.evaluate(forward, found.test)
    assert fit.peak_bytes is not None
    extra = evaluation.cost.peak_bytes - fit.peak_bytes
    assert 56 * 2**20 < extra < 80 * 2**20
