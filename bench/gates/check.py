"""What a method promises, checked on small models of three architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting.model import Cell, Column, Row, Table
from methods import MethodError, contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from methods import Method

Outcome = dict[str, dict[str, str] | MethodError]
"""For each architecture what is broken, check -> how, or why the method can't serve it."""


def outcome(method: type[Method]) -> Outcome:
    """Run the contract's checks on the method with its defaults."""
    return {architecture: _on(method(), architecture) for architecture in contract.BACKBONES}


def _on(method: Method, architecture: str) -> dict[str, str] | MethodError:
    try:
        return contract.violations(method, contract.BACKBONES[architecture])
    except MethodError as error:
        return error


def serves_none(found: Outcome) -> bool:
    """Return whether there is no architecture that the method can serve."""
    return all(isinstance(one, MethodError) for one in found.values())


def broken(found: Outcome) -> int:
    """Return how many promises are broken; a method that serves no architecture breaks one."""
    if serves_none(found):
        return 1
    return sum(len(one) for one in found.values() if not isinstance(one, MethodError))


def table(found: Outcome) -> Table:
    """Return a row a check, a column an architecture, and what is wrong below."""
    checks = [check.__name__ for check in contract.CHECKS]
    columns = (Column("promise"), *(Column(architecture) for architecture in found))
    rows = [Row((Cell(name.replace("_", " ")), *(Cell(_mark(one, name)) for one in found.values()))) for name in checks]
    return Table(columns, tuple(rows))


def _mark(one: Mapping[str, str] | MethodError, check: str) -> str:
    if isinstance(one, MethodError):
        return "can't serve it"
    return "BROKEN" if check in one else "kept"


def lines(name: str, found: Outcome) -> list[str]:
    """Return what is wrong, a line each, and a verdict."""
    told = []
    for architecture, one in found.items():
        if isinstance(one, MethodError):
            told.append(f"{architecture}: {one}")
        else:
            told += [f"{architecture}: {check.replace('_', ' ')}: {how}" for check, how in one.items()]
    count = broken(found)
    told.append(f"{name} keeps every promise." if not count else f"{name} breaks {count} of its promises.")
    return told
