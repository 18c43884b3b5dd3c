"""What a method can do besides learning, as it was measured with one version of peft; this reads it without torch.

`bench check METHOD` measures it for one method, `make capabilities` for all, and `make matrix` what runs where.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  (pydantic resolves the annotations of a class when it makes it)
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

UNKNOWN, NOT_SLOWED = "unknown", "not slowed"
TITLES = ("Merges", "Unmerged inference", "Loads with peft", "4-bit backbone", "Architectures", "Layers")
LAYERS = ("Linear", "Conv1D", "Embedding", "LayerNorm", "Conv2d")
"""The layers that are tried: torch's, and GPT-2's Conv1D."""


class Capabilities(BaseModel):
    """A method with its defaults; the mappings are by architecture, those of the contract that it can serve.

    `merges`: merged into the backbone, it predicts the same; None: there is no adapter beside the backbone to merge.
    `stock`: put onto a stock backbone by peft's own `PeftModel.from_pretrained` it predicts the same; None: it isn't
    saved as peft's. `operators` and `flops`: how many times those of an evaluation without it the unmerged one takes.
    `quantised` is "" where it works on linear layers in 4 bits (NF4), else says what goes wrong; None: not tried.
    `layers` are those of LAYERS that it adapts; None: it isn't told which layers to adapt.
    """

    model_config = ConfigDict(frozen=True)

    merges: Mapping[str, bool] | None
    stock: Mapping[str, bool] | None
    operators: Mapping[str, float]
    flops: Mapping[str, float]
    quantised: str | None
    layers: tuple[str, ...] | None


class Measured(BaseModel):
    """What was measured of every method, and with which `versions`, by library."""

    model_config = ConfigDict(frozen=True)

    versions: Mapping[str, str]
    methods: Mapping[str, Capabilities]


class Matrix(BaseModel):
    """What runs where: for each method, by architecture, what goes wrong there."""

    model_config = ConfigDict(frozen=True)

    versions: Mapping[str, str]
    architectures: tuple[str, ...]
    failures: Mapping[str, Mapping[str, str]]


File = TypeVar("File", Measured, Matrix)


def file(kind: str, peft: str) -> Path:
    """Return where this package keeps "capabilities" or "matrix", for versions of peft that differ in the last part."""
    return Path(__file__).parent / "catalogues" / f"{kind}-{'.'.join(peft.split('.')[:2])}.json"


@cache
def _read(path: Path, kind: type[File]) -> File | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def measured(peft: str) -> Measured | None:
    """Return what was measured with that version of peft; None where nothing was."""
    return _read(file("capabilities", peft), Measured)


def matrix(peft: str) -> Matrix | None:
    """Return what runs where with that version of peft; None where that wasn't tried."""
    return _read(file("matrix", peft), Matrix)


def described(method: str, peft: str | None = None, found: Capabilities | None = None) -> dict[str, str]:
    """Say in a few words each what a method can do, by the titles of TITLES; what wasn't measured is UNKNOWN.

    `peft` is the version that is meant, by default the installed one. `found` takes the place of what was measured.
    """
    version = peft or metadata.version("peft")
    known = measured(version)
    found = found or (known.methods.get(method) if known else None)
    *said, layers = [UNKNOWN] * 5 if found is None else _said(found)
    return dict(zip(TITLES, [*said, _architectures(method, version), layers], strict=True))


def _said(found: Capabilities) -> list[str]:
    return [
        "nothing to merge" if found.merges is None else _where(found.merges),
        _inference(found),
        "no peft adapter" if found.stock is None else _where(found.stock),
        "not tried" if found.quantised is None else "no" if found.quantised else "yes",
        "not by layer" if found.layers is None else ", ".join(found.layers) or "none of these",
    ]


def _where(known: Mapping[str, bool]) -> str:
    if len(set(known.values())) == 1:
        return "yes" if all(known.values()) else "no"
    return f"on {', '.join(name for name, true in known.items() if true)} only"


def _inference(found: Capabilities) -> str:
    for what, ratios in (("operators", found.operators), ("FLOPs", found.flops)):
        mean = math.exp(math.fsum(map(math.log, ratios.values())) / len(ratios))
        if mean > 1.0005:
            return f"{100 * (mean - 1):.{0 if mean > 1.01 else 1}f}% more {what}"
    return NOT_SLOWED


def _architectures(method: str, peft: str) -> str:
    found = matrix(peft)
    if found is None or method not in found.failures:
        return UNKNOWN
    runs = len(found.architectures) - len(found.failures[method])
    return f"{'all' if runs == len(found.architectures) else runs} of {len(found.architectures)}"
