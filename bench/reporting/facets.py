"""By what readers of the page choose methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import registry
from methods.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.stats import Summary


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


FACETS = (Facet("family", "Family", _family),)
"""Every facet, in the order in which the page has them."""
