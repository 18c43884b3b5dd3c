"""The training loop: Muon and AdamW, a held-out loss curve, and checkpoints from which it goes on identically."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from pretraining.data import Batches
    from pretraining.model import Network


@dataclass(frozen=True)
class Plan:
    """How to train. The learning rate rises over `warmup` steps, stays, and falls to 0 over the last `decay` share."""

    steps: int
    warmup: int = 40
    decay: float = 0.45
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    micro_batch: int = 32
    every: int = 100
    seed: int = 0

    def factor(self, step: int) -> float:
        """What step number `step`, from 0, multiplies the learning rates with."""
        return min(1.0, (step + 1) / self.warmup, (self.steps - step) / (self.decay * self.steps))


def train(network: Network, batches: Batches, held_out: Batches, plan: Plan, folder: Path) -> None:
    """Train to the plan's last step, from the checkpoint in `folder` where there is one.

    Writes `checkpoint.safetensors`, `plan.json` and `curve.csv` into `folder` every `plan.every` steps.
    """
    optimizers = _optimizers(network, plan)
    step, curve = _resume(network, optimizers, folder)
    fresh = batches.from_batch(step)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("pretraining", total=plan.steps, completed=step)
        while step < plan.steps:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * plan.factor(step)
            loss = _step(network, optimizers, *next(fresh), plan.micro_batch)
            step += 1
            progress.update(task, completed=step, description=f"loss {loss:.3f}")
            if step % plan.every == 0 or step == plan.steps:
                curve.append({"step": step, "train_loss": round(loss, 4), "held_out_loss": evaluate(network, held_out)})
                progress.print(f"step {step}: training loss {loss:.3f}, held out {curve[-1]['held_out_loss']:.3f}")
                _save(network, optimizers, step, curve, plan, folder)


def _optimizers(network: Network, plan: Plan) -> list[torch.optim.Optimizer]:
    muon = torch.optim.Muon(network.matrices(), lr=plan.matrix_rate, weight_decay=0.01)
    adamw = torch.optim.AdamW(network.others(), lr=plan.other_rate, betas=(0.9, 0.95), weight_decay=0.0)
    for optimizer in (muon, adamw):
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return [muon, adamw]


def _step(
    network: Network, optimizers: list[torch.optim.Optimizer], sequences: Tensor, offsets: Tensor, micro_batch: int
) -> float:
    device = network.wte.weight.device
    total = 0.0
    for rows, places in zip(sequences.split(micro_batch), offsets.split(micro_batch), strict=True):
        loss = network.loss(rows.to(device), places.to(device)) * (len(rows) / len(sequences))
        loss.backward()
        total += loss.item()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return total


@torch.no_grad()
def evaluate(network: Network, held_out: Batches) -> float:
    """The mean loss in nats a token over one pass of the held-out sequences, each from position 0."""
    device = network.wte.weight.device
    losses = []
    fresh = held_out.from_batch(0)
    for _ in range(held_out.per_pass):
        sequences, _ = next(fresh)
        losses.append(network.loss(sequences.to(device), torch.zeros(len(sequences), dtype=torch.long, device=device)))
    return round(torch.stack(losses).mean().item(), 4)


def _save(
    network: Network,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    curve: list[dict[str, float]],
    plan: Plan,
    folder: Path,
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, optimizer in enumerate(optimizers):
        for number, state in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{number}.{key}": value for key, value in state.items()})
    partial = folder / "checkpoint.partial"
    save_file(tensors, partial, metadata={"progress": json.dumps({"step": step, "curve": curve})})
    partial.replace(folder / "checkpoint.safetensors")
    (folder / "plan.json").write_text(json.dumps(asdict(plan), indent=1))
    with (folder / "curve.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)


def _resume(
    network: Network, optimizers: list[torch.optim.Optimizer], folder: Path
) -> tuple[int, list[dict[str, float]]]:
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, []
    tensors = load_file(path)
    network.load_state_dict(
        {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    )
    for index, optimizer in enumerate(optimizers):
        whole = optimizer.state_dict()
        for name, value in tensors.items():
            kind, _, rest = name.partition(f".{index}.")
            if kind == "optimizer":
                number, key = rest.split(".", 1)
                whole["state"].setdefault(int(number), {})[key] = value
        optimizer.load_state_dict(whole)
    return _progress(path)


def _progress(path: Path) -> tuple[int, list[dict[str, float]]]:
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
    return progress["step"], progress["curve"]
