"""What each method gives a GPU to do, and when the host waits for it, counted on fake tensors: benchmarks/gpu.csv.

PYTHONPATH=.:tests python tests/gpu_budget.py writes that file anew (a minute).
"""

from __future__ import annotations

import csv
import gc
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from fake_cuda import fake_gpu, moved
from in_process import nobody, prepared
from small import save_model, write_texts

import methods
from bench.gates.budget import LIBRARIES, versions
from bench.training import train

if TYPE_CHECKING:
    from fake_cuda import Gpu
    from in_process import Prepared

FILE = Path(__file__).parent / "benchmarks" / "gpu.csv"
PADDED = "llama", "bert"
OF_THE_PADDED = "lora", "prefix"
"""The methods that are also counted on models that texts are padded for."""
SPARSE = "it computes with sparse matrices, which fake tensors don't have"
NOT_FAKED = {"frod": SPARSE, "shira": SPARSE}
_INDICES = "peft keeps each layer's indices on the CPU, and sends them in each pass"
_SOLVES = "it solves linear equations, of which torch asks whether they could be solved"
_MASK = "transformers reads from the mask whether there is padding; peft makes the prompt's part of it on the CPU"
WAITS = {
    "adalora": "peft reads what it ranks after a step",
    "adamss": _INDICES,
    "adaption_prompt": _MASK,
    "boft": _SOLVES,
    "cartridge": _MASK,
    "fourierft": _INDICES,
    "lora_fa": "its optimizer makes a matrix on the CPU",
    "monteclora": f"{_SOLVES}; it draws on the CPU, and reads its penalty",
    "p_tuning": _MASK,
    "prompt_tuning": _MASK,
    "psoft": _SOLVES,
    "vblora": "peft reads whether a logit is infinite",
    "velora": "peft reads whether it knows its vector yet",
    "waveft": f"{_INDICES}, chooses by them, and sends its wavelets",
}
"""For whom the host waits within a step on GPT-2, and why."""


class Figures(NamedTuple):
    """What was counted in one phase of one method on one architecture; `waits` as `OPERATOR NUMBER; …`."""

    architecture: str
    method: str
    phase: str
    kernels: int
    casts: int
    waits: str


def counted() -> list[tuple[str, str]]:
    """Return which methods are counted on which architectures."""
    there = [name for name in methods.names() if name not in NOT_FAKED]
    return [("gpt2", name) for name in there] + [(each, name) for each in PADDED for name in OF_THE_PADDED]


def figures(architecture: str, method: str, study: Prepared) -> list[Figures]:
    """Count one training step on 8 passages, where the method takes steps, and an evaluation of one batch, in bf16."""
    run = study.begin(method)
    on_cpu, _ = run.load(study.training.model_copy(update={"device": "cpu"}))
    trains = any(p.requires_grad for p in on_cpu.module.parameters()) and not hasattr(run.method, "fit")
    found = []

    def note(phase: str, gpu: Gpu) -> None:
        waits = "; ".join(f"{name} {number}" for name, number in sorted(gpu.waits.items()))
        found.append(Figures(architecture, method, phase, gpu.kernels, gpu.casts, waits))
        gpu.restart()

    with fake_gpu() as gpu:
        forward = replace(on_cpu, module=moved(on_cpu.module), device="cuda")
        if trains:
            fitting = train.Fitting(forward, run.method, run.splits.train, run.training, nobody)
            rows = np.arange(run.training.batch_size)
            fitting.count(rows)  # so that this isn't one of the steps after which the loss is read
            gpu.restart()
            fitting.step(rows)
            note("step", gpu)
        gpu.restart()
        train.evaluate(forward, run.splits.test)
        note("evaluate", gpu)
    return found


def known() -> dict[tuple[str, str], list[Figures]]:
    """Return what the file says for the libraries that are installed, by architecture and method; else nothing."""
    with FILE.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if tuple(row[name] for name in LIBRARIES) == versions()]
    found: dict[tuple[str, str], list[Figures]] = {}
    for row in rows:
        architecture, method, phase, kernels, casts, waits = (row[name] for name in Figures._fields)
        entry = Figures(architecture, method, phase, int(kernels), int(casts), waits)
        found.setdefault((architecture, method), []).append(entry)
    return found


def main() -> int:
    """Write the file, for the libraries that are installed alone."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        texts = write_texts(root / "texts")
        studies = {
            each: prepared(save_model(each, root / each), texts, root / f"{each}-scratch", dtype="bf16", device="cuda")
            for each in ("gpt2", *PADDED)
        }
        gc.collect()
        gc.freeze()  # each measured phase begins with a collection
        found = [row for each, name in counted() for row in figures(each, name, studies[each])]
    with FILE.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*LIBRARIES, *Figures._fields])
        writer.writerows([*versions(), *row] for row in found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
