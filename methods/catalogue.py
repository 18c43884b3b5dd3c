"""peft's registry as data, so that what it holds can be listed without importing peft or torch.

For the version of peft that this project was tested with the data is a file of this package; for another one a child
process makes it, once, and it is kept in the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from methods.errors import MethodError

KINDS: dict[str, Any] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
    "integers": tuple[int, ...],
    "strings": tuple[str, ...],
    "null": None,
}


class Hyperparameter(BaseModel):
    """A field of a peft configuration: what it takes, in the order in which peft declares it, and peft's default."""

    model_config = ConfigDict(frozen=True)

    kinds: tuple[str, ...]
    choices: tuple[str, ...] = ()
    default: Any = None

    def annotation(self) -> Any:  # noqa: ANN401  (a type, or a union of types)
        """Return the field's type."""
        types = [KINDS[kind] for kind in self.kinds]
        return _union([*types, Literal[self.choices]] if self.choices else types)


def _union(types: list[Any]) -> Any:  # noqa: ANN401
    found = types[0]
    for other in types[1:]:
        found = found | other
    return found


class Catalogue(BaseModel):
    """What one version of peft has. Keys and members are names of methods, a type's in lower case or a variant's."""

    model_config = ConfigDict(frozen=True)

    peft: str
    types: Mapping[str, Mapping[str, Hyperparameter]]
    """Every type's hyperparameters."""
    others: Mapping[str, Mapping[str, Any]]
    """Every type's other fields but for those that all share, with peft's defaults as its files have them."""
    options: Mapping[str, Mapping[str, Any]]
    """The fields that make a method of a type, as peft's files have them."""
    feedforward: tuple[str, ...]
    """Layers that IA3 takes for the end of a feed-forward block in one architecture, and in none for another layer."""
    errors: Mapping[str, str]
    """What went wrong when a method was tried on a GPT-2 of the real one's width."""
    identities: tuple[str, ...]
    """The methods that change nothing at the start."""
    movers: tuple[str, ...]
    """The methods that begin with a part of the backbone's weights, which they take out of these."""
    linear_only: tuple[str, ...]
    """The methods whose saved adapter doesn't fit onto a stock GPT-2, whose projections are Conv1D."""


def catalogue() -> Catalogue:
    """Return the catalogue of the installed peft. Raises MethodError where none can be made."""
    return _of(metadata.version("peft"))


@cache
def _of(version: str) -> Catalogue:
    shipped = read(packaged(version))
    if shipped is not None:
        return shipped
    kept = Path(platformdirs.user_cache_dir("peft-bench")) / f"peft-{version}.json"
    found = read(kept)
    if found is None:
        found = _ask(version)
        write(found, kept)
    return found


def packaged(version: str) -> Path:
    """Return where this package keeps the catalogue of that version, or of one that differs in its last part only."""
    return Path(__file__).parent / "catalogues" / f"peft-{'.'.join(version.split('.')[:2])}.json"


def read(file: Path) -> Catalogue | None:
    """Return the catalogue in that file; None where there is none, or a damaged or older one."""
    try:
        return Catalogue.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def write(found: Catalogue, file: Path) -> None:
    """Write the catalogue so that no reader sees half of it; a cache that can't be written isn't needed."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(f".{os.getpid()}")
        aside.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        aside.replace(file)
    except OSError:
        return


def _ask(version: str) -> Catalogue:
    """Let a child process look at the installed peft: importing it here would make every command slow."""
    print(f"peft {version} is new here: looking at its methods, once (a minute)", file=sys.stderr)
    command = [sys.executable, "-m", "methods.survey"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MethodError(f"the methods of peft {version} can't be listed: {last}")
    return Catalogue.model_validate_json(done.stdout)
