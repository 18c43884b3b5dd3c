"""What can be wrong with a method that somebody asks for."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class MethodError(ValueError):
    """An unknown method or hyperparameter, a value it can't take, or a model it can't serve."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice nearest to `word`, or "" when none is near."""
    near = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
