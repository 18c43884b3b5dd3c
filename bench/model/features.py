"""What a backbone that never changes makes of each text: computed in one pass, kept for every epoch, seed and run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bench.machine import measure
from bench.model.forward import Forward
from bench.model.transfer import to_device
from bench.store.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.data import TokenSplit


@dataclass(frozen=True)
class CachedForward(Forward):
    """Computes the head alone, on features that are there already."""

    head: torch.nn.Module
    features: dict[TokenSplit, torch.Tensor]

    def __call__(self, split: TokenSplit, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the logits of the passages `rows`, [copies · b, styles] in fp32 on the device."""
        (places,) = to_device([np.tile(rows, self.copies)], self.device)
        found: torch.Tensor = self.head(self.features[split][places])
        return found.float()

    def parts(self, split: TokenSplit, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Compute the batch at once: nothing is padded."""
        return [rows]


@dataclass(frozen=True)
class Pass:
    """One pass of the backbone over a split: its features [n, width] in fp32, and what it costs or cost.

    `padding_share` is the share of the token slots that held padding.
    """

    features: torch.Tensor
    cost: measure.Phase
    padding_share: float
    reused: bool


def one_pass(forward: Forward, head: torch.nn.Module, split: TokenSplit, path: Path | None) -> Pass:
    """Return the features of every passage of `split`, from the file `path` where an earlier run left them there.

    The cost that is kept beside the features is the one of the run that computed them. Without a path nothing is kept.
    """
    batches = forward.eval_batches(split)
    padding_share = 1 - int(split.lengths.sum()) / sum(forward.slots(split, rows) for rows in batches)
    if path is not None and _costs(path).exists():
        cost = measure.Phase(**json.loads(_costs(path).read_text()))
        return Pass(load_file(path, device=forward.device)["features"], cost, padding_share, reused=True)
    found = []
    with measure.phase(forward.device) as cost, torch.inference_mode():
        for rows in batches:
            found.append(forward.head_input(head, split, rows))
    order = torch.from_numpy(np.concatenate(batches)).to(forward.device)
    features = torch.empty_like(torch.cat(found)).index_copy_(0, order, torch.cat(found))
    if path is not None:
        part = path.with_name(f"{path.stem}-{os.getpid()}.part")  # others may read what another run left meanwhile
        save_file({"features": features.cpu()}, part)
        part.replace(path)
        write_atomically(_costs(path), json.dumps(vars(cost)).encode())  # its being there says the features are whole
    return Pass(features, cost, padding_share, reused=False)


def _costs(path: Path) -> Path:
    return path.with_suffix(".json")
