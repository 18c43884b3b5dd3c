"""Whether speed costs accuracy: python tests/benchmarks/same_accuracy.py

Trains the same methods on the same texts with `bench run`, and with `Trainer` + peft as their documentation shows them:
its own sampler, padding, in fp32 and on transformers' own layers. Both have the same hyperparameters, learning rate
schedule and epochs (the demo's), and no dropout. Seeds aren't paired: each side draws its heads and batches itself.

With `--keep FOLDER` what was found stays there, and the same command goes on after an interruption.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.data import Corpus

ROOT = Path(__file__).resolve().parents[2]
SEEDS = {"head": 50, "lora": 20, "ia3": 20, "prefix": 20}


def harness(method: str, seeds: int, data: Path | None, folder: Path) -> list[float]:
    """Return the test accuracy with each seed by `bench run`."""
    command = [sys.executable, "-m", "bench", "run", "--preset", "demo", "--methods", method]
    command += ["--seeds", ",".join(map(str, range(seeds))), "--results", str(folder / f"bench-{method}")]
    command += ["--set", "lora.alpha=32"] if method == "lora" else []
    command += ["--data", str(data)] if data else []
    command += ["--no-baseline", "--no-timing"]
    subprocess.run(command, cwd=ROOT, check=True)
    records = [json.loads(file.read_text(encoding="utf-8")) for file in (folder / f"bench-{method}").glob("*.json")]
    return [record["quality"]["test"]["accuracy"] for record in records if record["seed"] < seeds]


def trainer(method: str, seeds: int, corpus: Corpus, folder: Path) -> list[float]:
    """Return the test accuracy with each seed by `Trainer`."""
    kept = folder / f"trainer-{method}.json"
    found: list[float] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    for seed in track(range(len(found), seeds), description=f"{method} by Trainer"):
        found.append(_train(method, seed, corpus, folder))
        kept.write_text(json.dumps(found), encoding="utf-8")
    return found[:seeds]


def _train(method: str, seed: int, corpus: Corpus, folder: Path) -> float:
    import datasets
    import transformers
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments
    from user_side import user_model

    from bench.model import backbone
    from bench.sources import PRESETS
    from methods import get

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    demo, model = PRESETS["demo"], Path(backbone.EMBEDDED)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.eos_token
    labels = {style: label for label, style in enumerate(corpus.styles)}

    def encoded(split: Any) -> Any:
        rows = corpus.frames[split]
        tokens = tokenizer(rows["text"].tolist(), truncation=True, max_length=demo.max_length)
        return datasets.Dataset.from_dict({**tokens, "labels": rows["style"].map(labels).tolist()})

    train, test = encoded("train"), encoded("test")
    steps = -(-len(train) // demo.batch_size) * demo.epochs
    transformers.set_seed(seed)
    no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    arguments = TrainingArguments(
        output_dir=str(folder / "output"),
        num_train_epochs=demo.epochs,
        per_device_train_batch_size=demo.batch_size,
        per_device_eval_batch_size=32,
        learning_rate=demo.learning_rates.of(get(method)),
        weight_decay=0.01,
        warmup_steps=round(0.1 * steps),
        max_grad_norm=0.0,
        seed=seed,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
    made = Trainer(
        model=user_model(method, model, len(labels), pad_token_id=tokenizer.pad_token_id, **no_dropout),
        args=arguments,
        train_dataset=train,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    made.train()
    predicted = np.asarray(made.predict(test).predictions).argmax(axis=1)
    return float((predicted == np.array(test["labels"])).mean())


def row(method: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> list[str]:
    """Return a line of the table; accuracies are in points."""
    difference = stats.ttest_ind(ours, theirs, equal_var=False)
    interval = difference.confidence_interval(0.95)
    return [
        *(method, str(len(ours))),
        *(f"{side.mean():.1f} ± {side.std(ddof=1):.1f}" for side in (ours, theirs)),
        f"{ours.mean() - theirs.mean():+.2f} ({interval.low:+.2f} to {interval.high:+.2f})",
        f"{stats.levene(ours, theirs).pvalue:.2f}",
    ]


def main(
    methods: Annotated[str, typer.Option(help="The methods to compare, separated by commas.")] = ",".join(SEEDS),
    data: Annotated[Path | None, typer.Option(help="A folder of texts; the demo's without it.")] = None,
    keep: Annotated[Path | None, typer.Option(help="A folder that keeps what was found, to go on from.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Seeds a side, in place of 50 for head and 20 for the others.")
    ] = None,
) -> None:
    """Print test accuracies of both sides, mean and standard deviation over seeds, and their difference."""
    from bench.data import load_local, load_open_authors

    corpus = load_local(data) if data else load_open_authors()
    title = f"Test accuracy in points on {corpus.name}"
    table = Table("method", "seeds", "bench run", "Trainer", "difference, 95% interval", "same spread, p", title=title)
    with tempfile.TemporaryDirectory() as aside:
        folder = keep or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        for method in methods.split(","):
            count = seeds or SEEDS[method]
            ours = 100 * np.array(harness(method, count, data, folder))
            theirs = 100 * np.array(trainer(method, count, corpus, folder))
            table.add_row(*row(method, ours, theirs))
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    typer.run(main)
