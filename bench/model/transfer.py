"""What goes to the device: a module once, a batch's numbers in one copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn


def to_device(arrays: Sequence[NDArray[np.int64]], device: str) -> list[torch.Tensor]:
    """Return the arrays as tensors on the device; on the CPU they share the arrays' memory.

    To CUDA they go in one copy from pinned memory, for which nobody waits.
    """
    if device != "cuda":
        return [torch.from_numpy(array).to(device) for array in arrays]
    whole = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    sent = whole.pin_memory().to(device, non_blocking=True).split([array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(sent, arrays, strict=True)]


def placed(module: nn.Module, device: str) -> nn.Module:
    """Return the adapted module on the device.

    The ids of peft's virtual tokens are none of its buffers: left behind, they would be sent in each pass.
    """
    module = module.to(device)
    tokens: dict[str, torch.Tensor] = getattr(module, "prompt_tokens", {})
    for name, ids in tokens.items():
        tokens[name] = ids.to(device)
    return module
