"""Whether speed costs accuracy: python tests/benchmarks/same_accuracy.py

Trains the same methods on the demo's splits with the same seeds, batches and hyperparameters twice: as the harness
computes GPT-2 (packed, in the precision that is native here), and as transformers does (padded, in fp32).
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (0, 1, 2)


def accuracies(name: str, seed: int) -> tuple[float, float]:
    """Test accuracies of a method trained the harness's way, and transformers' way."""
    import torch
    import transformers

    from bench.data import load_open_authors, tokenise
    from bench.machine.facts import Dtype, resolve_dtype
    from bench.model import backbone
    from bench.model.forward import Forward
    from bench.model.prepacked import prepacked
    from bench.sources import PRESETS
    from bench.spec import TrainingSpec
    from bench.training import train
    from methods import get

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    class Padded(Forward):
        _model = None

    demo, ref, corpus = PRESETS["demo"], backbone.embedded(), load_open_authors()
    splits = tokenise(corpus, backbone.tokenizer(ref), demo.max_length)
    method = get(name)(learning_rate=demo.learning_rates.of(get(name)))

    def accuracy(kind: type[Forward], dtype: Dtype) -> float:
        torch.manual_seed(seed)
        model = backbone.load(ref, len(corpus.styles), seed)
        torch.nn.Module.to(model, torch.bfloat16 if dtype == "bf16" else torch.float32)
        forward = kind(method.apply(model), "cpu", dtype, backbone.pad_id(ref), len(corpus.styles))
        spec = TrainingSpec(
            epochs=demo.epochs, batch_size=demo.batch_size, max_length=demo.max_length, dtype=dtype, device="cpu"
        )
        with prepacked(forward.module) if kind is Forward else nullcontext():
            train.fit(forward, method, splits, spec, seed, watch=lambda *_: None)
            logits = train.evaluate(forward, splits.test).logits
        return float((logits.argmax(axis=1) == splits.test.labels).mean())

    return accuracy(Forward, resolve_dtype("auto", "cpu")), accuracy(Padded, "fp32")


def main(
    methods: Annotated[str, typer.Option(help="Which methods, with commas between them.")] = "lora,ia3,prefix",
) -> None:
    """Print the test accuracies of both ways, mean and standard deviation over three seeds, and their difference."""
    table = Table("method", "harness", "transformers, fp32", "difference", title="Test accuracy in points, three seeds")
    for name in methods.split(","):
        found = 100 * np.array([accuracies(name, seed) for seed in track(SEEDS, description=name)])
        differences = found[:, 0] - found[:, 1]
        columns = (*found.T, differences)
        table.add_row(name, *(f"{column.mean():.1f} ± {column.std(ddof=1):.1f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    typer.run(main)
