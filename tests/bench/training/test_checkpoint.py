"""A run that was ended goes on from its last epoch, and ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import pytest
import torch

from bench.data import Splits, TokenSplit, load_local, tokenise
from bench.model import backbone, weights
from bench.model.forward import Forward
from bench.spec import TrainingSpec
from bench.store import record
from bench.training import train
from bench.training.checkpoint import Checkpoint
from methods import get, names

if TYPE_CHECKING:
    from pathlib import Path

    from bench.machine.facts import Device
    from bench.spec import BackboneRef
    from methods import Method

TRAINING = TrainingSpec(epochs=3, batch_size=8, max_length=64, dtype="fp32", device="cpu")


class Ended(Exception):
    """Where the run is cut off."""


class Fitted(NamedTuple):
    """What a training left."""

    fit: train.Fit
    weights: dict[str, torch.Tensor]
    generator: torch.Tensor
    told: list[int]


@pytest.fixture(scope="module")
def ref(gpt2: Path) -> BackboneRef:
    return backbone.local(gpt2)


@pytest.fixture(scope="module")
def splits(ref: BackboneRef, texts: Path) -> Splits:
    return tokenise(load_local(texts), backbone.tokenizer(ref), TRAINING.max_length)


@pytest.fixture(scope="module")
def few(splits: Splits) -> Splits:
    """Two steps an epoch."""
    whole, rows = splits.train, 2 * TRAINING.batch_size
    offsets = whole.offsets[: rows + 1]
    return replace(splits, train=TokenSplit(whole.ids[: offsets[-1]], offsets, whole.labels[:rows]))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / ".checkpoints" / "uid.safetensors", tmp_path, 0.0)


def _fit(
    ref: BackboneRef,
    splits: Splits,
    method: Method,
    checkpoint: train.Keeper | None,
    end_at_step: int | None = None,
    device: Device = "cpu",
    training: TrainingSpec = TRAINING,
) -> Fitted:
    """Train as a run does; what `end_at_step` names is the step, from 0, that is never taken."""
    torch.manual_seed(5)
    model = weights.load(ref, 3, 5)
    module = method.apply(model, train.plan(splits.train, TRAINING)).to(device)
    forward = Forward(module, device, "fp32", backbone.pad_id(ref), 3)

    told = []

    def watch(phase: str, done: int, total: int, loss: float | None = None, epoch: object = None) -> None:
        if epoch is None:
            told.append(done)
        if end_at_step is not None and done >= end_at_step:
            raise Ended

    fit = train.fit(forward, method, splits, training, 5, watch, checkpoint)
    trained = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
    return Fitted(fit, trained, torch.get_rng_state(), told)


def _cut_off(ref: BackboneRef, splits: Splits, method: Method, checkpoint: Checkpoint) -> None:
    with pytest.raises(Ended):
        _fit(ref, splits, method, checkpoint, end_at_step=10)
    assert checkpoint.path.exists()


def _same(found: Fitted, expected: Fitted) -> bool:
    return (
        found.fit.epochs == expected.fit.epochs
        and found.fit.tokens == expected.fit.tokens
        and found.fit.slots == expected.fit.slots
        and torch.equal(found.generator, expected.generator)
        and all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items())
    )


@pytest.mark.parametrize(
    "method",
    [get("lora")(dropout=0.3, learning_rate=0.01), get("prefix")(tokens=4), get("head")()],
    ids=["lora with dropout", "prefix", "head"],
)
def test_it_goes_on_bit_for_bit(ref: BackboneRef, splits: Splits, method: Method, checkpoint: Checkpoint) -> None:
    whole = _fit(ref, splits, method, None)
    _cut_off(ref, splits, method, checkpoint)
    resumed = _fit(ref, splits, method, checkpoint)
    assert _same(resumed, whole)
    assert len(resumed.fit.step_s) == len(whole.fit.step_s) == 15
    assert (whole.told, resumed.told) == ([0, 10], [10])  # the third epoch alone was trained


def test_where_an_epoch_is_selected_it_ends_as_after_the_best_resumed_or_not(
    ref: BackboneRef, splits: Splits, checkpoint: Checkpoint
) -> None:
    """At this rate the first epoch is the best."""
    method, selecting = get("lora")(learning_rate=0.03), TRAINING.model_copy(update={"select_epoch": True})
    whole = _fit(ref, splits, method, None, training=selecting)
    best = record.best_validated(whole.fit.epochs).epoch
    assert best == 1
    after: dict[str, torch.Tensor] = {}

    class Watching(First):
        def keep(self, fitting: train.Fitting, epoch_s: float) -> None:
            super().keep(fitting, epoch_s)
            if len(fitting.result.epochs) == best:
                module = fitting.forward.module
                after.update({name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad})

    last = _fit(ref, splits, method, Watching(checkpoint, resumes=False))
    assert last.fit.epochs == whole.fit.epochs
    assert all(torch.equal(whole.weights[name], tensor) for name, tensor in after.items())
    assert not all(torch.equal(last.weights[name], tensor) for name, tensor in after.items())
    checkpoint.path.unlink()
    _fit(ref, splits, method, First(checkpoint, resumes=False), training=selecting)
    assert _same(_fit(ref, splits, method, First(checkpoint, resumes=True), training=selecting), whole)


class First:
    """Keeps a fitting after its first epoch only, and may give it back."""

    def __init__(self, checkpoint: Checkpoint, resumes: bool) -> None:
        self.checkpoint, self.resumes = checkpoint, resumes

    def keep(self, fitting: train.Fitting, epoch_s: float) -> None:
        if len(fitting.result.epochs) == 1:
            self.checkpoint.keep(fitting, epoch_s)

    def restore(self, fitting: train.Fitting) -> None:
        if self.resumes:
            self.checkpoint.restore(fitting)
            assert len(fitting.result.epochs) == 1


def _claims(name: str) -> bool:
    """Return whether a method trains by steps, and says that it keeps nothing from one to the next by itself."""
    method = get(name)
    own = any(hasattr(method, verb) for verb in ("optimizer", "after_step", "fit"))
    return method.resumable and not own and name != "frozen"


@pytest.mark.parametrize("name", [name for name in names() if _claims(name)])
def test_every_method_that_claims_to_goes_on_bit_for_bit(
    ref: BackboneRef, few: Splits, name: str, checkpoint: Checkpoint
) -> None:
    method = get(name)()
    whole = _fit(ref, few, method, First(checkpoint, resumes=False))
    assert _same(_fit(ref, few, method, First(checkpoint, resumes=True)), whole)


def test_a_method_that_draws_ahead_is_not_resumed(ref: BackboneRef, few: Splits, checkpoint: Checkpoint) -> None:
    """peft's MonteCLoRA keeps a list of samples, of which no checkpoint knows."""
    _fit(ref, few, get("monteclora")(), checkpoint)
    assert not checkpoint.path.exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_it_goes_on_within_the_stated_tolerance_on_a_gpu(
    ref: BackboneRef, splits: Splits, checkpoint: Checkpoint
) -> None:
    method = get("lora")(dropout=0.3, learning_rate=0.01)
    whole = _fit(ref, splits, method, None, device="cuda")
    with pytest.raises(Ended):
        _fit(ref, splits, method, checkpoint, end_at_step=10, device="cuda")
    resumed = _fit(ref, splits, method, checkpoint, device="cuda")
    losses = [[epoch.validation_loss for epoch in fitted.fit.epochs] for fitted in (resumed, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert resumed.fit.tokens == whole.fit.tokens


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "not one"])
def test_a_damaged_one_counts_as_none(ref: BackboneRef, splits: Splits, checkpoint: Checkpoint, damage: str) -> None:
    method = get("lora")(dropout=0.3)
    whole = _fit(ref, splits, method, None)
    _cut_off(ref, splits, method, checkpoint)
    content = checkpoint.path.read_bytes()
    flipped = bytearray(content)
    flipped[-7] ^= 1
    damaged = {"cut": content[:-9], "flipped": bytes(flipped), "empty": b"", "not one": b"no header at all"}
    checkpoint.path.write_bytes(damaged[damage])
    assert _same(_fit(ref, splits, method, checkpoint), whole)


def test_short_epochs_are_kept_when_asked_only(ref: BackboneRef, splits: Splits, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / ".checkpoints" / "uid.safetensors", tmp_path, 60.0)
    _fit(ref, splits, get("head")(), checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_a_method_that_acts_after_each_step_may_have_a_state_of_its_own_and_is_not_kept(
    ref: BackboneRef, splits: Splits, checkpoint: Checkpoint
) -> None:
    class Acting(type(get("head")())):  # type: ignore[misc]
        name: ClassVar[str] = "acting"

        def after_step(self, module: torch.nn.Module, step: int) -> None:
            pass

    assert len(_fit(ref, splits, Acting(), checkpoint).fit.epochs) == 3
    assert not checkpoint.path.exists()


def test_a_disk_that_refuses_costs_the_checkpoint_alone(
    ref: BackboneRef, splits: Splits, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".checkpoints").write_text("in the way")
    checkpoint = Checkpoint(tmp_path / ".checkpoints" / "uid.safetensors", tmp_path, 0.0)
    assert len(_fit(ref, splits, get("head")(), checkpoint).fit.epochs) == 3
    assert "no checkpoint was written" in capfd.readouterr().err
