"""Runs that differ in settings of one method alone, trained in one pass: as one model, on each batch once for each run.

Every run's losses, gradients, learning rate and schedule are its own (`methods.one_pass`), so that each ends where it
would have by itself, to rounding. One that diverges computes on beside the others, and nobody reads what.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.data import train_batches
from bench.model.features import CachedForward
from bench.model.prepacked import prepacked
from bench.model.transfer import to_device
from bench.store.record import best_validated
from bench.training import train
from bench.training.run import Run
from methods.one_pass import stacked
from methods.prepare import trainable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.data import Splits, TokenSplit
    from bench.job import Found, Job
    from bench.model.forward import Forward
    from bench.spec import TrainingSpec
    from methods import Method

Values = dict[str, torch.Tensor]


def outcomes(jobs: Sequence[Job], watch: train.Watch) -> list[Found | train.Diverged]:
    """Do the jobs, which have the same `one_pass`, and return what came of each, in order.

    Whatever else goes wrong is raised, for all of them. What one of them took of time and memory nobody knows.
    """
    runs = [Run(job, watch) for job in jobs]
    first = runs[0]
    watch("loading", 0, 1)
    forward, backbone_parameters = first.load()
    logits: NDArray[np.float32] | None = None
    with ExitStack() as stack:
        count_laid_out = stack.enter_context(prepacked(forward.module))
        passes = first.passes(forward)
        reader = first.reader(forward, passes)
        name = _head(reader)
        values = stack.enter_context(stacked(forward.module, [run.method for run in runs]))
        reader = replace(reader, copies=len(runs))
        if isinstance(reader, CachedForward):
            reader = replace(reader, head=forward.module.get_submodule(name))
        fitting = Fitting(reader, values, [run.method for run in runs], first.splits, first.training, watch)
        fits = fitting.fit(first.spec.seed)
        if first.spec.search is None and not all(isinstance(fit, train.Diverged) for fit in fits):
            watch("evaluating", 0, 1)
            logits = evaluate(reader, first.splits.test)
        laid_out = count_laid_out()
    del reader, fitting
    found: list[Found | train.Diverged] = []
    for number, (run, fit) in enumerate(zip(runs, fits, strict=True)):
        if isinstance(fit, train.Diverged):
            found.append(fit)
            continue
        if logits is not None:
            forward, _ = run.load()
        for key, parameter in trainable(forward.module).items():
            parameter.data.copy_(values[key][number])
        notes = [f"speed and memory are null: it was one of {len(runs)} runs that were trained in one pass"]
        own = None if logits is None else logits[number]
        outcome = run.found(forward, passes, fit, own, laid_out, backbone_parameters)
        if own is not None:
            outcome, after = run.found_in(forward, outcome, notes)
            del forward
            outcome = run.found_beside(outcome, after, notes)
        found.append(outcome.model_copy(update={"notes": tuple(notes)}))
    return found


def _head(reader: Forward) -> str:
    """Return the name in its module of the head that reads kept features; "" where the whole model is read."""
    if not isinstance(reader, CachedForward):
        return ""
    names: dict[nn.Module, str] = {module: name for name, module in reader.module.named_modules()}
    return names[reader.head]


def evaluate(forward: Forward, split: TokenSplit) -> NDArray[np.float32]:
    """Return every run's logits [runs, examples, styles] for `split`, in its order."""
    forward.module.eval()
    logits = np.empty((forward.copies, len(split.labels), forward.styles), dtype=np.float32)
    batches = forward.eval_batches(split)
    with torch.inference_mode():
        found = [forward(split, rows) for rows in batches]
        for rows, own in zip(batches, found, strict=True):
            logits[:, rows] = own.view(forward.copies, len(rows), -1).cpu().numpy()
    return logits


class Fitting:
    """The training of all runs, whose `values` are stacked; each has a part of the optimizer, with a rate of its own.

    What `train.Fitting` is to one run. A run's parameters are views of the stacked values, and so are its gradients.
    """

    def __init__(
        self,
        forward: Forward,
        values: dict[str, nn.Parameter],
        methods: Sequence[Method],
        splits: Splits,
        spec: TrainingSpec,
        watch: train.Watch,
    ) -> None:
        self.forward, self.values, self.splits, self.spec, self.watch = forward, values, splits, spec, watch
        self.plan = train.plan(splits.train, spec)
        self.own = [
            {name: nn.Parameter(stack.data[number]) for name, stack in values.items()} for number in range(len(methods))
        ]
        rates = [method.learning_rate for method in methods]
        self.optimizer = torch.optim.AdamW(
            [{"params": list(own.values()), "lr": rate} for own, rate in zip(self.own, rates, strict=True)],
            weight_decay=spec.weight_decay,
            fused=True if forward.device == "cuda" else None,
        )
        self.schedule = train.schedule(self.optimizer, self.plan, spec.warmup_share)
        self.fits: list[train.Fit | train.Diverged] = [train.Fit() for _ in methods]
        self.best: list[Values] = [{} for _ in methods]
        self.steps = 0

    def fit(self, seed: int) -> list[train.Fit | train.Diverged]:
        """Train, and validate after every epoch, until all is done or has diverged; return what came of each run.

        Where an epoch is to be selected, a run's values end as they were after its best.
        """
        for epoch in range(1, self.plan.epochs + 1):
            batches = train_batches(len(self.splits.train.labels), self.spec.batch_size, seed, epoch)
            losses = self._train_epoch(batches[: self.plan.steps - self.steps])
            logits = evaluate(self.forward, self.splits.validation)
            for number, fit in self._going_on():
                self._validate(number, fit, epoch, logits[number], losses[number])
            if not self._going_on():
                break
        for own, best in zip(self.own, self.best, strict=True):
            for name, tensor in best.items():
                own[name].data.copy_(tensor)
        return self.fits

    def step(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Take one optimizer step of every run on the passages `rows`; return their mean losses [runs], detached."""
        (labels,) = to_device([np.tile(self.splits.train.labels[rows], len(self.own))], self.forward.device)
        each = functional.cross_entropy(self.forward(self.splits.train, rows), labels, reduction="none")
        losses = each.view(len(self.own), -1).sum(dim=1) / len(rows)
        losses.sum().backward()
        for number, own in enumerate(self.own):
            for name, parameter in own.items():
                parameter.grad = self.values[name].grad[number]  # type: ignore[index]
        self.optimizer.step()
        self.schedule.step()
        for stack in self.values.values():
            stack.grad = None
        return losses.detach()

    def _train_epoch(self, batches: Sequence[NDArray[np.int64]]) -> list[float]:
        """Take one step a batch; return each run's mean training loss an example."""
        self.forward.module.train()
        totals = torch.zeros(len(self.own), device=self.forward.device, dtype=torch.float64)
        for rows in batches:
            losses = self.step(rows)
            totals += losses.double() * len(rows)
            if self.steps % train.CHECK_EVERY == 0:
                self._check(losses)
                self.watch("training", self.steps, self.plan.steps)
            self.steps += 1
            for _, fit in self._going_on():
                fit.tokens.append(int(self.splits.train.lengths[rows].sum()))
                fit.slots += self.forward.slots(self.splits.train, rows)
        self._check(totals)
        return (totals / sum(len(rows) for rows in batches)).tolist()

    def _check(self, losses: torch.Tensor) -> None:
        found = losses.cpu()  # in one copy
        for number, _ in self._going_on():
            try:
                train.check(found[number], self.steps)
            except train.Diverged as diverged:
                self.fits[number] = diverged

    def _validate(self, number: int, fit: train.Fit, epoch: int, logits: NDArray[np.float32], loss: float) -> None:
        metric = self.spec.select_metric
        try:
            fit.epochs.append(train.validated(logits, self.splits, epoch, loss, metric))
        except train.Diverged as diverged:
            self.fits[number] = diverged
            return
        if self.spec.select_epoch and best_validated(fit.epochs, metric).epoch == epoch:
            self.best[number] = {name: parameter.detach().clone() for name, parameter in self.own[number].items()}

    def _going_on(self) -> list[tuple[int, train.Fit]]:
        """Return the runs that haven't diverged, each with its number."""
        return [(number, fit) for number, fit in enumerate(self.fits) if isinstance(fit, train.Fit)]
