"""What a person says about a data set, where it isn't to be found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.data.frames import SPLITS
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.data.frames import Split

NONE = "none"
"""The name of no column: `--group none` where the data has one that isn't meant."""


@dataclass(frozen=True)
class DataOptions:
    """How one data set is to be read; None leaves it to what is found there.

    `text` names one column, or the two of a pair. `splits` names for each split a file, or a split of the source's own;
    a split that it doesn't name is made. `sample` is how many passages to keep in all. `stated_at` is where a study
    file says all this, to be told with what is wrong.
    """

    text: tuple[str, ...] | None = None
    label: str | None = None
    group: str | None = None
    document: str | None = None
    splits: Mapping[Split, str] = field(default_factory=dict)
    sample: int | None = None
    stated_at: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Raise UsageError for what can't be meant."""
        if self.text is not None and (not 1 <= len(self.text) <= 2 or len(set(self.text)) < len(self.text)):
            raise UsageError(f"--text {','.join(self.text)}: expected a column, or two different ones for a pair")
        if self.splits and "train" not in self.splits:
            raise UsageError("--splits names no train split; without --splits, the names of files tell")


def parse_splits(text: str | None) -> dict[Split, str]:
    """Read `train=…,validation=…,test=…`. Raises UsageError for anything else."""
    found: dict[Split, str] = {}
    for part in (text or "").split(",") if text else ():
        name, equals, source = (piece.strip() for piece in part.partition("="))
        if name not in SPLITS or not equals or not source or name in found:
            raise UsageError(
                f"--splits {text}: expected train=…,validation=…,test=…, each a file or a split that the data has"
            )
        found[name] = source
    return found
