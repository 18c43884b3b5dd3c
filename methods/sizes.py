"""How large a hyperparameter may be that the model's layers bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.targets import adapted_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

Bound = Literal["divides", "layers", "entries", "rank", "below rank", "lora's entries"]
"""It has to divide the widths of the adapted layers; or is at most as large as the number of blocks; the least weight's
entries; its rank; its rank less one; or the rank at which LoRA's factors have as many entries as the weight."""
_OF_WEIGHT: dict[str, Callable[[int, int], int]] = {
    "entries": lambda rows, columns: rows * columns,
    "rank": min,
    "below rank": lambda rows, columns: min(rows, columns) - 1,
    "lora's entries": lambda rows, columns: rows * columns // (rows + columns),
}


@dataclass(frozen=True)
class Fit:
    """A hyperparameter that is as large as it can be where it is left out, up to its `usual` value."""

    bound: Bound
    usual: int

    def most(self, model: PreTrainedModel, targets: Sequence[str] | str) -> int:
        """Return the largest value that fits the model's layers, with the layers that `targets` name adapted."""
        if self.bound == "layers":
            return int(model.config.num_hidden_layers)
        shapes = [(layer.out_features, layer.in_features) for layer in adapted_layers(model, targets)]
        if not shapes:
            return self.usual
        if self.bound == "divides":
            return math.gcd(*(width for shape in shapes for width in shape))
        return max(1, min(_OF_WEIGHT[self.bound](*shape) for shape in shapes))

    def default(self, most: int) -> int:
        """Return the value that is used where none is set."""
        if self.bound == "divides":
            return next(value for value in range(min(most, self.usual), 0, -1) if most % value == 0)
        return min(most, self.usual)

    def serves(self, value: int, most: int) -> bool:
        """Return whether every adapted layer takes the value."""
        return most % value == 0 if self.bound == "divides" else value <= most
