"""What of a grid is still to be run, given the records that a store holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bench.spec import RunSpec
    from bench.store.record import Record, Status

Rerun = Literal["missing", "failed", "all", "none"]

_FAILED: frozenset[Status] = frozenset({"failed", "oom", "timeout"})
"""What may go better next time. A run that diverged would diverge again."""


@dataclass(frozen=True)
class Plan:
    """A grid, what of it is to be run, and the records that it has already, by uid."""

    runs: tuple[RunSpec, ...]
    todo: tuple[RunSpec, ...]
    known: dict[str, Record]

    def sentence(self) -> str | None:
        """Say in a line what is skipped and why; None where nothing is."""
        todo = {spec.uid for spec in self.todo}
        kept = [self.known[spec.uid] for spec in self.runs if spec.uid in self.known and spec.uid not in todo]
        if len(todo) == len(self.runs):
            return None
        have = (
            f"{len(kept)} of {len(self.runs)} runs have a record already ({_counts(record.status for record in kept)})"
        )
        if todo:
            return f"{have}; to do: {len(todo)} ({_counts(map(self._why, self.todo))}). --rerun all runs all again."
        return f"Nothing to run: {have}. --rerun all runs them again."

    def _why(self, spec: RunSpec) -> str:
        record = self.known.get(spec.uid)
        return "missing" if record is None else record.status


def plan(runs: Sequence[RunSpec], records: Iterable[Record], rerun: Rerun, adapters: Path | None) -> Plan:
    """Choose what to run. With `adapters`, an ok run whose adapter isn't in that folder is run again."""
    uids = {spec.uid for spec in runs}
    known = {record.uid: record for record in records if record.uid in uids}
    todo = [spec for spec in runs if _wanted(known.get(spec.uid), rerun, adapters)]
    return Plan(tuple(runs), tuple(todo), known)


def _wanted(record: Record | None, rerun: Rerun, adapters: Path | None) -> bool:
    if rerun in ("all", "none"):
        return rerun == "all"
    if record is None:
        return True
    if record.status == "ok":
        return adapters is not None and not (adapters / record.uid).is_dir()
    return rerun == "failed" and record.status in _FAILED


def _counts(names: Iterable[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(Counter(names).items())) or "none"
