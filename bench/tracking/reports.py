"""What a tracker is told of a run: single values by their place in the record.

No paths, no command, nothing that an error said, as it may quote a text.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.sharing.redaction import outward

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.job import Job
    from bench.store.record import Epoch, Record

Value = str | int | float | bool

_FIGURES = ("parameters", "quality", "speed", "memory", "compute", "forgetting")
"""The parts of a record whose numbers a run found out."""
_LEFT_OUT: dict[str, Any] = {
    "checksum": True,
    "quality": {"epochs": True, "test": {"per_category", "per_style"}},
    "search": {"epochs"},
    "data": {"styles", "categories", "notes"},
    "environment": {"command"},
}
"""Epochs are told by themselves; of the rest there are as many as there are labels, or it has paths."""


@dataclass(frozen=True)
class Run:
    """A run as trackers know it. One that goes again is another run to them: `id` has the time when it began.

    `group` is its texts and backbone. `parameters` are what is known of it before it begins.
    """

    id: str
    name: str
    group: str
    trial: bool
    parameters: dict[str, Value]


def begun(job: Job) -> Run:
    """Return the run that begins now."""
    spec = job.spec
    known = {
        "uid": spec.uid,
        "method": spec.variant.method,
        "hyperparameters": spec.variant.hyperparameters,
        "seed": spec.seed,
        "preset": spec.preset,
        "backbone": spec.backbone.model_dump(exclude={"folder"}),
        "data": spec.data.model_dump(),
        "training": spec.training.model_dump(),
        "search": spec.search and spec.search.model_dump(),
    }
    return Run(
        id=f"{spec.uid}-{time.time_ns() // 10**6}",
        name=spec.label,
        group=f"{spec.data.name} · {spec.backbone.name}",
        trial=spec.search is not None,
        parameters=dict(_flat(known)),
    )


def validated(epoch: Epoch) -> dict[str, float]:
    """Return an epoch's figures."""
    return epoch.model_dump(exclude={"epoch"}, exclude_none=True)


def epochs(record: Record) -> list[Epoch]:
    """Return the epochs of a run, or a trial, that has a result."""
    if record.search is not None:
        return record.search.epochs or []
    return record.quality.epochs if record.quality is not None else []


def found_out(record: Record, known: Mapping[str, Value]) -> tuple[dict[str, float], dict[str, Value]]:
    """Return the record's figures, and what else it tells beside the parameters that are `known`."""
    document = outward(record).model_dump(mode="json", by_alias=True, exclude=_LEFT_OUT)
    figures, facts = {"wall_s": record.wall_s}, {}
    for place, value in _flat(document):
        if place.partition("/")[0] in _FIGURES and not isinstance(value, str):
            figures[place] = float(value)
        elif place not in known and place not in figures:
            facts[place] = value
    if record.forgetting is not None:
        figures["forgetting/nats"] = record.forgetting.nats
    return figures, facts


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Value]]:
    """Yield each value that there is with its place, `/` between the names; of a list, its items in one line."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}/")
        elif value not in (None, "", []):
            yield f"{above}{name}", ", ".join(map(str, value)) if isinstance(value, list) else value
