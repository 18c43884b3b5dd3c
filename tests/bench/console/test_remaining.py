"""How long a study still takes."""

from __future__ import annotations

from dataclasses import replace

from record_factory import DEMO, make_record
from watched import FROZEN, LORA, job_of

from bench.console import Remaining


def _left(remaining: Remaining) -> float:
    seconds = remaining.seconds()
    assert seconds is not None
    return seconds


def test_the_time_left_is_of_all_runs_and_of_those_that_are_timed_after_them() -> None:
    now = 0.0
    remaining = Remaining(6, {job_of(LORA).spec.variant_uid, job_of(FROZEN).spec.variant_uid}, lambda: now)
    seeds = [replace(job_of(LORA), spec=job_of(LORA).spec.model_copy(update={"seed": seed})) for seed in range(6)]
    took = make_record(DEMO[3], changes={"wall_s": 10.0, "speed.exclusive": False})
    for run in seeds[:2]:
        remaining.started(run)
    assert remaining.seconds() is None
    now = 10.0
    remaining.ended(seeds[0], took)
    # five of ten seconds each, two at once, one of which is as good as over; then two alone, each ten at the most
    assert _left(remaining) == (5 * 10 - 10) / 2 + 2 * 10
    remaining.ended(seeds[1], took)
    remaining.started(seeds[2])
    remaining.started(seeds[3])
    now = 14.0
    assert _left(remaining) == (4 * 10 - 2 * 4) / 2 + 2 * 10
    for run in seeds[2:]:
        remaining.ended(run, took)
    assert _left(remaining) == 2 * 10

    remaining.timing(2)
    remaining.started(seeds[0])
    now += 6
    assert _left(remaining) == 2 * 10 - 6
    remaining.timed(seeds[0])
    assert _left(remaining) == 6
    remaining.timed(job_of(FROZEN))  # nobody could
    assert _left(remaining) == 0


def test_nothing_is_timed_after_runs_that_were_alone() -> None:
    remaining = Remaining(3, {job_of(LORA).spec.variant_uid}, lambda: 0.0)
    remaining.started(job_of(LORA))
    remaining.ended(job_of(LORA), make_record(DEMO[3], changes={"wall_s": 10.0, "speed.exclusive": True}))
    assert _left(remaining) == 2 * 10
