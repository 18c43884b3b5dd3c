"""A value as it is typed -> what it means. Each raises UsageError, with its option, for what isn't one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.data import DataOptions


def names(text: str | None) -> tuple[str, ...] | None:
    """Read names between commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def seeds(text: str, option: str = "--seeds") -> tuple[int, ...]:
    """Read whole numbers between commas."""
    try:
        return tuple(int(part) for part in names(text) or ())
    except ValueError:
        raise UsageError(f"{option} {text}: expected whole numbers separated by commas, e.g. 0,1,2") from None


def sizes(text: str, option: str = "--train-size") -> tuple[int, ...]:
    """Read whole numbers from 1 up between commas, each given once."""
    found = names(text) or ()
    if not found or not all(part.isascii() and part.isdigit() and int(part) for part in found):
        raise UsageError(f"{option} {text}: expected whole numbers from 1 up separated by commas, e.g. 100,300,1000")
    numbers = tuple(map(int, found))
    if twice := [number for place, number in enumerate(numbers) if number in numbers[:place]]:
        raise UsageError(f"{option}: {twice[0]} is given twice")
    return numbers


def device(text: str) -> str:
    """Read where to train; torch knows Apple's GPU as well."""
    if text == "mps":
        raise UsageError(
            "--device mps: torch doesn't tell the peak of a run's memory on Apple's GPU, so that no run is made there; "
            "leave --device out to use the processor"
        )
    if text not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {text}: expected auto, cpu or cuda")
    return text


def jobs(text: str) -> int | Literal["auto"]:
    """Read how many runs at once."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--jobs {text}: a number from 1 up, or auto")
    return int(text)


def duration(text: str | None, option: str = "--timeout") -> float | None:
    """Read seconds, or a number with its unit."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0
    if seconds <= 0:
        raise UsageError(f"{option} {text}: expected seconds, or a number with a unit, e.g. 90s, 15m or 2h")
    return seconds


def reading(
    text: str | None, label: str | None, group: str | None, document: str | None, splits: str | None, sample: int | None
) -> DataOptions:
    """Read what the options of how texts are read say together."""
    from bench.data import DataOptions, parse_splits

    return DataOptions(names(text), label, group, document, parse_splits(splits), sample)
