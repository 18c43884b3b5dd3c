"""What each run predicted for each test example, read from the tables beside the records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A summary's predictions for the test examples, in the split's order, one row a seed.

    `labels` [examples] and `predictions` [seeds, examples] are places in `styles`; `documents` [examples] numbers the
    document that each example is from, None where the splits don't know that of every example.
    """

    seeds: tuple[int, ...]
    styles: tuple[str, ...]
    labels: NDArray[Any]
    predictions: NDArray[Any]
    documents: NDArray[Any] | None

    @cached_property
    def right(self) -> NDArray[Any]:
        """Which examples are classified right, booleans [seeds, examples]."""
        return self.predictions == self.labels
