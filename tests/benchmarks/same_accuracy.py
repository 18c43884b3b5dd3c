"""Whether speed costs accuracy: python tests/benchmarks/same_accuracy.py

Trains the same methods on the same texts with `bench run`, and with `Trainer` + peft as their documentation shows them:
its own sampler, padding, in fp32 and on transformers' own layers. Both have the same hyperparameters, learning rate
schedule and epochs (the demo's), and no dropout. Seeds aren't paired: each side draws its heads and batches itself.

With `--keep FOLDER` what was found stays there, and the same command goes on after an interruption. A head reads
features that never change: with `--kept-features` Trainer reads them, as transformers computed them once. The
accuracies are the same to the digit, and a seed takes a second, so that hundreds can be had.
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


def trainer(method: str, seeds: int, corpus: Corpus, folder: Path, kept_features: bool) -> list[float]:
    """Return the test accuracy with each seed by `Trainer`."""
    kept = folder / f"trainer-{method}.json"
    found: list[float] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    if len(found) < seeds:
        texts = _Texts(corpus)
        features = texts.features() if kept_features else None
        for seed in track(range(len(found), seeds), description=f"{method} by Trainer"):
            found.append(_train(method, seed, texts, features, folder))
            kept.write_text(json.dumps(found), encoding="utf-8")
    return found[:seeds]


class _Texts:
    """A corpus's train and test texts as a user of transformers has them."""

    def __init__(self, corpus: Corpus) -> None:
        import datasets
        import transformers
        from transformers import AutoTokenizer

        from bench.model import backbone
        from bench.sources import PRESETS

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        datasets.disable_progress_bars()
        self.demo, self.backbone = PRESETS["demo"], Path(backbone.EMBEDDED)
        self.tokenizer = AutoTokenizer.from_pretrained(self.backbone)
        self.tokenizer.pad_token = self.tokenizer.eos_token
        self.styles = len(corpus.styles)
        labels = {style: label for label, style in enumerate(corpus.styles)}
        self.splits = {}
        for split in ("train", "test"):
            rows = corpus.frames[split]
            tokens = self.tokenizer(rows["text"].tolist(), truncation=True, max_length=self.demo.max_length)
            columns = {**tokens, "labels": rows["style"].map(labels).tolist()}
            self.splits[split] = datasets.Dataset.from_dict(columns)

    def model(self, method: str) -> Any:
        """Return a user's model for these texts, without dropout; torch's seed decides what is drawn."""
        from user_side import user_model

        no_dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        return user_model(method, self.backbone, self.styles, pad_token_id=self.tokenizer.pad_token_id, **no_dropout)

    def features(self) -> dict[str, Any]:
        """Return what a head on the frozen backbone reads of each text, in place of its tokens."""
        import datasets
        import torch

        body = self.model("head").eval().transformer
        found = {}
        for split, texts in self.splits.items():
            with torch.inference_mode():
                read = [body(input_ids=torch.tensor([ids])).last_hidden_state[0, -1] for ids in texts["input_ids"]]
            columns = {"features": torch.stack(read).numpy(), "labels": texts["labels"]}
            found[split] = datasets.Dataset.from_dict(columns).with_format("torch")
        return found


def _head_alone(model: Any) -> Any:
    """Return a module that is the head of a user's model, on features."""
    import torch

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = model.score

        def forward(self, features: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.score(features)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    return Head()


def _train(method: str, seed: int, texts: _Texts, features: dict[str, Any] | None, folder: Path) -> float:
    import transformers
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    from methods import get

    splits, demo = features or texts.splits, texts.demo
    steps = -(-len(splits["train"]) // demo.batch_size) * demo.epochs
    transformers.set_seed(seed)
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
    model = texts.model(method)
    made = Trainer(
        model=_head_alone(model) if features else model,
        args=arguments,
        train_dataset=splits["train"],
        data_collator=None if features else DataCollatorWithPadding(texts.tokenizer),
    )
    made.train()
    predicted = np.asarray(made.predict(splits["test"]).predictions).argmax(axis=1)
    return float((predicted == np.array(splits["test"]["labels"])).mean())


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
    kept_features: Annotated[
        bool, typer.Option("--kept-features", help="Have Trainer read features in place of texts; for head alone.")
    ] = False,
) -> None:
    """Print test accuracies of both sides, mean and standard deviation over seeds, and their difference."""
    from bench.data import load_local, load_open_authors

    if kept_features and methods != "head":
        raise typer.BadParameter("what other methods read changes as they train; add --methods head")
    corpus = load_local(data) if data else load_open_authors()
    title = f"Test accuracy in points on {corpus.name}"
    table = Table("method", "seeds", "bench run", "Trainer", "difference, 95% interval", "same spread, p", title=title)
    with tempfile.TemporaryDirectory() as aside:
        folder = keep or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        for method in methods.split(","):
            count = seeds or SEEDS[method]
            ours = 100 * np.array(harness(method, count, data, folder))
            theirs = 100 * np.array(trainer(method, count, corpus, folder, kept_features))
            table.add_row(*row(method, ours, theirs))
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    typer.run(main)
