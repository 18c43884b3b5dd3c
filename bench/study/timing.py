"""Which runs are timed again by themselves: of each variant the first, where none had the machine to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.store.record import alone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.resume import Plan
    from bench.spec import RunSpec
    from bench.store.record import Record
    from bench.study.request import Request


def untimed(plan: Plan, request: Request) -> list[RunSpec]:
    """Return the runs that there are and have still to be timed by themselves."""
    return first_seeds(plan.runs, plan.known) if request.timing and request.rerun != "none" else []


def to_time(plan: Plan, request: Request) -> set[str]:
    """Return the variants, by uid, that are timed by themselves unless one of the runs to come is alone anyway."""
    if not request.timing:
        return set()
    todo = {spec.uid for spec in plan.todo}
    kept = {uid: record for uid, record in plan.known.items() if uid not in todo and record.speed is not None}
    timed = {spec.variant_uid for spec in plan.runs if spec.uid in kept and alone(kept[spec.uid])}
    return {spec.variant_uid for spec in plan.runs if spec.search is None} - timed


def first_seeds(runs: Sequence[RunSpec], records: Mapping[str, Record]) -> list[RunSpec]:
    """Of each variant on a task with results but none from a run that had the machine to itself, the first one's."""
    good = [spec for spec in runs if spec.search is None and spec.uid in records and records[spec.uid].status == "ok"]
    done = [(spec.variant, spec.backbone, spec.data) for spec in good if alone(records[spec.uid])]
    first: list[RunSpec] = []
    for spec in good:
        if (spec.variant, spec.backbone, spec.data) not in done:
            done.append((spec.variant, spec.backbone, spec.data))
            first.append(spec)
    return first
