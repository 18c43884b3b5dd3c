"""What a run knows after an epoch, kept on disk, so that a run that was killed goes on from there.

One safetensors file, with JSON in its header: the trainable parameters and the buffers, now and after the epoch that is
the best so far where one is to be selected, the optimizer's and the schedule's state, torch's generators, and what was
measured so far. The order of the batches is a function of seed and epoch, so it needs no keeping. A file that is
damaged, or was written by another version of torch, counts as none.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bench.store.files import write_atomically
from bench.store.record import Epoch
from bench.training.train import module_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from bench.training.train import Fitting

Tensors = dict[str, torch.Tensor]
_BEST = "best "


@dataclass(frozen=True)
class Checkpoint:
    """A run's file. It is written after each epoch that took at least `after_s` seconds, in `aside` first."""

    path: Path
    aside: Path
    after_s: float

    def keep(self, fitting: Fitting, epoch_s: float) -> None:
        """Write down the state after an epoch of `epoch_s` seconds.

        A method with an optimizer of its own, one that acts after each step, or one that says so may have a state that
        isn't known here: of its runs nothing is kept. Neither is where the disk refuses, which the run's output says.
        """
        if epoch_s < self.after_s or not fitting.resumable:
            return
        try:
            self.path.parent.mkdir(exist_ok=True)
            write_atomically(self.path, _dumps(fitting), self.aside)
        except OSError as error:
            print(f"no checkpoint was written: {error}", file=sys.stderr)

    def restore(self, fitting: Fitting) -> None:
        """Bring freshly made state to where the file left it; do nothing where there is no good one."""
        found = _read(self.path)
        if found is not None and set(module_tensors(fitting.forward.module)) <= set(found[1]):
            _load(fitting, *found)


def _generators(device: str) -> Tensors:
    found = {"generator cpu": torch.get_rng_state()}
    return found | {"generator cuda": torch.cuda.get_rng_state()} if device == "cuda" else found


def _dumps(fitting: Fitting) -> bytes:
    tensors = module_tensors(fitting.forward.module) | _generators(fitting.forward.device)
    tensors |= {f"{_BEST}{name}": tensor for name, tensor in fitting.best.items()}
    state = {
        "torch": torch.__version__,
        "optimizer": _split(fitting.optimizer.state_dict(), tensors),
        "schedule": _split(fitting.schedule.state_dict(), tensors),
        "fit": {**asdict(fitting.result), "epochs": [epoch.model_dump() for epoch in fitting.result.epochs]},
    }
    text = json.dumps(state)
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return bytes(save(copies, {"state": text, "sha256": _digest(text, copies)}))


def _read(path: Path) -> tuple[dict[str, Any], Tensors] | None:
    """Return what a whole file of this version of torch holds."""
    try:
        with safe_open(path, framework="pt") as file:
            header, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    text = header.get("state", "")
    if header.get("sha256") != _digest(text, tensors):
        return None
    state = json.loads(text)
    return (state, tensors) if state["torch"] == torch.__version__ else None


def _load(fitting: Fitting, state: dict[str, Any], tensors: Tensors) -> None:
    module = module_tensors(fitting.forward.module)
    for name, tensor in module.items():
        tensor.copy_(tensors[name])
    best = {name: tensors[f"{_BEST}{name}"] for name in module if f"{_BEST}{name}" in tensors}
    fitting.best = {name: tensor.to(module[name].device) for name, tensor in best.items()}
    fitting.optimizer.load_state_dict(_join(state["optimizer"], tensors))
    fitting.schedule.load_state_dict(_join(state["schedule"], tensors))
    for name, value in state["fit"].items():
        setattr(fitting.result, name, [Epoch(**epoch) for epoch in value] if name == "epochs" else value)
    torch.set_rng_state(tensors["generator cpu"])
    if fitting.forward.device == "cuda":
        torch.cuda.set_rng_state(tensors["generator cuda"])


def _split(value: Any, tensors: Tensors) -> Any:  # noqa: ANN401
    """Return nested state as JSON can hold it, its tensors moved into `tensors` under new names."""
    if isinstance(value, torch.Tensor):
        name = f"state {len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _split(inner, tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(inner, tensors) for inner in value]
    return value


def _join(value: Any, tensors: Tensors) -> Any:  # noqa: ANN401
    """Return what `_split` took apart, with lists for tuples."""
    if isinstance(value, list):
        return [_join(inner, tensors) for inner in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    return {key: _join(inner, tensors) for key, inner in value["dict"]}


def _digest(text: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
