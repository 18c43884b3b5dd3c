"""What a run cost, as its record says it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.machine import measure
from bench.store.record import Memory, Speed

if TYPE_CHECKING:
    from bench.data import Splits
    from bench.machine.measure import Phase
    from bench.model.features import Pass
    from bench.training.train import Evaluation, Fit

WARMUP_STEPS = 3
"""Steps that allocate and initialise: timed, but kept out of the throughput."""


@dataclass(frozen=True)
class Costs:
    """The measured phases of one run. `passes` holds the backbone's passes by split where its features were kept.

    A trial of a search has no evaluation.

    The last three are measured after training, and are None until then and where that failed.
    """

    device: str
    baseline_bytes: int
    loading: Phase
    passes: dict[str, Pass]
    fit: Fit
    evaluation: Evaluation | None
    merged_tokens_per_s: float | None = None
    flops_per_token: float | None = None
    matmul_flops_per_s: float | None = None

    def speed(self, splits: Splits) -> Speed:
        """Return the record's times and throughputs; a kept pass over a split is charged to what it served."""
        train = self._kept_training(splits) if "train" in self.passes else training_speed(self.fit)
        return Speed(
            load_s=self.loading.seconds,
            **train,
            train_joules=self._train_joules(),
            features_s=sum(map(self._pass_s, self.passes)) if self.passes else None,
            features_reused=all(kept.reused for kept in self.passes.values()) if self.passes else None,
            matmul_share=self._matmul_share(train.get("train_tokens_per_s")),
            **self._testing(splits),
            eval_merged_tokens_per_s=self.merged_tokens_per_s,
        )

    def memory(self) -> Memory:
        """Return the record's peaks: of a kept pass too, by the run that made it."""
        train = self._peaks(self.fit.peak_bytes, "train")
        testing = self.evaluation.cost if self.evaluation is not None else None
        test = self._peaks(testing.peak_bytes if testing else None, "test")
        reserved = [self.loading.reserved_bytes, self.fit.reserved_bytes, testing.reserved_bytes if testing else None]
        reserved += [kept.cost.reserved_bytes for kept in self.passes.values()]
        return Memory(
            peak_bytes=max([self.loading.peak_bytes, *train, *test]),
            load_peak_bytes=self.loading.peak_bytes,
            train_peak_bytes=max(train, default=None),
            eval_peak_bytes=max(test, default=None),
            baseline_bytes=self.baseline_bytes if self.device == "cpu" else None,
            kind=measure.memory_kind(self.device),
            reserved_bytes=max((size for size in reserved if size is not None), default=None),
        )

    def _testing(self, splits: Splits) -> dict[str, float]:
        if self.evaluation is None:
            return {}
        eval_s = self.evaluation.cost.seconds + self._pass_s("test")
        return {
            "eval_s": eval_s,
            "eval_tokens_per_s": int(splits.test.lengths.sum()) / eval_s,
            "eval_samples_per_s": len(splits.test.labels) / eval_s,
        }

    def _matmul_share(self, tokens_per_s: float | None) -> float | None:
        if tokens_per_s is None or self.flops_per_token is None or self.matmul_flops_per_s is None:
            return None
        return tokens_per_s * self.flops_per_token / self.matmul_flops_per_s

    def _kept_training(self, splits: Splits) -> dict[str, Any]:
        """The figures of training on kept features: the pass counts as training, its tokens as those that were read.

        A method's own `fit` takes each passage once, and no steps.
        """
        train_s = sum(self.fit.step_s) + self.fit.fit_s + self._pass_s("train")
        samples = sum(self.fit.samples) if self.fit.samples else len(splits.train.labels)
        return {
            **training_speed(self.fit),
            "train_s": train_s,
            "train_tokens_per_s": int(splits.train.lengths.sum()) / train_s,
            "train_samples_per_s": samples / train_s,
        }

    def _train_joules(self) -> float | None:
        """What `train_s` took; None where nothing was trained, and where a part of it isn't known."""
        parts = [*self.fit.joules, *([self.passes["train"].cost.joules] if "train" in self.passes else [])]
        known = [joules for joules in parts if joules is not None]
        return sum(known) if parts and len(known) == len(parts) else None

    def _pass_s(self, split: str) -> float:
        return self.passes[split].cost.seconds if split in self.passes else 0.0

    def _peaks(self, own: int | None, split: str) -> list[int]:
        kept = self.passes[split].cost.peak_bytes if split in self.passes else None
        return [peak for peak in (own, kept) if peak is not None]


def training_speed(fit: Fit) -> dict[str, Any]:
    """Return the record's figures of the training steps; the throughput leaves the warm-up out where it can."""
    if not fit.step_s:
        return {}
    warmup = WARMUP_STEPS if len(fit.step_s) > WARMUP_STEPS else 0
    steady = fit.step_s[warmup:]
    return {
        "train_s": sum(fit.step_s),
        "train_tokens_per_s": sum(fit.tokens[warmup:]) / sum(steady),
        "train_samples_per_s": sum(fit.samples[warmup:]) / sum(steady),
        "step_s_median": statistics.median(steady),
        "step_s_p95": float(np.percentile(steady, 95)),
        "warmup_steps": warmup,
        "warmup_s": sum(fit.step_s[:warmup]),
    }
