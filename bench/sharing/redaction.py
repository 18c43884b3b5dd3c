"""What of a record leaves the machine."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.store.record import Backbone, Data, Environment, Record


def outward(record: Record) -> Record:
    """Return the record as it is shown to others: of errors only their type, as what they say may quote a text.

    It is the same for a record that was shown already.
    """
    changes: dict[str, Any] = {"notes": [_without_message(note) for note in record.notes], "checksum": None}
    if record.error is not None:
        changes["error"] = record.error.model_copy(update={"message": "", "last_lines": []})
    return record.model_copy(update=changes)


def anonymous(record: Record) -> Record:
    """Return the record that others see, without machine, paths, and names that a person chose for files or folders.

    Machines are told apart by a few hex digits, so that speeds of two are never averaged.
    """
    shown = outward(record)
    changes = {
        "environment": _environment(shown.environment),
        "backbone": _backbone(shown.backbone),
        "data": _data(shown.data),
        "training": shown.training.model_copy(update={"gpu": None}),
    }
    return shown.model_copy(update=changes)


def _without_message(note: str) -> str:
    """Shorten `FIGURE is null: TYPE: MESSAGE`; other notes are the harness's own words."""
    figure, null, error = note.partition(" is null: ")
    return figure + null + error.partition(":")[0]


def _environment(found: Environment) -> Environment:
    return found.model_copy(
        update={
            "platform": found.platform.partition(" ")[0].partition("-")[0],
            "cpu": f"machine {_digits(found.cpu, found.gpu, found.platform)}",
            "gpu": None,
            "gpu_memory_bytes": None,
            "gpus": None,
            "driver": None,
            "git_commit": None,
            "git_dirty": None,
            "command": "python -m bench tune" if " tune" in found.command[:20] else "python -m bench run",
        }
    )


def _backbone(found: Backbone) -> Backbone:
    own = found.source in ("local", "random")
    return found.model_copy(update={"name": f"local model {found.revision[:8]}"}) if own else found


def _data(found: Data) -> Data:
    own = found.source == "local"
    return found.model_copy(update={"name": f"local texts {found.fingerprint[:8]}"}) if own else found


def _digits(*facts: str | None) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:6]
