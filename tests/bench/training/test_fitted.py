"""A method that is fitted to features: what it finds is scikit-learn's, and its run is measured like any other's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from in_process import STYLES, TRAINING, nobody, ran
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import methods
from bench.data import load_local, tokenise
from bench.gates import budget
from bench.machine.measure import Phase
from bench.model import backbone, features, weights
from bench.model.features import CachedForward, Pass
from bench.model.forward import Forward
from bench.training import compute, train
from bench.training.costs import Costs
from methods.prepare import head_modules

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Splits
    from bench.job import Outcome


class Fitted(NamedTuple):
    """A probe's features by split, the splits, and what it says of them."""

    features: dict[str, torch.Tensor]
    splits: Splits
    logits: np.ndarray[Any, Any]
    fit: train.Fit


def fitted(folder: Path, texts: Path, categories: tuple[str, ...] | None = None, c: float = 1.0) -> Fitted:
    ref, method = backbone.local(folder), methods.get("probe")(c=c)
    corpus = load_local(texts).select(categories)
    splits = tokenise(corpus, backbone.tokenizer(ref), TRAINING.max_length)
    model = weights.load(ref, len(corpus.styles), seed=0)
    forward = Forward(method.apply(model), "cpu", "fp32", backbone.pad_id(ref), len(corpus.styles))
    (head,) = head_modules(model).values()
    read = {name: features.one_pass(forward, head, getattr(splits, name), None).features for name in features_of}
    kept = {getattr(splits, name): found for name, found in read.items()}
    reader = CachedForward(forward.module, "cpu", "fp32", 0, len(corpus.styles), head=head, features=kept)
    fit = train.fit_to_features(reader, method, head, read["train"], splits, nobody)
    return Fitted(read, splits, train.evaluate(forward, splits.test).logits, fit)


features_of = ("train", "validation", "test")


@pytest.mark.parametrize(("architecture", "with_bias"), [("gpt2", False), ("llama", False), ("bert", True)])
@pytest.mark.parametrize("categories", [None, ("letters",)])
def test_what_it_finds_is_scikit_learns(
    architecture: str, with_bias: bool, categories: tuple[str, ...] | None, texts: Path, request: pytest.FixtureRequest
) -> None:
    """Three styles and two, which scikit-learn holds apart; through the whole model, its own features unscaled."""
    found = fitted(request.getfixturevalue(architecture), texts, categories)
    reference = make_pipeline(
        StandardScaler(with_mean=with_bias), LogisticRegression(fit_intercept=with_bias, tol=1e-9, max_iter=10_000)
    )
    x = {name: tensor.double().numpy() for name, tensor in found.features.items()}
    reference.fit(x["train"], found.splits.train.labels)
    assert (found.logits.argmax(axis=1) == reference.predict(x["test"])).all()
    expected = reference.predict_log_proba(x["test"])
    logp = torch.from_numpy(found.logits).double().log_softmax(dim=1).numpy()
    np.testing.assert_allclose(logp, expected, atol=1e-3)
    accuracy = reference.score(x["validation"], found.splits.validation.labels)
    [epoch] = found.fit.epochs
    assert (epoch.epoch, epoch.validation_accuracy) == (1, accuracy)
    rows = np.arange(len(found.splits.train.labels))
    loss = -reference.predict_log_proba(x["train"])[rows, found.splits.train.labels].mean()
    assert epoch.train_loss == pytest.approx(loss, abs=1e-4)


def test_a_larger_c_fits_the_train_texts_more_closely(gpt2: Path, texts: Path) -> None:
    losses = [fitted(gpt2, texts, c=c).fit.epochs[0].train_loss for c in (0.01, 1.0, 100.0)]
    assert losses == sorted(losses, reverse=True)  # type: ignore[type-var]
    assert losses[-1] < 0.5 * losses[0]  # type: ignore[operator]


def test_what_is_not_solved_is_an_error(gpt2: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods.get("probe")
    monkeypatch.setattr("methods.probe.MOST_ITERATIONS", 3)
    with pytest.raises(methods.MethodError, match=r"isn't fitted after 3 iterations; a smaller c"):
        fitted(gpt2, texts)


def test_a_style_without_a_text_is_an_error() -> None:
    probe: Any = methods.get("probe")()
    with pytest.raises(methods.MethodError, match="a train text of every style"):
        probe.fit(torch.nn.Linear(2, 3), torch.eye(2), torch.tensor([0, 2]))


class Runs(NamedTuple):
    """The same probe without and with features kept from another method's run, and the files after the former."""

    own: Outcome
    kept: Outcome
    left: list[Path]


@pytest.fixture(scope="module")
def runs(gpt2: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    scratch = tmp_path_factory.mktemp("scratch")
    own = ran("probe", gpt2, texts, scratch, feature_cache=False)
    left = list(scratch.glob("features-*"))
    ran("head", gpt2, texts, scratch)
    return Runs(own, ran("probe", gpt2, texts, scratch), left)


def test_a_run_takes_no_steps_and_the_features_that_another_method_left(runs: Runs) -> None:
    found = runs.kept
    assert (found.steps, found.feature_cache, found.speed.features_reused) == (0, True, True)
    assert found.quality is not None
    assert [epoch.epoch for epoch in found.quality.epochs] == [found.quality.best_epoch] == [1]
    assert found.parameters.trainable == len(STYLES) * 32
    assert found.speed.train_s is not None
    assert found.memory.train_peak_bytes is not None
    assert found.speed.step_s_median is found.speed.warmup_steps is found.speed.eval_merged_tokens_per_s is None


def test_without_kept_features_a_run_finds_the_same_and_leaves_none(runs: Runs) -> None:
    assert runs.own.quality == runs.kept.quality
    assert (runs.own.feature_cache, runs.own.speed.features_reused) == (False, False)
    assert runs.left == []


def test_it_is_charged_the_pass_and_the_fit(gpt2: Path, texts: Path) -> None:
    found = fitted(gpt2, texts)
    assert found.fit.fit_s > 0
    assert (found.fit.step_s, found.fit.tokens) == ([], [])
    found.fit.fit_s, found.fit.peak_bytes = 5.0, 400
    passes = {name: Pass(torch.empty(0), Phase(10.0, 300), 0.0, reused=True) for name in features_of}
    evaluation = train.Evaluation(found.logits, Phase(1.0, 200), 0)
    costs = Costs("cpu", 100, Phase(2.0, 250), passes, found.fit, evaluation, None, 1e6, 1e9)
    speed, split = costs.speed(found.splits), found.splits.train
    assert speed.train_s == pytest.approx(15.0)
    assert speed.train_tokens_per_s == pytest.approx(split.lengths.sum() / 15)
    assert speed.train_samples_per_s == pytest.approx(len(split.labels) / 15)
    assert speed.step_s_median is speed.step_s_p95 is speed.warmup_steps is speed.warmup_s is None
    assert costs.memory().train_peak_bytes == 400


def test_its_fixed_cost_is_the_frozen_ones() -> None:
    """A pass without gradients, since it takes no steps."""

    def cost(name: str) -> Any:
        method = methods.get(name)()
        return compute.fixed_step(budget.adapted(method, "packed"), method, budget.TRAINING, budget.VOCABULARY)

    assert cost("probe") == cost("frozen")
    assert {key.phase for key in budget.measure(["probe"])} == {"adapter", "evaluate", "features"}


class FitsToWhatChanges(methods.Method):
    """Has a `fit`, and leaves what the head reads to change in training."""

    name = "fits"
    trains = paper = learning_rate_source = "nothing"
    learning_rate: methods.LearningRate = 1.0

    def adapt(self, model: Any, plan: methods.Plan | None) -> Any:
        return model

    def fit(self, head: Any, features: Any, labels: Any) -> None:
        """Be there."""


def test_a_run_refuses_to_fit_to_features_that_change(
    gpt2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(methods.registry._registered, "fits", FitsToWhatChanges)
    with pytest.raises(methods.MethodError, match=r"fits fits one head to fixed features, and GPT2For.* has none such"):
        ran("fits", gpt2, texts, tmp_path)
