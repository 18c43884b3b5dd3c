"""How much faster than `Trainer` + peft: python tests/benchmarks/against_trainer.py

Both sides do the same work in turn, several rounds: GPT-2 124M from its configuration (speed doesn't depend on the
weights, which are drawn once and saved, so that both load them as anyone does), 14 styles, texts of AuthorMix's
lengths, batch 8, at most 256 tokens, the same hyperparameters, steps and evaluation. `Trainer` is set up as its
documentation shows. What is printed are ratios with their spread over the rounds; only these carry over to another
machine. A cell trains two epochs: the first warms up, the second, the same texts on both sides, is timed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

STYLES, BATCH_SIZE, MAX_LENGTH = 14, 8, 256
MFLOP_A_TOKEN = 340
"""What LoRA needs for a token of GPT-2 124M: 2 for each of 85M weights forward, and as many backward."""
TRAINED = ("lora", "ia3", "prefix")
ALL = ("frozen", "head", *TRAINED)
HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class Cell:
    """Two epochs of `steps` steps of one method by one side, "bench", or Trainer "longest" or "grouped"."""

    side: str
    method: str
    dtype: str
    steps: int
    folder: str


def lengths(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Tokens of `count` passages, spread as AuthorMix's: median 60, 90th percentile 116, cut at the maximum."""
    spread = np.log(116 / 60) / 1.2816
    drawn = np.random.default_rng(0).lognormal(np.log(60), spread, count)
    return np.clip(drawn, 8, MAX_LENGTH).astype(np.int64)


def write_inputs(folder: Path, train: int, test: int) -> None:
    """Write a model's folder, with a tokenizer that makes a token of each byte, and the texts."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate([*alphabet, "<|endoftext|>"])}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    end = "<|endoftext|>"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, bos_token=end, pad_token=end)
    fast.save_pretrained(str(folder / "model"))
    torch.manual_seed(0)
    transformers.logging.disable_progress_bar()
    GPT2Model(GPT2Config(pad_token_id=len(alphabet))).save_pretrained(str(folder / "model"))
    (folder / "texts").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for split, count in (("train", train), ("validation", STYLES), ("test", test)):
        rows = [
            {"text": "".join(rng.choice(list("abcdefgh"), size)), "style": f"s{i % STYLES:02}", "category": "c"}
            for i, size in enumerate(lengths(count).tolist())
        ]
        (folder / "texts" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


# Trainer + peft, as a user would write it


def user_trainer(method: str, folder: Path, **options: Any) -> tuple[Any, Any, list[float], list[int]]:
    """Return the `Trainer`, the test texts, and lists that fill with each step's end and each batch's tokens."""
    import datasets
    import transformers
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments
    from user_side import user_model

    transformers.logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    files = {split: str(folder / "texts" / f"{split}.jsonl") for split in ("train", "validation", "test")}
    texts = datasets.load_dataset("json", data_files=files, cache_dir=str(folder / "cache"))
    encoded = texts.map(
        lambda rows: {
            **tokenizer(rows["text"], truncation=True, max_length=MAX_LENGTH),
            "labels": [int(style[1:]) for style in rows["style"]],
        },
        batched=True,
        remove_columns=["text", "style", "category"],
    )
    pad = DataCollatorWithPadding(tokenizer)
    ends: list[float] = []
    tokens: list[int] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    def collate(rows: list[dict[str, Any]]) -> Any:
        batch = pad(rows)
        tokens.append(int(batch["attention_mask"].sum()))
        return batch

    arguments = TrainingArguments(
        output_dir=str(folder / "output"),
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=32,
        learning_rate=5e-4,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        **options,
    )
    trainer = Trainer(
        model=user_model(method, folder / "model", STYLES),
        args=arguments,
        train_dataset=encoded["train"],
        eval_dataset=encoded["validation"],
        data_collator=collate,
        callbacks=[Clock()],
    )
    return trainer, encoded["test"], ends, tokens


def user_study(methods: list[str], epochs: int, folder: Path) -> float:
    """Train and evaluate each method with `Trainer`, one after the other in one script; return these seconds."""
    seconds = 0.0
    for method in methods:
        trainer, test, _, _ = user_trainer(method, folder, num_train_epochs=epochs, eval_strategy="epoch")
        begin = time.perf_counter()
        if method != "frozen":
            trainer.train()
        trainer.predict(test)
        seconds += time.perf_counter() - begin
    return seconds


def user_steps(cell: Cell) -> tuple[list[float], list[int]]:
    """Return the end of each of `Trainer`'s steps and the real tokens in each."""
    sampling = "group_by_length" if cell.side == "grouped" else "random"
    options = {"num_train_epochs": 2, "bf16": cell.dtype == "bf16", "train_sampling_strategy": sampling}
    trainer, _, ends, tokens = user_trainer(cell.method, Path(cell.folder), **options)
    trainer.train()
    return ends, tokens[: len(ends)]


# The harness


def bench_steps(cell: Cell) -> tuple[list[float], list[int]]:
    """Return the end of each of the harness's steps and the real tokens in each."""
    import torch

    from bench.data import load_local, tokenise, train_batches
    from bench.model import backbone, weights
    from bench.model.forward import Forward
    from bench.model.prepacked import prepacked
    from bench.spec import TrainingSpec
    from bench.training import train
    from methods import get

    folder = Path(cell.folder)
    ref = backbone.local(folder / "model")
    split = tokenise(load_local(folder / "texts"), backbone.tokenizer(ref), MAX_LENGTH).train
    spec = TrainingSpec.model_validate(
        {"epochs": 2, "batch_size": BATCH_SIZE, "max_length": MAX_LENGTH} | {"dtype": cell.dtype, "device": "cpu"}
    )
    method = get(cell.method)()
    model = weights.load(ref, STYLES, seed=0)
    if cell.dtype == "bf16":
        torch.nn.Module.bfloat16(model)
    forward = Forward(method.apply(model), "cpu", spec.dtype, backbone.pad_id(ref), STYLES)
    forward.module.train()
    fitting = train.Fitting(forward, method, split, spec, watch=_nobody)
    ends, tokens = [], []
    with prepacked(forward.module):
        for epoch in (1, 2):
            for rows in train_batches(len(split.labels), BATCH_SIZE, seed=0, epoch=epoch):
                fitting.step(rows)
                ends.append(time.perf_counter())
                tokens.append(int(split.lengths[rows].sum()))
    return ends, tokens


def _nobody(phase: str, done: int, total: int, loss: float | None = None, epoch: object = None) -> None:
    pass


# Cells, each in a process of its own


def measure_steps(cell: Cell) -> dict[str, float]:
    """Run a cell here; return its useful tokens a second in the second epoch, and the process's peak in bytes."""
    ends, tokens = (bench_steps if cell.side == "bench" else user_steps)(cell)
    seconds = ends[-1] - ends[cell.steps - 1]
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return {"tokens_per_s": sum(tokens[cell.steps :]) / seconds, "peak_bytes": peak}


def in_process(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run Python with these arguments, in the project's folder; return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[2],
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def steps(cell: Cell) -> dict[str, float]:
    """Measure a cell in a fresh process, the harness's in the environment that it gives its runs."""
    from bench.execution.child import RUN_ENVIRONMENT

    environment = RUN_ENVIRONMENT if cell.side == "bench" else {}
    found: dict[str, float] = json.loads(
        in_process(str(HERE), "cell", json.dumps(asdict(cell)), environment=environment)
    )
    return found


def user_command(methods: tuple[str, ...], epochs: int, folder: Path) -> tuple[float, float]:
    """Run a script that does the study with `Trainer`; return its seconds, and those of training and evaluation."""
    begin = time.perf_counter()
    work = float(in_process(str(HERE), "study", ",".join(methods), str(epochs), str(folder)))
    return time.perf_counter() - begin, work


def bench_command(methods: tuple[str, ...], epochs: int, folder: Path) -> tuple[float, list[Any]]:
    """Run the same study with `bench run`; return its seconds and its records."""
    results = tempfile.mkdtemp(dir=folder)
    command = ["-m", "bench", "run", "--methods", ",".join(methods), "--seeds", "0", "--epochs", str(epochs)]
    command += ["--set", "lora.alpha=32"] if "lora" in methods else []
    command += ["--batch-size", str(BATCH_SIZE), "--max-length", str(MAX_LENGTH)]
    command += ["--model", str(folder / "model"), "--data", str(folder / "texts"), "--results", results]
    command += ["--no-baseline"]  # Trainer's side has none either
    begin = time.perf_counter()
    in_process(*command)
    seconds = time.perf_counter() - begin
    return seconds, [json.loads(path.read_text(encoding="utf-8")) for path in Path(results).glob("*.json")]


def matmul(dtype: str) -> float:
    """Return the machine's speed now, in floating-point operations a second."""
    return float(in_process(str(HERE), "matmul", dtype))


# The table


@dataclass
class Row:
    """One line of the table: a ratio in each round."""

    work: str
    target: str
    ratios: list[float]

    def cells(self) -> tuple[str, ...]:
        """The line's texts: the median of the rounds, the spread, what is aimed at."""
        percent = self.target.endswith("%")
        shown = [f"{ratio:.0%}" if percent else f"{ratio:.2f}×" for ratio in sorted(self.ratios)]
        middle = statistics.median(self.ratios)
        return (self.work, f"{middle:.0%}" if percent else f"{middle:.2f}×", f"{shown[0]} – {shown[-1]}", self.target)


def training(folder: Path, count: int, native: str) -> dict[tuple[str, str], float]:
    """Measure every training cell once, the sides in turn; return (work, target) -> ratio."""
    found: dict[tuple[str, str], float] = {}
    for method in TRAINED:
        rates: dict[tuple[str, str], float] = {}
        peaks: dict[tuple[str, str], float] = {}
        for dtype in dict.fromkeys(("fp32", native)):
            for side in ("longest", "bench", "grouped"):
                measured = steps(Cell(side, method, dtype, count, str(folder)))
                rates[side, dtype], peaks[side, dtype] = measured["tokens_per_s"], measured["peak_bytes"]
            least = "2.3×" if dtype == "fp32" else "2.4×"
            found[f"{method} {dtype}, padded to the longest", least] = rates["bench", dtype] / rates["longest", dtype]
            found[f"{method} {dtype}, grouped by length", "1.3×"] = rates["bench", dtype] / rates["grouped", dtype]
            if method == "lora":
                share = rates["bench", dtype] * MFLOP_A_TOKEN * 1e6 / matmul(dtype)
                found[f"lora {dtype}, share of the machine", "85%" if dtype == "fp32" else "65%"] = share
        found[f"{method}, each at its default precision", "4×"] = rates["bench", native] / rates["longest", "fp32"]
        if method == "lora":
            ratio = peaks["bench", native] / peaks["longest", "fp32"]
            found["lora, peak memory relative to Trainer", "at most 0.6×"] = ratio
    return found


def commands(folder: Path) -> dict[tuple[str, str], float]:
    """Measure the whole commands once, the sides in turn; return (work, target) -> ratio."""
    user, user_work = user_command(("head",), 3, folder)
    bench, (head,) = bench_command(("head",), 3, folder)
    # the passes over the texts of all three splits, then the steps on what was kept of them
    bench_work = head["speed"]["features_s"] + head["training"]["steps"] * head["speed"]["step_s_p95"]
    found = {
        ("head, three epochs and evaluation", "10×"): user_work / bench_work,
        ("head, the whole command", "–"): user / bench,
    }
    user, _ = user_command(ALL, 1, folder)
    bench, _ = bench_command(ALL, 1, folder)
    return found | {("five methods, one epoch, whole command", "4×"): user / bench}


app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command("table")
def print_table(
    rounds: Annotated[int, typer.Option(min=1, help="How often each side is measured.")] = 3,
    count: Annotated[int, typer.Option("--steps", min=2, max=20, help="Steps of each of a cell's two epochs.")] = 5,
    train: Annotated[int, typer.Option(min=STYLES, help="Train texts of the whole commands.")] = 140,
    test: Annotated[int, typer.Option(min=STYLES, help="Test texts of the whole commands.")] = 46,
) -> None:
    """Measure both sides in turn; print the ratios after each round: median, range over the rounds, and the aim."""
    from bench.machine.facts import resolve_dtype

    console = Console(width=110)
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        cells, whole_commands = Path(name) / "cells", Path(name) / "commands"
        write_inputs(cells, count * BATCH_SIZE, STYLES)
        write_inputs(whole_commands, train, test)
        native = resolve_dtype("auto", "cpu")
        for number in range(rounds):
            for row, ratio in {**training(cells, count, native), **commands(whole_commands)}.items():
                found.setdefault(row, []).append(ratio)
            table = Table("work", "median", "rounds", "aim", title=f"Against Trainer, round {number + 1} of {rounds}")
            for (work, target), ratios in found.items():
                table.add_row(*Row(work, target, ratios).cells())
            console.print(table)


@app.command("cell", hidden=True)
def run_cell(cell: str) -> None:
    """Measure one cell in this process."""
    print(json.dumps(measure_steps(Cell(**json.loads(cell)))))


@app.command("study", hidden=True)
def run_study(methods: str, epochs: int, folder: Path) -> None:
    """Do a whole study with `Trainer` in this process."""
    print(user_study(methods.split(","), epochs, folder))


@app.command("matmul", hidden=True)
def run_matmul(dtype: str) -> None:
    """Measure the speed of a matrix product in this process."""
    import torch

    from bench.machine.measure import matmul_flops_per_s

    print(matmul_flops_per_s("cpu", torch.bfloat16 if dtype == "bf16" else torch.float32))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[2]))
    app(sys.argv[1:] if sys.argv[1:2] in (["cell"], ["study"], ["matmul"], ["table"]) else ["table", *sys.argv[1:]])
