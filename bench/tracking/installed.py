"""Which trackers there are, and whether they are installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Literal, cast, get_args

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

Name = Literal["trackio", "wandb", "mlflow", "tensorboard"]
"""Each is the name of a package too, and of our extra that has it."""
NAMES: tuple[Name, ...] = get_args(Name)


def named(names: Iterable[str]) -> tuple[Name, ...]:
    """Return the trackers of these names, each once. Raises UsageError for a name that none has."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in NAMES:
            raise UsageError(f"--report-to {name}: there is no such tracker; there are {', '.join(NAMES)}")
    return cast("tuple[Name, ...]", found)


def check(names: Iterable[Name]) -> None:
    """Raise UsageError for trackers that aren't installed."""
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # a mere folder: wandb leaves one of its name where it is used
            raise UsageError(
                f"--report-to {name} needs {name}, which isn't installed: pip install 'peft-bench[{name}]'"
            )
