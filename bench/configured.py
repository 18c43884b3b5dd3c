"""Which methods a person chose: by name, and by files of peft's that say which with what settings."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError, together
from bench.spec import Configured, expand, is_name
from methods import MethodError, peft_config
from methods.adapters import METHOD_FILE
from methods.peft_config import CONFIG_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Chosen:
    """Methods by name, and those that files configure, each once."""

    methods: tuple[str, ...]
    configured: tuple[Configured, ...]

    @property
    def names(self) -> list[str]:
        """Return the name of every method that takes part, in order."""
        return list(dict.fromkeys([*self.methods, *(one.method for one in self.configured)]))


def choose(chosen: Sequence[str]) -> Chosen:
    """Tell names and groups of methods from paths, and read what these lead to.

    A path leads to a file such as peft's adapter_config.json, or to a folder: all files of that name in it and below,
    or else its JSON files that are such. Raises UsageError for what can't be used, a line each.
    """
    paths = [name for name in chosen if is_path(name)]
    found: list[Configured] = []
    wrong: list[str] = []
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        try:
            found.append(_read(file))
        except (MethodError, UsageError) as error:
            wrong.append(f"{file}: {error}")
    if wrong:
        raise together(wrong)
    return Chosen(expand([name for name in chosen if name not in paths]), tuple(_distinct(found)))


def is_path(name: str) -> bool:
    """Tell whether it names a file or a folder: by a slash or its ending, or as a folder that is there."""
    if name.endswith(".json") or any(mark in name for mark in (os.sep, os.altsep) if mark):
        return True
    return Path(name).is_dir() and not is_name(name)


def _files(name: str) -> list[Path]:
    path = Path(name)
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(CONFIG_FILE)) or [file for file in sorted(path.glob("*.json")) if _is_config(file)]
    if not found:
        raise UsageError(f"--methods {name}: there is no {CONFIG_FILE} in it, and no JSON file with a peft_type")
    return found


def _is_config(file: Path) -> bool:
    try:
        return "peft_type" in _json(file)
    except UsageError:
        return False


def _read(file: Path) -> Configured:
    beside = file.with_name(METHOD_FILE)
    method, values = peft_config.read(_json(file), _json(beside) if beside.is_file() else None)
    return Configured(method, values, (str(file),))


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError("not a configuration of peft's: it has no fields")
    return content


def _distinct(found: Iterable[Configured]) -> list[Configured]:
    """Return those with the same settings as one, with all its files."""
    distinct: dict[str, Configured] = {}
    for one in found:
        key = json.dumps([one.method, one.values], sort_keys=True)
        before = distinct.get(key)
        distinct[key] = replace(one, files=(*before.files, *one.files)) if before else one
    return list(distinct.values())
