"""Fit and evaluate one adapted model: the same for every method but the method."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.nn import functional

from bench.data import train_batches
from bench.machine import measure
from bench.model.transfer import to_device
from bench.store.record import Epoch, best_validated
from bench.training.metrics import cross_entropy, selecting
from methods import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.data import Splits, TokenSplit
    from bench.model.forward import Forward
    from bench.spec import TrainingSpec
    from methods import Method

Penalty = Callable[[torch.nn.Module], torch.Tensor]

CHECK_EVERY = 10


class Diverged(Exception):
    """The loss is no longer a number."""


class Watch(Protocol):
    """Whoever wants to know how far a run is."""

    def __call__(
        self, phase: str, done: int, total: int, loss: float | None = None, epoch: Epoch | None = None
    ) -> None:
        """Be told that `done` of `total` steps of `phase` are over, or that an epoch has ended and was validated."""


class Keeper(Protocol):
    """Whoever keeps what a fitting knows after an epoch, and gives it back: `bench.training.checkpoint`."""

    def keep(self, fitting: Fitting, epoch_s: float) -> None:
        """Keep the state after an epoch of `epoch_s` seconds, if that is worth it."""

    def restore(self, fitting: Fitting) -> None:
        """Bring freshly made state to what was kept, if there is such."""


@dataclass
class Fit:
    """What training did and what it cost; one entry a step in the lists, but in `joules` one a stretch of training.

    `fit_s` is what a method's own `fit` took.
    """

    epochs: list[Epoch] = field(default_factory=list)
    fit_s: float = 0.0
    step_s: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    slots: int = 0
    peak_bytes: int | None = None
    reserved_bytes: int | None = None
    joules: list[float | None] = field(default_factory=list)

    @property
    def padding_share(self) -> float | None:
        """The share of the token slots in training batches that held padding."""
        return 1 - sum(self.tokens) / self.slots if self.slots else None

    def charge(self, cost: measure.Phase) -> None:
        """Take in the memory and the energy of one stretch of training."""
        self.joules.append(cost.joules)
        self.peak_bytes = max(self.peak_bytes or 0, cost.peak_bytes)
        if cost.reserved_bytes is not None:
            self.reserved_bytes = max(self.reserved_bytes or 0, cost.reserved_bytes)


@dataclass(frozen=True)
class Evaluation:
    """Logits [examples, styles] in the split's order, and what the pass cost."""

    logits: NDArray[np.float32]
    cost: measure.Phase
    tokens: int


def plan(train: TokenSplit, spec: TrainingSpec) -> Plan:
    """Return the steps and epochs that a run will take."""
    a_pass = math.ceil(len(train.labels) / spec.batch_size)
    steps = min(spec.epochs * a_pass, spec.max_steps or spec.epochs * a_pass)
    return Plan(epochs=math.ceil(steps / a_pass), steps=steps)


def fit(
    forward: Forward,
    method: Method,
    splits: Splits,
    spec: TrainingSpec,
    seed: int,
    watch: Watch,
    checkpoint: Keeper | None = None,
) -> Fit:
    """Train the module in place and validate it after every epoch. Raises Diverged when a loss isn't finite.

    A method with nothing to train is validated once, as epoch 0. With a checkpoint, training goes on from the epoch
    after which that was written. Where an epoch is to be selected, the module ends as it was after the best.
    """
    if not any(p.requires_grad for p in forward.module.parameters()):
        untrained = _validate(forward, splits, 0, None, spec.select_metric)
        watch("training", 0, 0, None, untrained)
        return Fit(epochs=[untrained])
    fitting = Fitting(forward, method, splits.train, spec, watch)
    if checkpoint is not None:
        checkpoint.restore(fitting)
        for restored in fitting.result.epochs:
            watch("training", len(fitting.result.tokens), fitting.plan.steps, restored.train_loss, restored)
    for epoch in range(len(fitting.result.epochs) + 1, fitting.plan.epochs + 1):
        begin = time.monotonic()
        batches = train_batches(len(splits.train.labels), spec.batch_size, seed, epoch)
        loss = fitting.train_epoch(batches[: fitting.plan.steps - len(fitting.result.tokens)])
        ended = _validate(forward, splits, epoch, loss, spec.select_metric)
        fitting.result.epochs.append(ended)
        if spec.select_epoch and best_validated(fitting.result.epochs, spec.select_metric).epoch == epoch:
            fitting.best = {name: tensor.clone() for name, tensor in module_tensors(forward.module).items()}
        if checkpoint is not None:
            checkpoint.keep(fitting, time.monotonic() - begin)
        watch("training", len(fitting.result.tokens), fitting.plan.steps, loss, ended)
    for name, tensor in module_tensors(forward.module).items() if fitting.best else ():
        tensor.copy_(fitting.best[name])
    return fitting.result


def module_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes in a module, by name: these are the tensors themselves, not copies."""
    found = {f"parameter {name}": p.data for name, p in module.named_parameters() if p.requires_grad}
    return found | {f"buffer {name}": buffer for name, buffer in module.named_buffers()}


def fit_to_features(
    forward: Forward,
    method: Method,
    head: torch.nn.Module,
    features: torch.Tensor,
    splits: Splits,
    watch: Watch,
    select_metric: str = "accuracy",
) -> Fit:
    """Have a method find its head by itself, from the train split's features [n, width], and validate that as epoch 1.

    Raises Diverged when a loss isn't finite.
    """
    watch("fitting", 0, 1)
    labels = torch.from_numpy(splits.train.labels).to(features.device)
    result = Fit()
    with measure.phase(forward.device) as cost:
        method.fit(head, features, labels)  # type: ignore[attr-defined]
    result.fit_s = cost.seconds
    result.charge(cost)
    with torch.inference_mode():
        loss = functional.cross_entropy(head(features), labels)
    check(loss, 0)
    result.epochs.append(_validate(forward, splits, 1, loss.item(), select_metric))
    watch("fitting", 1, 1, loss.item(), result.epochs[0])
    return result


class Fitting:
    """The state that lives through all epochs: the optimizer, its schedule, and what was measured.

    `best` is the module's state after the best epoch so far, where one is to be selected, else empty.
    """

    def __init__(self, forward: Forward, method: Method, split: TokenSplit, spec: TrainingSpec, watch: Watch) -> None:
        self.forward, self.split, self.watch = forward, split, watch
        self.result = Fit()
        self.best: dict[str, torch.Tensor] = {}
        self.plan = plan(split, spec)
        self.optimizer = _optimizer(forward, method, self.plan, spec.weight_decay)
        self.penalty = getattr(method, "penalty", None)
        self.after_step = getattr(method, "after_step", None)
        self.resumable = method.resumable and self.after_step is None and not hasattr(method, "optimizer")
        self.schedule = schedule(self.optimizer, self.plan, spec.warmup_share)

    def train_epoch(self, batches: list[NDArray[np.int64]]) -> float:
        """Take one step a batch; return the mean training loss an example."""
        self.forward.module.train()
        total = torch.zeros((), device=self.forward.device, dtype=torch.float64)
        with measure.phase(self.forward.device) as cost:
            clock = measure.StepClock(self.forward.device)
            for rows in batches:
                total += self.step(rows).double() * len(rows)
                clock.tick()
                self.count(rows)
            self.result.step_s += clock.durations()
        self.result.charge(cost)
        check(total, len(self.result.tokens))
        return float(total) / sum(len(rows) for rows in batches)

    def step(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Take one optimizer step on the passages `rows`; return their mean loss, detached."""
        *parts, last = self.forward.parts(self.split, rows)
        losses = [self._backward(part, len(rows)) for part in parts]
        loss = torch.stack([*losses, self._backward(last, len(rows), self.penalty)]).sum()
        self.optimizer.step()
        self.schedule.step()
        if self.after_step is not None:
            self.after_step(self.forward.module, len(self.result.tokens))
        self.optimizer.zero_grad(set_to_none=True)
        if len(self.result.tokens) % CHECK_EVERY == 0:
            check(loss, len(self.result.tokens))
            self.watch("training", len(self.result.tokens), self.plan.steps, loss.item())
        return loss

    def _backward(self, part: NDArray[np.int64], passages: int, penalty: Penalty | None = None) -> torch.Tensor:
        """Add the gradient of a part of a batch of so many passages; return its share of their mean loss.

        A penalty may be made of what the forward pass left, so it goes back along with the part's loss.
        """
        (labels,) = to_device([self.split.labels[part]], self.forward.device)
        loss = functional.cross_entropy(self.forward(self.split, part), labels, reduction="sum") / passages
        (loss if penalty is None else loss + penalty(self.forward.module)).backward()
        return loss.detach()

    def count(self, rows: NDArray[np.int64]) -> None:
        """Book the batch's tokens, samples and slots."""
        self.result.tokens.append(int(self.split.lengths[rows].sum()))
        self.result.samples.append(len(rows))
        self.result.slots += sum(self.forward.slots(self.split, part) for part in self.forward.parts(self.split, rows))


def _optimizer(forward: Forward, method: Method, plan: Plan, weight_decay: float) -> torch.optim.Optimizer:
    own = getattr(method, "optimizer", None)
    if own is not None:
        return own(forward.module, plan)  # type: ignore[no-any-return]
    parameters = [p for p in forward.module.parameters() if p.requires_grad]
    fused = True if forward.device == "cuda" else None
    return torch.optim.AdamW(parameters, lr=method.learning_rate, weight_decay=weight_decay, fused=fused)


def check(loss: torch.Tensor, step: int) -> None:
    """Raise Diverged for a loss that isn't finite."""
    if not torch.isfinite(loss):
        raise Diverged(f"the training loss is {loss.item()} at step {step}; a smaller learning_rate may help")


def schedule(optimizer: torch.optim.Optimizer, plan: Plan, warmup_share: float) -> torch.optim.lr_scheduler.LambdaLR:
    """Let learning rates rise linearly over the warm-up's share of the steps, then fall linearly towards zero."""
    warmup = max(1, round(plan.steps * warmup_share))
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (plan.steps - step) / max(1, plan.steps - warmup + 1))
    )


def evaluate(forward: Forward, split: TokenSplit) -> Evaluation:
    """Return the logits for every example of `split`, in its order, and the cost of the pass."""
    forward.module.eval()
    logits = np.empty((len(split.labels), forward.styles), dtype=np.float32)
    batches = forward.eval_batches(split)
    with measure.phase(forward.device) as cost, torch.inference_mode():
        found = [forward(split, rows) for rows in batches]  # a GPU isn't waited for after each
        for rows, own in zip(batches, found, strict=True):
            logits[rows] = own.cpu().numpy()
    return Evaluation(logits, cost, int(split.lengths.sum()))


def _validate(forward: Forward, splits: Splits, epoch: int, train_loss: float | None, metric: str) -> Epoch:
    return validated(evaluate(forward, splits.validation).logits, splits, epoch, train_loss, metric)


def validated(logits: NDArray[np.float32], splits: Splits, epoch: int, train_loss: float | None, metric: str) -> Epoch:
    """Return what logits [n, styles] on the validation split say. Raises Diverged where their loss isn't finite."""
    labels = splits.validation.labels
    loss = cross_entropy(logits, labels)
    if not math.isfinite(loss):
        raise Diverged(f"the validation loss is {loss} after epoch {epoch}; a smaller learning_rate may help")
    return Epoch(
        epoch=epoch,
        train_loss=train_loss,
        validation_loss=loss,
        validation_accuracy=float((logits.argmax(axis=1) == labels).mean()),
        validation_score=None if metric == "accuracy" else selecting(metric, logits, labels, splits.train.labels),
    )
