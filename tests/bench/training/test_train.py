"""Training and evaluation: the same for every method, and exactly what the record says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from in_process import prepared
from torch.nn import functional

import methods
from bench.data import batches, load_local, tokenise, train_batches
from bench.model import backbone, weights
from bench.model.forward import Forward
from bench.spec import TrainingSpec
from bench.training import train
from bench.training.costs import WARMUP_STEPS, training_speed
from bench.training.metrics import cross_entropy

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Splits

SPEC = TrainingSpec(epochs=2, batch_size=8, max_length=64, dtype="fp32", device="cpu")
EPOCH_STEPS = 5  # 37 passages: four batches of 8 and one of 5


class Told(methods.Method):
    """Trains the head by plain gradient steps, and tells what it was asked."""

    name: ClassVar[str] = "told"
    trains: ClassVar[str] = "the head"
    paper: ClassVar[str] = "none"
    learning_rate_source: ClassVar[str] = "none"
    learning_rate: methods.LearningRate = 0.5
    seen: ClassVar[dict[str, Any]] = {}

    def adapt(self, model: Any, plan: methods.Plan | None) -> Any:
        return model

    def optimizer(self, module: torch.nn.Module, plan: methods.Plan) -> torch.optim.Optimizer:
        parameters = [p for p in module.parameters() if p.requires_grad]
        self.seen.update(plan=plan, optimizer=torch.optim.SGD(parameters, lr=self.learning_rate), steps=[], rates=[])
        optimizer: torch.optim.Optimizer = self.seen["optimizer"]
        optimizer.register_step_pre_hook(lambda made, *_: self.seen["rates"].append(made.param_groups[0]["lr"]))
        return optimizer

    def after_step(self, module: torch.nn.Module, step: int) -> None:
        self.seen["steps"].append(step)


@pytest.fixture(scope="module")
def splits(gpt2: Path, texts: Path) -> Splits:
    """The texts as tokens."""
    return tokenise(load_local(texts), backbone.tokenizer(backbone.local(gpt2)), SPEC.max_length)


def _forward(model: Path, method: methods.Method) -> Forward:
    ref = backbone.local(model)
    torch.manual_seed(0)
    module = method.apply(weights.load(ref, 3, 0), methods.Plan(epochs=SPEC.epochs, steps=SPEC.epochs * EPOCH_STEPS))
    return Forward(module, "cpu", "fp32", pad_id=backbone.pad_id(ref), styles=3)


def _fit(forward: Forward, method: methods.Method, splits: Splits, seed: int = 0, **changes: Any) -> train.Fit:
    spec = SPEC.model_copy(update=changes)
    return train.fit(forward, method, splits, spec, seed, lambda *_, **__: None)


@pytest.mark.parametrize("method", ["lora", "adalora", "prompt_tuning"])
def test_a_step_in_parts_has_the_gradient_of_the_whole_batch(
    llama: Path, texts: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AdaLoRA has a penalty, which counts once."""
    splits = tokenise(load_local(texts), backbone.tokenizer(backbone.local(llama)), SPEC.max_length)
    rows = train_batches(len(splits.train.labels), 8, 0, 1)[0]

    def step(overhead: int) -> tuple[int, float, list[torch.Tensor]]:
        monkeypatch.setattr("bench.model.forward.PART_OVERHEAD", overhead)
        built = methods.get(method)()
        forward = _forward(llama, built)
        fitting = train.Fitting(forward, built, splits.train, SPEC, lambda *_, **__: None)
        monkeypatch.setattr(fitting.optimizer, "step", lambda: None)
        monkeypatch.setattr(fitting.optimizer, "zero_grad", lambda set_to_none: None)
        loss = fitting.step(rows)
        gradients = [p.grad for p in forward.module.parameters() if p.grad is not None]
        return len(forward.parts(splits.train, rows)), float(loss), gradients

    (parts, loss, gradients), (whole, expected, of_whole) = step(1), step(10_000)
    assert parts > 1 == whole
    assert loss == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(gradients, of_whole, rtol=1e-4, atol=1e-7)


def test_the_training_loss_is_the_mean_over_all_passages_without_dropout(gpt2: Path, splits: Splits) -> None:
    """Next to no learning: then it must be the loss of one evaluation, however the passages fall into batches."""
    method = methods.get("lora")(learning_rate=1e-12)
    forward = _forward(gpt2, method)
    fit = _fit(forward, method, splits)
    expected = cross_entropy(train.evaluate(forward, splits.train).logits, splits.train.labels)
    assert [epoch.train_loss for epoch in fit.epochs] == [pytest.approx(expected, abs=1e-5)] * 2


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bert"])
def test_logits_come_in_the_splits_order_and_padding_changes_none(
    architecture: str, splits: Splits, texts: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(architecture)
    forward = _forward(folder, methods.get("prefix")())
    own = tokenise(load_local(texts), backbone.tokenizer(backbone.local(folder)), SPEC.max_length)
    assert len(set(own.test.lengths.tolist())) > 3
    found = train.evaluate(forward, own.test)
    with torch.no_grad():
        alone = [
            forward.module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
            for ids in (torch.from_numpy(own.test.row(i).astype(np.int64))[None] for i in range(15))
        ]
    np.testing.assert_allclose(found.logits, np.stack(alone), atol=1e-5)
    assert found.tokens == own.test.lengths.sum()


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_evaluated_in_a_gpus_batches_it_predicts_the_same(
    architecture: str, texts: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = request.getfixturevalue(architecture)
    forward = _forward(folder, methods.get("prefix")())
    own = tokenise(load_local(texts), backbone.tokenizer(backbone.local(folder)), SPEC.max_length)
    expected = train.evaluate(forward, own.train)
    monkeypatch.setattr(batches, "SHORT", 1)
    cut = batches.even_eval_batches(own.train.lengths, 4)
    assert len(set(map(len, cut))) > 2
    monkeypatch.setattr(Forward, "eval_batches", lambda *_: cut)
    found = train.evaluate(forward, own.train)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    assert found.logits.argmax(axis=1).tolist() == expected.logits.argmax(axis=1).tolist()


def test_every_method_sees_the_same_batches_and_a_seed_its_own(gpt2: Path, splits: Splits) -> None:
    made = [methods.get(name)() for name in ("head", "lora", "prefix")]
    fits = [_fit(_forward(gpt2, method), method, splits) for method in made]
    assert fits[0].tokens == fits[1].tokens == fits[2].tokens
    assert fits[0].samples == fits[1].samples == fits[2].samples
    assert _fit(_forward(gpt2, made[0]), made[0], splits, seed=1).tokens != fits[0].tokens


def test_every_epoch_takes_each_passage_once_in_another_order(gpt2: Path, splits: Splits) -> None:
    method = methods.get("head")()
    fit = _fit(_forward(gpt2, method), method, splits)
    first, second = fit.samples[:EPOCH_STEPS], fit.samples[EPOCH_STEPS:]
    assert sorted(first) == sorted(second) == [5, 8, 8, 8, 8]
    assert sum(fit.tokens) == 2 * splits.train.lengths.sum()
    assert fit.tokens[:EPOCH_STEPS] != fit.tokens[EPOCH_STEPS:]


@pytest.mark.parametrize(
    ("epochs", "max_steps", "steps", "lasts"),
    [(2, None, 10, 2), (2, 100, 10, 2), (2, 5, 5, 1), (2, 6, 6, 2), (9, 1, 1, 1)],
)
def test_the_plan_is_kept(
    gpt2: Path, splits: Splits, epochs: int, max_steps: int | None, steps: int, lasts: int
) -> None:
    method = methods.get("head")()
    fit = _fit(_forward(gpt2, method), method, splits, epochs=epochs, max_steps=max_steps)
    assert len(fit.tokens) == len(fit.samples) == len(fit.step_s) == steps
    assert [epoch.epoch for epoch in fit.epochs] == list(range(1, lasts + 1))
    plan = train.plan(splits.train, SPEC.model_copy(update={"epochs": epochs, "max_steps": max_steps}))
    assert (plan.steps, plan.epochs) == (steps, lasts)


def test_a_methods_own_optimizer_follows_the_warm_up_and_the_decay(gpt2: Path, splits: Splits) -> None:
    method = Told()
    _fit(_forward(gpt2, method), method, splits, epochs=4)
    assert method.seen["plan"] == methods.Plan(epochs=4, steps=20)
    assert method.seen["steps"] == list(range(20))
    rates = method.seen["rates"]
    assert rates == pytest.approx([0.25, *(0.5 * left / 19 for left in range(19, 0, -1))])


def test_training_learns_what_can_be_told_apart(gpt2: Path, splits: Splits) -> None:
    method = methods.get("lora")(learning_rate=1e-2)
    forward = _forward(gpt2, method)
    fit = _fit(forward, method, splits, epochs=12)
    losses = [epoch.train_loss for epoch in fit.epochs]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.5 * losses[0]
    assert fit.epochs[-1].validation_accuracy > 0.6


def test_the_figures_of_an_epoch_are_those_of_an_evaluation(gpt2: Path, splits: Splits) -> None:
    method = methods.get("lora")(learning_rate=1e-2)
    forward = _forward(gpt2, method)
    last = _fit(forward, method, splits).epochs[-1]
    logits = train.evaluate(forward, splits.validation).logits
    labels = torch.from_numpy(splits.validation.labels)
    expected = functional.cross_entropy(torch.from_numpy(logits), labels).item()
    assert last.validation_loss == pytest.approx(expected, abs=1e-5)
    assert last.validation_accuracy == (logits.argmax(axis=1) == splits.validation.labels).mean()


def test_nothing_to_train_is_validated_once(gpt2: Path, splits: Splits) -> None:
    method = methods.get("frozen")()
    fit = _fit(_forward(gpt2, method), method, splits)
    assert [(epoch.epoch, epoch.train_loss) for epoch in fit.epochs] == [(0, None)]
    assert (fit.tokens, fit.padding_share, fit.peak_bytes) == ([], None, None)


def test_a_loss_that_is_no_number_ends_the_run(gpt2: Path, splits: Splits) -> None:
    method = methods.get("head")()
    forward = _forward(gpt2, method)
    with torch.no_grad():
        next(p for p in forward.module.parameters() if p.requires_grad).fill_(float("inf"))
    with pytest.raises(train.Diverged, match="smaller learning_rate"):
        _fit(forward, method, splits)


def test_the_throughput_leaves_the_warm_up_out() -> None:
    steady = [0.5, 0.5, 1.0]
    fit = train.Fit(step_s=[10.0] * WARMUP_STEPS + steady, tokens=[7] * WARMUP_STEPS + [100, 200, 300])
    fit.samples = [1] * WARMUP_STEPS + [8, 8, 4]
    found = training_speed(fit)
    assert found["train_tokens_per_s"] == pytest.approx(600 / 2)
    assert found["train_samples_per_s"] == pytest.approx(20 / 2)
    assert found["step_s_median"] == 0.5
    assert found["train_s"] == pytest.approx(10 * WARMUP_STEPS + 2)
    assert (found["warmup_steps"], found["warmup_s"]) == (WARMUP_STEPS, 10 * WARMUP_STEPS)


def test_a_run_as_short_as_the_warm_up_has_a_throughput_too() -> None:
    found = training_speed(train.Fit(step_s=[2.0], tokens=[50], samples=[8]))
    assert (found["train_tokens_per_s"], found["warmup_steps"], found["warmup_s"]) == (25, 0, 0)
    assert training_speed(train.Fit()) == {}


@pytest.mark.parametrize(("max_steps", "steps"), [(3, 3), (None, EPOCH_STEPS)])
def test_what_times_steps_takes_steps_and_nothing_else(
    max_steps: int | None, steps: int, gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--jobs auto` chooses by them: no evaluation is timed with them, and none before the others are ready."""
    happened: list[str] = []
    step = train.Fitting.step

    def taken(fitting: train.Fitting, rows: Any) -> torch.Tensor:
        happened.append("step")
        return step(fitting, rows)

    monkeypatch.setattr(train.Fitting, "step", taken)
    monkeypatch.setattr(train, "evaluate", lambda *_: pytest.fail("it validates"))
    run = prepared(gpt2, texts, tmp_path / "scratch", max_steps=max_steps).begin("ia3")
    seconds = run.step_s(lambda: happened.append("ready"))
    assert happened == ["ready", *["step"] * steps]
    assert len(seconds) == steps
    assert min(seconds) > 0
    assert {path.suffix for path in (tmp_path / "scratch").iterdir()} <= {".safetensors", ".parquet"}
