"""By what readers of the page choose methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reporting.capabilities import newest_peft
from methods import registry
from methods.capabilities import NOT_SLOWED, TITLES, UNKNOWN, described
from methods.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.stats import Summary

MERGES, INFERENCE, LOADS, QUANTISED, _, LAYERS_TITLE = TITLES


@dataclass(frozen=True)
class Facet:
    """A property of methods: its name in a page's address, what it is called, and a variant's values of it."""

    name: str
    title: str
    values: Callable[[Summary], Sequence[str]]


def _family(summary: Summary) -> list[str]:
    try:
        return [registry.get(summary.method).family]
    except MethodError:  # of another package, which isn't installed here
        return ["other"]


def _can(title: str) -> Callable[[Summary], list[str]]:
    """What the method can do, with the peft of its runs; what only some architectures can is a value of its own."""

    def values(summary: Summary) -> list[str]:
        said = described(summary.method, newest_peft(summary))[title]
        if title == INFERENCE:
            return [said if said in (UNKNOWN, NOT_SLOWED) else "slowed"]
        return said.split(", ") if title == LAYERS_TITLE else ["in part" if said.startswith("on ") else said]

    return values


FACETS = (
    Facet("family", "Family", _family),
    Facet("merges", MERGES, _can(MERGES)),
    Facet("inference", INFERENCE, _can(INFERENCE)),
    Facet("loads", LOADS, _can(LOADS)),
    Facet("quantised", QUANTISED, _can(QUANTISED)),
    Facet("layers", LAYERS_TITLE, _can(LAYERS_TITLE)),
)
"""Every facet, in the order in which the page has them."""
