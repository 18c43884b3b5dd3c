"""A store -> a folder of peft's configurations, one for each variant that peft has."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import methods
from bench.errors import UsageError
from bench.reporting import words
from bench.sharing import published
from bench.stats import comparisons, differing_hyperparameters
from bench.store.files import Store
from methods import MethodError, peft_config
from methods.adapters import METHOD_FILE
from methods.peft_config import CONFIG_FILE
from methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from bench.stats import Summary
    from bench.store.record import Record

Files = dict[str, dict[str, Any]]
"""The content of each file, by its name."""

LONGEST = 100
"""So many characters a folder's name has at most, which every file system takes."""


@dataclass(frozen=True)
class Exported:
    """How many variants were written, and which weren't and why: the method, the reason."""

    variants: int
    left_out: Mapping[str, str]
    unreadable: tuple[tuple[Path, str], ...]


def export(source: Path, target: Path) -> Exported:
    """Write a folder for each variant of peft's in the store, or the published folder, `source`.

    Of what a variant left to the layers, it has what the newest run used; where backbones differ in that, each has a
    folder. Raises UsageError where there is nothing to write, or `target` isn't empty.
    """
    if not source.is_dir():
        raise UsageError(f"{source}: there is no such store; `python -m bench run` leaves one in results/")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"--peft {target}: it is there and isn't an empty folder; name another")
    with published.as_store(source) as place:
        contents = Store(place).read()
    if not contents.records:
        raise UsageError(f"{source} holds no record to export")
    made, left_out = _folders(contents.records)
    if not made:
        raise UsageError(f"{source} has no variant of peft's: {', '.join(sorted(left_out))}")
    for name, files in made.items():
        (target / name).mkdir(parents=True)
        for file, content in files.items():
            (target / name / file).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return Exported(len(made), left_out, contents.unreadable)


def _folders(records: Iterable[Record]) -> tuple[dict[str, Files], dict[str, str]]:
    """Return the files of each folder by its name, and the methods that have none, with the reason."""
    summaries = [summary for found in comparisons(records) for summary in found.summaries]
    differing = differing_hyperparameters(summaries)
    made: dict[str, Files] = {}
    left_out: dict[str, str] = {}
    for summary in summaries:
        try:
            files = _files(summary)
        except MethodError as error:
            left_out[summary.method] = str(error)
            continue
        if all(files[METHOD_FILE] != other[METHOD_FILE] for other in made.values()):
            label = words.variant(summary, differing[summary.method])
            backbone = (summary.runs or summary.failed)[-1].backbone.name
            made[_free(made, label, f"{label} {backbone}")] = files
    return made, left_out


def _files(summary: Summary) -> Files:
    """Return the content of each file of a variant's folder. Raises MethodError for a variant that peft hasn't."""
    method = methods.get(summary.method)
    if not issubclass(method, PeftMethod) or not method.peft_type:
        raise MethodError("peft has no such method")
    run = max(summary.runs or summary.failed, key=lambda run: run.created_at)
    built, resolved = method(**run.hyperparameters), run.resolved or {}
    return {
        CONFIG_FILE: peft_config.write(built, resolved, run.training.steps),
        METHOD_FILE: peft_config.describe(built, resolved),
    }


def _free(taken: Collection[str], *labels: str) -> str:
    """Return the first label, as a folder may be called, that no other has; the last is numbered if all are taken."""
    names = [re.sub(r"[^\w.=+-]+", "_", label, flags=re.ASCII)[:LONGEST] for label in labels]
    names += [f"{names[-1]}_{number}" for number in range(2, len(taken) + 3)]
    lower = {name.lower() for name in taken}
    return next(name for name in names if name.lower() not in lower)
