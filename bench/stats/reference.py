"""Which variant the others are held against."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.stats.summaries import differing_hyperparameters

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bench.stats.summaries import Summary


def find(summaries: Sequence[Summary], able: Collection[int], asked: str | None) -> int | None:
    """The place of the reference among the `able` summaries; None where nothing is asked and there is no LoRA.

    `asked` is a method, or a method with hyperparameters: "lora alpha=8". Of several that fit, the first in ascending
    order of alpha, then of the other hyperparameters. Raises UsageError where none fits.
    """
    method, *settings = (asked or "lora").replace(",", " ").split() or [""]
    wanted = dict(setting.partition("=")[::2] for setting in settings)
    fitting = [place for place in able if summaries[place].method == method and _fits(summaries[place], wanted)]
    if fitting:
        return min(fitting, key=lambda place: _order(summaries[place].hyperparameters))
    if asked is None:
        return None
    raise UsageError(f"--reference {asked}: {_instead(summaries, able, asked)}")


def _fits(summary: Summary, wanted: Mapping[str, str]) -> bool:
    found = summary.hyperparameters
    return all(name in found and _same(found[name], text) for name, text in wanted.items())


def _same(value: object, text: str) -> bool:
    """Whether a hyperparameter was meant, however its number is written: 5e-4 is 0.0005."""
    try:
        return bool(written(value) == text or value == json.loads(text))
    except json.JSONDecodeError:
        return False


def written(value: object) -> str:
    """A hyperparameter's value as on the command line."""
    if value is None or isinstance(value, str):
        return value or "none"
    return "+".join(map(written, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _order(hyperparameters: Mapping[str, Any]) -> list[tuple[float, str]]:
    names = sorted(hyperparameters, key=lambda name: (name != "alpha", name))
    numbers = ((hyperparameters[name], isinstance(hyperparameters[name], int | float)) for name in names)
    return [(value, "") if number else (0.0, written(value)) for value, number in numbers]


def _instead(summaries: Sequence[Summary], able: Collection[int], asked: str) -> str:
    differing = differing_hyperparameters(summaries)
    choices = list(dict.fromkeys(_label(summaries[place], differing) for place in able))
    if not choices:
        return "no variant here has predictions to compare"
    near = difflib.get_close_matches(asked, choices, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"no such variant has predictions here; {meant}Choose from: {'; '.join(choices)}"


def _label(summary: Summary, differing: Mapping[str, Sequence[str]]) -> str:
    values = summary.hyperparameters
    told = (f"{name}={written(values[name])}" for name in differing[summary.method] if name in values)
    return " ".join([summary.method, *told])
