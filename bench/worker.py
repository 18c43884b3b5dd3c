"""What happens inside a run's own process. Importing this imports all that a run needs, and does nothing else."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import traceback
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import transformers

from bench import backbone, measure, train
from bench.data import Splits
from bench.forward import Forward
from bench.job import Failure, Outcome, Progress
from bench.metrics import log_probabilities, scores
from bench.record import Memory, Parameters, Quality, RunError, Speed, Status
from methods import adapters

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from bench.job import Job
    from bench.spec import RunSpec
    from methods import Method

WARMUP_STEPS = 3
"""Steps that allocate and initialise: timed, but kept out of the throughput."""


def main(job: Job, channel: Connection, output: Connection) -> None:
    """Run the job in a fresh process: what it prints goes to `output`, what it finds out to `channel`.

    The channel carries any number of Progress, then one Outcome or Failure.
    """
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the study decides what ends
    threading.Thread(target=_end_with_the_study, daemon=True).start()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    def watch(phase: str, done: int, total: int, loss: float | None = None) -> None:
        channel.send(Progress(phase, done, total, loss))

    try:
        channel.send(run(job, watch))
    except Exception as error:
        channel.send(_failure(error))


def _end_with_the_study() -> None:
    """Leave at once when the study's process has died: nobody waits for the outcome."""
    study = parent_process()
    if study is not None:
        connection.wait([study.sentinel])
        os._exit(1)


def _failure(error: Exception) -> Failure:
    status: Status = "failed"
    if isinstance(error, train.Diverged):
        status = "diverged"
    elif _out_of_memory(error):
        status = "oom"
    lines = "".join(traceback.format_exception(error)).splitlines()
    return Failure(status=status, error=RunError(type=type(error).__name__, message=str(error), last_lines=lines[-20:]))


def _out_of_memory(error: Exception) -> bool:
    """torch tells a CPU that is out of memory by a RuntimeError of the allocator's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def run(job: Job, watch: train.Watch) -> Outcome:
    """Load, adapt, train, evaluate and measure one run; write its predictions, and its adapter if that is asked for."""
    torch.set_num_threads(job.threads)
    spec, device = job.spec, job.spec.training.device
    splits = Splits.load(job.splits)
    baseline = measure.resident_bytes() if device == "cpu" else 0
    watch("loading", 0, 1)
    with measure.phase(device) as loading:
        method = spec.variant.build()
        module, backbone_parameters = _adapted(spec, method, splits, len(job.styles))
    forward = Forward(
        module, device, spec.training.dtype, pad_id=backbone.pad_id(spec.backbone), styles=len(job.styles)
    )
    fit = train.fit(forward, method, splits, spec.training, spec.seed, watch)
    watch("evaluating", 0, 1)
    evaluation = train.evaluate(forward, splits.test)
    examples = pd.read_parquet(job.examples)
    _predictions(examples, evaluation.logits, job.styles).to_parquet(job.predictions, index=False)
    if job.adapter is not None:
        adapters.save(module, job.adapter)
    trainable, total = adapters.count(module)
    return Outcome(
        backbone_parameters=backbone_parameters,
        steps=len(fit.tokens),
        padding_share=fit.padding_share,
        parameters=Parameters(trainable=trainable, total=total, adapter_bytes=adapters.adapter_bytes(module)),
        quality=Quality(
            test=scores(evaluation.logits, splits.test.labels, job.styles, examples["category"].tolist()),
            epochs=fit.epochs,
            best_epoch=min(fit.epochs, key=lambda epoch: epoch.validation_loss).epoch,
            predictions=f"{spec.uid}.parquet",
        ),
        speed=_speed(loading, fit, evaluation, splits),
        memory=_memory(device, baseline, loading, fit, evaluation),
        compute=None,
    )


def _adapted(spec: RunSpec, method: Method, splits: Splits, styles: int) -> tuple[torch.nn.Module, int]:
    """Return the adapted module on its device, and how many parameters the backbone has without its head."""
    torch.manual_seed(spec.seed)
    model = backbone.load(spec.backbone, styles, spec.seed)
    parameters = sum(p.numel() for p in model.base_model.parameters())
    if spec.training.dtype == "bf16":
        model.bfloat16()
    module = method.apply(model, train.plan(splits.train, spec.training))
    return module.to(spec.training.device), parameters


def _predictions(examples: pd.DataFrame, logits: np.ndarray[Any, Any], styles: tuple[str, ...]) -> pd.DataFrame:
    """One row a test example: the text's hash, its document, category and style, the predicted style, and the natural
    logarithm of each style's probability in a column `logp:<style>`."""
    logp = log_probabilities(logits)
    found = examples.assign(prediction=np.asarray(styles, dtype=object)[logits.argmax(axis=1)])
    columns = {f"logp:{style}": logp[:, index].astype(np.float32) for index, style in enumerate(styles)}
    return pd.concat([found, pd.DataFrame(columns)], axis=1)


def _speed(loading: measure.Phase, fit: train.Fit, evaluation: train.Evaluation, splits: Splits) -> Speed:
    examples = len(splits.test.labels)
    return Speed(
        load_s=loading.seconds,
        **training_speed(fit),
        eval_s=evaluation.cost.seconds,
        eval_tokens_per_s=evaluation.tokens / evaluation.cost.seconds,
        eval_samples_per_s=examples / evaluation.cost.seconds,
    )


def training_speed(fit: train.Fit) -> dict[str, Any]:
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


def _memory(device: str, baseline: int, loading: measure.Phase, fit: train.Fit, evaluation: train.Evaluation) -> Memory:
    phases = [loading.peak_bytes, fit.peak_bytes or 0, evaluation.cost.peak_bytes]
    reserved = [
        r for r in (loading.reserved_bytes, fit.reserved_bytes, evaluation.cost.reserved_bytes) if r is not None
    ]
    return Memory(
        peak_bytes=max(phases),
        load_peak_bytes=loading.peak_bytes,
        train_peak_bytes=fit.peak_bytes,
        eval_peak_bytes=evaluation.cost.peak_bytes,
        baseline_bytes=baseline if device == "cpu" else None,
        kind=measure.memory_kind(device),
        reserved_bytes=max(reserved, default=None),
    )
