"""One run from its spec to its outcome, inside its own process."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import torch
from torch import nn

import methods
from bench.data import SPLITS, HeldOut, Splits, train_batches
from bench.job import Found, Outcome, examples_path, storable
from bench.machine import measure
from bench.model import backbone, features, weights
from bench.model.features import CachedForward
from bench.model.forward import Forward
from bench.model.prepacked import prepacked
from bench.model.transfer import placed
from bench.store.files import write_atomically
from bench.store.record import Compute, Forgetting, Parameters, Quality
from bench.training import compute, forgetting, train
from bench.training.checkpoint import Checkpoint
from bench.training.costs import Costs
from bench.training.metrics import log_probabilities, scores
from bench.training.predictions import predictions
from methods import MethodError, adapters
from methods.prepare import base_model, head_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.job import Job
    from bench.model.features import Pass
    from bench.spec import TrainingSpec
    from methods import Method

_MERGED_PASSAGES = 320
"""Ten batches: enough for a throughput, where a second pass over a large test split would cost as much as the first."""
_TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16}


@contextmanager
def _noting(notes: list[str], figure: str) -> Iterator[None]:
    """Within, an exception costs no more than the figure: a note says what happened."""
    try:
        yield
    except Exception as error:  # whatever it is, what was trained and evaluated before stands
        notes.append(storable(f"{figure} is null: {type(error).__name__}: {' '.join(str(error).split())}"))


class Run:
    """Loads, adapts, trains, evaluates and measures one job; raises train.Diverged and whatever else goes wrong."""

    def __init__(self, job: Job, watch: train.Watch) -> None:
        torch.set_num_threads(job.threads)
        torch.set_float32_matmul_precision("highest")  # TORCH_ALLOW_TF32_CUBLAS_OVERRIDE or a library may say otherwise
        torch.backends.cudnn.allow_tf32 = False  # the same for convolutions, where it is on by default
        # it makes a plan for each shape, and where a mask is given its gradients can be NaN (pytorch #196678)
        torch.backends.cuda.enable_cudnn_sdp(False)
        self.job, self.watch = job, watch
        self.spec, self.training = job.spec, job.spec.training
        self.method = job.spec.variant.build()
        self.splits = Splits.load(job.scratch)
        self.held_out = HeldOut.load(job.scratch)

    @cached_property
    def examples(self) -> pd.DataFrame:
        """The test examples, a row each."""
        return pd.read_parquet(examples_path(self.job.scratch))

    def outcome(self, trained: Callable[[Outcome], None] | None = None) -> Outcome:
        """Do it all; leave the predictions, and the adapter if that is asked for, where the job says.

        A trial of a search is trained and validated, and nothing else.

        `trained` is told what there is once training and evaluation are over. What is measured after that may fail: the
        figure is null then, and a note says why.
        """
        baseline = measure.resident_bytes()
        self.watch("loading", 0, 1)
        with ExitStack() as layouts:
            with measure.phase(self.training.device) as loading:
                forward, backbone_parameters = self.load()
                count_laid_out = layouts.enter_context(prepacked(forward.module))
            passes = self.passes(forward)
            reader = self.reader(forward, passes)
            fit = self._fit(forward, reader, passes)
            evaluation = None if self.spec.search else self._test(reader)
            laid_out = count_laid_out()
        costs = Costs(self.training.device, baseline, loading, passes, fit, evaluation)
        logits = None if evaluation is None else evaluation.logits
        found = self.found(forward, passes, fit, logits, laid_out, backbone_parameters)
        outcome = Outcome(**dict(found), speed=costs.speed(self.splits), memory=costs.memory())
        if evaluation is None:
            return outcome
        if trained is not None:
            trained(outcome)

        notes: list[str] = []
        found, after = self.found_in(forward, found, notes)
        with _noting(notes, "speed.eval_merged_tokens_per_s"):
            costs = replace(costs, merged_tokens_per_s=self._merged_tokens_per_s(forward))
        del forward, reader
        found = self.found_beside(found, after, notes)
        if found.compute is not None:
            tokens = compute.PASSAGES * compute.tokens(self.training.max_length)
            costs = replace(costs, flops_per_token=found.compute.flops / tokens)
        with _noting(notes, "speed.matmul_share"):
            costs = replace(costs, matmul_flops_per_s=self._once("matmul", self._matmul_speed)["flops_per_s"])
        return outcome.model_copy(update={**dict(found), "speed": costs.speed(self.splits), "notes": tuple(notes)})

    def found(
        self,
        forward: Forward,
        passes: dict[str, Pass],
        fit: train.Fit,
        logits: NDArray[np.float32] | None,
        laid_out: int,
        backbone_parameters: int,
    ) -> Found:
        """Return what training and evaluation came to; leave the predictions and the adapter where the job says.

        `forward` has the trained module, `logits` [n, styles] are of the test split, None where it isn't looked at.
        """
        if self.job.adapter is not None:
            adapters.save(forward.module, self.job.adapter)
        if logits is not None:
            predicted = predictions(self.examples, self.job.styles, log_probabilities(logits))
            self.job.predictions.write_bytes(predicted)
        trainable, total = adapters.count(forward.module)
        return Found(
            backbone_parameters=backbone_parameters,
            steps=len(fit.tokens),
            padding_share=passes["train"].padding_share if "train" in passes else fit.padding_share,
            feature_cache=bool(passes) and self.training.feature_cache,
            laid_out=laid_out,
            float32_matmul=torch.get_float32_matmul_precision(),
            resolved=self.method.resolved(forward.module),
            parameters=Parameters(trainable=trainable, total=total, adapter_bytes=None),
            quality=None if logits is None else self._quality(fit, logits),
            validation=fit.epochs if logits is None else None,
        )

    def found_in(self, forward: Forward, found: Found, notes: list[str]) -> tuple[Found, float | None]:
        """Add what is measured of the trained module; return the nats a token that it needs for the held-out text, too.

        A figure that can't be had is null, and a note says why.
        """
        with _noting(notes, "parameters.adapter_bytes"):
            size = adapters.adapter_bytes(forward.module)
            found = found.model_copy(update={"parameters": found.parameters.model_copy(update={"adapter_bytes": size})})
        after: float | None = None
        with _noting(notes, "forgetting"):
            after = self._nats_after(forward)
        return found, after

    def found_beside(self, found: Found, after: float | None, notes: list[str]) -> Found:
        """Add what takes other modules than the trained one, which needn't be there any more."""
        if after is not None:
            with _noting(notes, "forgetting"):
                found = found.model_copy(update={"forgetting": self._forgetting(after)})
        with _noting(notes, "compute"):
            fixed = Compute(**self._once(f"step {self.spec.variant.identity()}", self._fixed_step))
            return found.model_copy(update={"compute": fixed})
        return found

    def step_s(self, ready: Callable[[], object]) -> list[float]:
        """Train for one epoch at most, once `ready` returns, and return how many seconds each step took."""
        forward, _ = self.load()
        with prepacked(forward.module):
            fitting = train.Fitting(forward, self.method, self.splits.train, self.training, self.watch)
            batches = train_batches(len(self.splits.train.labels), self.training.batch_size, self.spec.seed, 1)
            ready()
            fitting.train_epoch(batches[: fitting.plan.steps])
        return fitting.result.step_s

    def _test(self, reader: Forward) -> train.Evaluation:
        self.watch("evaluating", 0, 1)
        return train.evaluate(reader, self.splits.test)

    def _fit(self, forward: Forward, reader: Forward, passes: dict[str, Pass]) -> train.Fit:
        """Train the module in place: by gradient steps, or as the method itself fits its head to the features."""
        if not hasattr(self.method, "fit"):
            checkpoint, seed = self._checkpoint(), self.spec.seed
            return train.fit(reader, self.method, self.splits, self.training, seed, self.watch, checkpoint)
        head = self._lone_head(forward)
        if head is None:
            architecture = type(forward.module).__name__
            raise MethodError(f"{self.method.name} fits one head to fixed features, and {architecture} has none such")
        features, metric = passes["train"].features, self.training.select_metric
        return train.fit_to_features(reader, self.method, head, features, self.splits, self.watch, metric)

    def _checkpoint(self) -> Checkpoint | None:
        path = self.job.checkpoint
        return None if path is None else Checkpoint(path, self.job.scratch, self.job.checkpoint_after_s)

    def load(self, training: TrainingSpec | None = None, method: Method | None = None) -> tuple[Forward, int]:
        """Return the adapted model, on its device and in its precision, and how many parameters its backbone has.

        It is adapted by the run's method and for its training where no other is given.
        """
        training = training or self.training
        torch.manual_seed(self.spec.seed)
        model = weights.load(self.spec.backbone, len(self.job.styles), self.spec.seed)
        parameters = sum(p.numel() for p in base_model(model).parameters())
        nn.Module.to(model, _TORCH_DTYPE[training.dtype])
        plan = train.plan(self.splits.train, training)
        module = placed((method or self.method).apply(model, plan), training.device)
        pad_id = backbone.pad_id(self.spec.backbone)
        return Forward(module, training.device, training.dtype, pad_id, len(self.job.styles)), parameters

    def passes(self, forward: Forward) -> dict[str, Pass]:
        """Return the backbone's pass over each split that is read, where nothing in the backbone ever changes."""
        head = self._lone_head(forward)
        if head is None:
            return {}
        trains = any(p.requires_grad for p in forward.module.parameters())
        found: dict[str, Pass] = {}
        read = {"train": trains, "validation": True, "test": self.spec.search is None}
        for split in (split for split in SPLITS if read[split]):
            self.watch(f"reading {split}", 0, 1)
            path = self.job.scratch / f"features-{split}.safetensors" if self.training.feature_cache else None
            found[split] = features.one_pass(forward, head, getattr(self.splits, split), path)
        return found

    def _lone_head(self, forward: Forward) -> nn.Module | None:
        """Return the head where it is one module that reads features which never change, and they are wanted.

        A method that is fitted to features wants them even where they may not be kept for other runs.
        """
        wanted = self.training.feature_cache or hasattr(self.method, "fit")
        if not (wanted and self.method.fixed_features):
            return None
        heads = list(head_modules(cast("PreTrainedModel", forward.module)).values())
        return heads[0] if len(heads) == 1 else None

    def reader(self, forward: Forward, passes: dict[str, Pass]) -> Forward:
        """Return what training and evaluation read: the whole model, or its head on kept features."""
        head = self._lone_head(forward)
        if not passes or head is None:
            return forward
        kept = {getattr(self.splits, split): found.features for split, found in passes.items()}
        return CachedForward(
            forward.module, forward.device, forward.dtype, forward.pad_id, forward.styles, head=head, features=kept
        )

    def _merged_tokens_per_s(self, forward: Forward) -> float | None:
        """Return the throughput on some of the test split with the adapter merged; the module is used up."""
        merged = adapters.merge(forward.module)
        if merged is None:
            return None
        self.watch("evaluating merged", 0, 1)
        merged.to(_TORCH_DTYPE[self.training.dtype])
        reader = Forward(merged, forward.device, forward.dtype, forward.pad_id, forward.styles)
        with prepacked(merged):
            evaluation = train.evaluate(reader, self.splits.test.spread(_MERGED_PASSAGES))
        return evaluation.tokens / evaluation.cost.seconds

    def _nats_after(self, forward: Forward) -> float | None:
        """Return how well the adapted model models the held-out text; None where there is none for it."""
        if self.held_out is None:
            return None
        self.watch("measuring forgetting", 0, 1)
        return self._nats_before(forward) if self.method.fixed_features else self._nats(forward)

    def _nats_before(self, unchanged: Forward | None = None) -> float:
        """Return how well the backbone as it comes does; `unchanged` is a module that has it, where one is at hand."""

        def find() -> dict[str, Any]:
            return {"nats": self._nats(unchanged or self.load(method=methods.get("frozen")())[0])}

        return float(self._once(f"nats {self._longest_piece}", find)["nats"])

    def _nats(self, forward: Forward) -> float:
        assert self.held_out is not None
        return forgetting.nats_per_token(forward, self.spec.backbone, self.held_out, self._longest_piece)

    @cached_property
    def _longest_piece(self) -> int:
        return forgetting.longest(backbone.max_positions(self.spec.backbone), self.method.prepended_tokens)

    def _forgetting(self, after: float) -> Forgetting:
        assert self.held_out is not None
        tokens = self.held_out.predicted(self._longest_piece)
        return Forgetting(text_sha256=self.held_out.sha256, tokens=tokens, before=self._nats_before(), after=after)

    def _fixed_step(self) -> dict[str, Any]:
        self.watch("counting", 0, 1)
        training = self.training.model_copy(update={"device": "cpu", "dtype": "fp32"})
        forward, _ = self.load(training)
        config = cast("PreTrainedConfig", forward.module.config)
        end = backbone.end_id(self.spec.backbone)
        return compute.fixed_step(forward, self.method, training, config.vocab_size, end).model_dump()

    def _matmul_speed(self) -> dict[str, Any]:
        dtype = _TORCH_DTYPE[self.training.dtype]
        return {"flops_per_s": measure.matmul_flops_per_s(self.training.device, dtype)}

    def _once(self, what: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what an earlier run of the study found and left in the scratch folder, else find and leave it."""
        path = self.job.scratch / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.once.json"
        if not path.exists():
            write_atomically(path, json.dumps(find()).encode())  # a run may be ended at any moment, and others read it
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def _quality(self, fit: train.Fit, logits: NDArray[np.float32]) -> Quality:
        labels, categories = self.splits.test.labels, self.examples["category"].tolist()
        return Quality(
            test=scores(logits, labels, self.job.styles, categories, self.job.scratch, self.splits.train.labels),
            epochs=fit.epochs,
            best_epoch=min(fit.epochs, key=lambda epoch: epoch.validation_loss).epoch,
            predictions=f"{self.spec.uid}.parquet",
        )
