"""Realistic records and predictions without training: a study simulated from a known truth.

Every test example has a difficulty that all runs share, so the methods' errors are correlated as in a real study; a
seed moves a run's accuracy. The scores in a record are those of the predictions beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.store import baseline
from bench.store.files import Store
from bench.store.record import Baseline, Record, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

AUTHORS = {
    "federalist": ("Hamilton", "Madison", "Jay"),
    "bronte": ("Anne Brontë", "Charlotte Brontë", "Emily Brontë"),
    "novel": ("Cooper", "Crane", "Hawthorne", "Irving", "Twain"),
    "play": ("Jonson", "Marlowe", "Shakespeare"),
}
STYLES = tuple(style for styles in AUTHORS.values() for style in styles)
CATEGORIES = tuple(category for category, styles in AUTHORS.items() for _ in styles)
TEST_EXAMPLES = 700
FINGERPRINT = "9b1c7e5a2f3d4860"
BACKBONE_PARAMETERS = 6_900_000
HEAD_PARAMETERS = len(STYLES) * 256


@dataclass(frozen=True)
class Variant:
    """What is true of a method with one set of hyperparameters: accuracy is what many seeds would give on average."""

    method: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    accuracy: float = 0.4
    adapter_parameters: int = 0
    train_tokens_per_s: float = 5_000.0
    peak_mib: float = 750.0
    live_peak_mib: float = 100.0
    turns_up_at: int | None = None
    seed_sd: float = 0.01
    forgetting: float | None = None


def lora(alpha: int, accuracy: float, **truth: Any) -> Variant:
    """LoRA at an alpha; `hyperparameters` in `truth` adds to the others."""
    others = truth.pop("hyperparameters", {})
    hyperparameters = {"r": 8, "alpha": alpha, "dropout": 0.0, "targets": None, "learning_rate": 5e-4, **others}
    return Variant("lora", hyperparameters, accuracy, 49_152, 4_400.0, 790.0, 108.5, **truth)


DEMO = (
    Variant("frozen", {"learning_rate": 1e-3}, 0.07, -HEAD_PARAMETERS, 0.0, 610.0, 41.2, seed_sd=0.02),
    Variant("head", {"learning_rate": 1e-3}, 0.41, 0, 16_000.0, 620.0, 41.3, seed_sd=0.002),
    lora(8, 0.43),
    lora(32, 0.47),
    lora(128, 0.46, turns_up_at=4),
    Variant("ia3", {"targets": None, "learning_rate": 3e-3}, 0.45, 10_752, 4_600.0, 801.2, 104.9),
    Variant("prefix", {"tokens": 20, "learning_rate": 5e-3}, 0.38, 61_440, 4_700.0, 764.4, 99.6, seed_sd=0.03),
)
"""The demo study: five methods, LoRA at three alphas."""


def build_store(
    folder: Path,
    variants: Iterable[Variant] = DEMO,
    seeds: Sequence[int] = (0, 1, 2),
    changes: Mapping[str, Any] | None = None,
    *,
    predictions: bool = True,
) -> list[Record]:
    """Fill a store with a record (and its predictions) for every variant and seed; return the records."""
    records = []
    for seed in seeds:
        for variant in variants:
            record = make_record(variant, seed, changes)
            table = predictions_parquet(variant, seed) if predictions and record.quality else None
            Store(folder).put(record, table)
            records.append(record)
    return records


def build_baseline(folder: Path, accuracy: float, fingerprint: str = FINGERPRINT) -> dict[str, Any]:
    """Put a simulated baseline into the store `folder`; return the changes that make records of its splits tell it."""
    truth = Variant("ngrams", accuracy=accuracy, seed_sd=0.0)
    scores = make_record(truth).quality
    assert scores is not None
    figures = Baseline(accuracy=scores.test.accuracy, macro_f1=scores.test.macro_f1, C=10.0, passages=1_400, fit_s=6.2)
    folder.mkdir(exist_ok=True)
    baseline.put(folder, fingerprint, baseline.Kept(figures, predictions_parquet(truth, 0)))
    return {"data.baseline": figures.model_dump()}


def make_record(variant: Variant, seed: int = 0, changes: Mapping[str, Any] | None = None) -> Record:
    """Return the record of one simulated run; `changes` are by dotted path: {"backbone.source": "hub"}.

    What is changed of what a run is told by changes its uid too.
    """
    document = {**_facts(variant, seed), **_results(variant, seed)}
    for path, value in (changes or {}).items():
        *parents, name = path.split(".")
        part = document
        for parent in parents:
            part = part[parent]
        part[name] = value
    document["uid"] = _uid(document)
    if document["quality"]:
        document["quality"]["predictions"] = f"{document['uid']}.parquet"
    return Record.model_validate(document)


def failed_record(
    variant: Variant, seed: int = 0, status: Status = "failed", kind: str = "RuntimeError", message: str = "it broke"
) -> Record:
    """Return the record of a run that ended without a result."""
    nothing = dict.fromkeys(("parameters", "quality", "speed", "memory", "compute"))
    error = {"type": kind, "message": message, "last_lines": ["Traceback", message]}
    return make_record(variant, seed, {**nothing, "status": status, "error": error})


def make_trial(
    variant: Variant, trial: int, accuracies: Sequence[float], seed: int = 0, losses: Sequence[float] = (), by: str = ""
) -> Record:
    """Return the record of a search's trial with these validation accuracies after its epochs; it diverged if none.

    `by` is a metric that chooses instead, which is 1 - accuracy.
    """
    losses = losses or [2 - accuracy for accuracy in accuracies]
    epochs = [
        {
            "epoch": epoch,
            "train_loss": 1.0,
            "validation_loss": loss,
            "validation_accuracy": accuracy,
            "validation_score": 1 - accuracy if by else None,
        }
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]
    space = {} if variant.method == "frozen" else {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}
    search = {"trial": trial, "space": space, "epochs": epochs or None}
    changes: dict[str, Any] = {"search": search, "quality": None, "compute": None}
    if not accuracies:
        error = {"type": "Diverged", "message": "the training loss is nan", "last_lines": []}
        changes |= {"status": "diverged", "error": error, "speed": None, "memory": None, "parameters": None}
    record = make_record(variant, seed, changes)
    told = json.dumps([record.uid, trial, *([by] if by else [])])
    training = record.training.model_copy(update={"select_metric": by or None})
    return record.model_copy(update={"uid": hashlib.sha256(told.encode()).hexdigest()[:16], "training": training})


def head(rate: float, accuracy: float = 0.4) -> Variant:
    """Head-only tuning at a learning rate."""
    return Variant("head", {"learning_rate": rate}, accuracy, 0, 16_000.0, 620.0, 41.3)


def predictions_parquet(variant: Variant, seed: int) -> bytes:
    """Return a run's predictions as the parquet file that lies beside its record."""
    import pandas as pd

    labels, predicted = _labels(), _predicted(variant, seed)
    logp = np.full((len(labels), len(STYLES)), np.log(0.4 / (len(STYLES) - 1)), dtype=np.float32)
    logp[np.arange(len(labels)), predicted] = np.log(0.6)
    frame = pd.DataFrame(
        {
            "text_hash": [hashlib.sha256(f"passage {i}".encode()).hexdigest()[:16] for i in range(len(labels))],
            "document": [f"{STYLES[label]} {i % 5}" for i, label in enumerate(labels)],
            "category": np.asarray(CATEGORIES, dtype=object)[labels],
            "style": np.asarray(STYLES, dtype=object)[labels],
            "prediction": np.asarray(STYLES, dtype=object)[predicted],
            **{f"logp:{style}": logp[:, index] for index, style in enumerate(STYLES)},
        }
    )
    return frame.to_parquet(index=False)


def _facts(variant: Variant, seed: int) -> dict[str, Any]:
    """What is known of a run before it begins."""
    counts = np.bincount(_labels(), minlength=len(STYLES))
    return {
        "schema": 1,
        "protocol": 1,
        "status": "ok",
        "error": None,
        "created_at": f"2025-03-01T10:{seed % 60:02}:00+00:00",
        "wall_s": 80.0,
        "method": variant.method,
        "hyperparameters": dict(variant.hyperparameters),
        "seed": seed,
        "preset": "demo",
        "backbone": {
            "name": "small-gpt2",
            "source": "random",
            "revision": "3f2a9c1b7d5e4f60",
            "parameters": BACKBONE_PARAMETERS,
        },
        "data": {
            "name": "open-authors",
            "source": "embedded",
            "revision": None,
            "fingerprint": FINGERPRINT,
            "styles": list(STYLES),
            "categories": list(AUTHORS),
            "sizes": {"train": 1_400, "validation": 280, "test": TEST_EXAMPLES},
            "max_length": 256,
            "majority": {"style": STYLES[0], "accuracy": float(counts[0] / counts.sum()), "macro_f1": 0.0163},
            "duplicates": 0,
            "truncated": 3,
        },
        "training": {
            "epochs": 5,
            "max_steps": None,
            "steps": 440,
            "batch_size": 16,
            "learning_rate": variant.hyperparameters.get("learning_rate", 1e-3),
            "weight_decay": 0.01,
            "warmup_share": 0.1,
            "dtype": "fp32",
            "device": "cpu",
            "threads": 2,
            "padding_share": 0.04,
        },
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "peft": "0.21.2",
            "platform": "Linux-6.1-x86_64",
            "cpu": "Example CPU 3000",
            "gpu": None,
            "git_commit": "0123456789abcdef0123456789abcdef01234567",
            "git_dirty": False,
            "command": "python -m bench run --preset demo",
        },
    }


def _results(variant: Variant, seed: int) -> dict[str, Any]:
    """What a run finds out."""
    noise = 1 + 0.01 * _generator("cost", variant, seed).standard_normal()
    trainable = HEAD_PARAMETERS + variant.adapter_parameters
    speed = variant.train_tokens_per_s / noise
    trained = trainable > 0
    return {
        "parameters": {
            "trainable": trainable,
            "total": BACKBONE_PARAMETERS + HEAD_PARAMETERS + max(0, variant.adapter_parameters),
            "adapter_bytes": 4 * trainable,
        },
        "quality": _quality(variant, seed),
        "speed": {
            "load_s": 0.4,
            "train_s": 470_000 / speed if trained else None,
            "train_tokens_per_s": speed if trained else None,
            "eval_s": 3.1,
            "eval_tokens_per_s": 15_000 / noise,
            "eval_samples_per_s": 225 / noise,
        },
        "memory": {"peak_bytes": int(variant.peak_mib * noise * 2**20), "baseline_bytes": 590 * 2**20, "kind": "rss"},
        "compute": {"live_peak_bytes": int(variant.live_peak_mib * 2**20), "flops": 10**9, "operators": 2_500},
        "forgetting": _forgetting(variant, seed),
    }


def _forgetting(variant: Variant, seed: int) -> dict[str, Any] | None:
    """What the variant forgets, a tenth of it a matter of the seed."""
    if variant.forgetting is None:
        return None
    chance = 1 + 0.1 * _generator("forgetting", variant, seed).standard_normal()
    return {"text_sha256": "ab" * 32, "tokens": 2_072, "before": 4.5, "after": 4.5 + variant.forgetting * chance}


def _quality(variant: Variant, seed: int) -> dict[str, Any]:
    labels, predicted = _labels(), _predicted(variant, seed)
    right = labels == predicted
    f1 = _f1_by_style(labels, predicted)
    which, category = np.asarray(CATEGORIES)[labels], np.asarray(CATEGORIES)
    losses = _validation_losses(variant, seed)
    return {
        "test": {
            "accuracy": float(right.mean()),
            "macro_f1": float(f1.mean()),
            "loss": 1.9,
            "per_category": {
                name: {
                    "accuracy": float(right[which == name].mean()),
                    "macro_f1": float(f1[category == name].mean()),
                    "examples": int((which == name).sum()),
                }
                for name in AUTHORS
            },
            "per_style": {
                style: {
                    "accuracy": float(right[labels == index].mean()),
                    "f1": float(f1[index]),
                    "examples": int((labels == index).sum()),
                }
                for index, style in enumerate(STYLES)
            },
        },
        "epochs": [
            {"epoch": epoch, "train_loss": loss - 0.2, "validation_loss": loss, "validation_accuracy": 0.4}
            for epoch, loss in enumerate(losses, start=1)
        ],
        "best_epoch": int(np.argmin(losses)) + 1,
        "predictions": "",
    }


def _validation_losses(variant: Variant, seed: int) -> list[float]:
    """Five epochs' losses: falling, and rising from the epoch at which the variant turns up."""
    start = 2.6 + 0.01 * _generator("loss", variant, seed).standard_normal()
    rises = variant.turns_up_at or 6
    return [start - 0.15 * min(epoch, rises - 1) + 0.06 * max(0, epoch - rises + 1) for epoch in range(1, 6)]


def _f1_by_style(labels: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any]:
    n = len(STYLES)
    confusion = np.bincount(n * labels + predicted, minlength=n * n).reshape(n, n)
    return np.asarray(2 * np.diag(confusion) / np.maximum(1, confusion.sum(axis=0) + confusion.sum(axis=1)))


@cache
def _labels() -> NDArray[Any]:
    """The test examples' styles, [examples]: imbalanced, every style among them."""
    shares = np.linspace(2.0, 0.4, len(STYLES))
    drawn = np.random.default_rng(1).choice(len(STYLES), TEST_EXAMPLES - len(STYLES), p=shares / shares.sum())
    return np.concatenate([np.arange(len(STYLES)), drawn])


def _predicted(variant: Variant, seed: int) -> NDArray[Any]:
    """A run's predictions, [examples]: right where its skill beats a mix of the example's difficulty and its luck."""
    generator = _generator("predictions", variant, seed)
    labels = _labels()
    skill = np.clip(variant.accuracy + variant.seed_sd * generator.standard_normal(), 0, 1)
    difficulty = np.random.default_rng(2).random(len(labels))
    hard = np.where(generator.random(len(labels)) < 0.7, difficulty, generator.random(len(labels)))
    wrong = (labels + generator.integers(1, len(STYLES), len(labels))) % len(STYLES)
    return np.where(hard < skill, labels, wrong)


def _generator(purpose: str, variant: Variant, seed: int) -> np.random.Generator:
    told = json.dumps([purpose, variant.method, dict(variant.hyperparameters), seed])
    return np.random.default_rng(list(hashlib.sha256(told.encode()).digest()[:8]))


def _uid(document: Mapping[str, Any]) -> str:
    parts = [document[name] for name in ("method", "hyperparameters", "seed", "preset", "backbone", "training")]
    told = json.dumps([*parts, document["data"]["fingerprint"], document["environment"]["cpu"]], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
