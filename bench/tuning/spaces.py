"""What is searched for each method: what it declares, or what was asked for in its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import methods
from bench.errors import UsageError
from methods import MethodError
from methods.errors import did_you_mean
from methods.spaces import MOST_FIELDS, Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Space = dict[str, Range]
"""A method's ranges by field; empty where there is nothing to search, so that only its default is tried."""

_EXAMPLE = "expected METHOD.FIELD=LOW..HIGH or METHOD.FIELD=LOW..HIGH:log, e.g. lora.alpha=4..256:log"
_RATE = "learning_rate"


def spaces(chosen: Sequence[str], changes: Iterable[str]) -> dict[str, Space]:
    """Return each method's space, as its class declares it but for the `changes`, each `METHOD.FIELD=LOW..HIGH[:log]`.

    Raises UsageError for a change that isn't of that form or can't be, in words.
    """
    found = {name: dict(methods.get(name).space()) for name in chosen}
    changed: set[str] = set()
    for text in changes:
        name, field, range_ = _parse(text, found)
        if f"{name}.{field}" in changed:
            raise UsageError(f"--space {text}: {name}.{field} is given twice")
        changed.add(f"{name}.{field}")
        found[name][field] = range_
        own = [other for other in found[name] if other != _RATE]
        if len(own) > MOST_FIELDS:
            raise UsageError(
                f"--space {text}: {name} would have {', '.join(own)} searched beside the learning rate; at most "
                f"{MOST_FIELDS} are, as each more needs many more trials"
            )
    return found


def _parse(text: str, chosen: Mapping[str, Space]) -> tuple[str, str, Range]:
    target, equals, written = text.partition("=")
    name, dot, field = target.partition(".")
    ends, colon, scale = written.partition(":")
    low, dots, high = ends.partition("..")
    if not (equals and dot and name and field and dots) or (colon and scale != "log"):
        raise UsageError(f"--space {text}: {_EXAMPLE}")
    if name not in chosen:
        methods.get(name)
        raise UsageError(f"--space {text}: {name!r} isn't among --methods {','.join(chosen)}; add it there")
    _check_field(text, name, field)
    found = Range(_number(text, low), _number(text, high), log=bool(colon) or field == _RATE, why="asked for")
    _check_range(text, name, field, found)
    return name, field, found


def _number(text: str, written: str) -> float:
    try:
        value = float(written)
    except ValueError:
        raise UsageError(f"--space {text}: {written!r} isn't a number; {_EXAMPLE}") from None
    if not math.isfinite(value):
        raise UsageError(f"--space {text}: {written!r} isn't a finite number")
    return value


def _check_field(text: str, name: str, field: str) -> None:
    """Refuse a field that doesn't exist or of which no range can be searched."""
    method = methods.get(name)
    if field not in method.model_fields:
        near = did_you_mean(field, sorted(method.model_fields))
        known = ", ".join(sorted(method.model_fields))
        raise UsageError(f"--space {text}: {name} has no hyperparameter {field!r}{near}; it has {known}")
    if field == _RATE and _RATE not in method.space():
        raise UsageError(f"--space {text}: {name} takes no steps, so it has no learning rate to search")
    if method.takes(field) is None:
        raise UsageError(f"--space {text}: {name}.{field} isn't a number, so no range of it can be searched")
    if field in method.at_most:
        raise UsageError(
            f"--space {text}: which values of {name}.{field} fit depends on the backbone's layers, so no range of it "
            "can be searched; try values of it with `bench run --set`"
        )


def _check_range(text: str, name: str, field: str, found: Range) -> None:
    method = methods.get(name)
    if found.low >= found.high:
        raise UsageError(f"--space {text}: {found.low:g} isn't below {found.high:g}")
    if found.log and found.low <= 0:
        raise UsageError(f"--space {text}: on a logarithmic scale a range begins above 0")
    if method.takes(field) == "whole" and not (found.low.is_integer() and found.high.is_integer()):
        raise UsageError(f"--space {text}: {name}.{field} takes whole numbers")
    for end in (found.low, found.high):
        try:
            method(**{field: end})
        except MethodError as error:
            raise UsageError(f"--space {text}: {error}") from error
