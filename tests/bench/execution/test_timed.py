"""A run that was timed by itself gives its record speed and memory, and says where it didn't repeat the first one."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
from record_factory import lora, make_record, predictions_parquet

from bench.execution.timed import timed
from bench.job import Outcome

LORA = lora(8, 0.43)
FIRST = predictions_parquet(LORA, 0)


def _changed(**columns: Any) -> bytes:
    """The first run's predictions with other first values in these columns."""
    table = pd.read_parquet(io.BytesIO(FIRST))
    for name, value in columns.items():
        table.loc[0, name.replace("logp_", "logp:")] = value
    return table.to_parquet(index=False)


def _notes(again: bytes, threads: int, device: str = "cpu", *notes: str) -> list[str]:
    """The notes of a record of two threads that had one note of each kind."""
    before = make_record(
        LORA, 0, {"training.device": device, "notes": ["compute is null: a", "speed.matmul_share is null: b"]}
    )
    assert before.speed is not None
    assert before.memory is not None
    assert before.parameters is not None
    speed = before.speed.model_copy(update={"threads": threads, "load_s": 7.0})
    memory = before.memory.model_copy(update={"peak_bytes": 7})
    outcome = Outcome(
        backbone_parameters=1,
        steps=1,
        padding_share=None,
        feature_cache=False,
        laid_out=0,
        float32_matmul="highest",
        resolved={},
        parameters=before.parameters,
        quality=before.quality,
        speed=speed,
        memory=memory,
        compute=None,
        notes=notes,
    )
    after = timed(before, FIRST, outcome, again)
    changed = {"speed": speed, "memory": memory, "notes": after.notes}
    assert after == before.model_copy(update=changed)
    assert after.notes[0] == "compute is null: a"
    return after.notes[1:]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_one_that_repeats_the_first_has_nothing_to_note(threads: int, device: str) -> None:
    assert _notes(FIRST, threads, device) == []


def test_another_prediction_is_noted_and_with_which_threads() -> None:
    style = pd.read_parquet(io.BytesIO(FIRST)).loc[0, "prediction"]
    again = _changed(prediction="Twain" if style != "Twain" else "Poe")
    for device in ("cpu", "cuda"):
        assert _notes(again, 1, device) == [
            "timed again with 1 thread in place of 2, it predicted 1 of 700 test passages otherwise"
        ]
        assert _notes(again, 2, device) == [
            "timed again with the same threads, it predicted 1 of 700 test passages otherwise"
        ]


def test_other_probabilities_are_noted_where_they_should_be_the_same() -> None:
    again = _changed(logp_Twain=-9.0)
    assert _notes(again, 2) == [
        "timed again with the same threads, it predicted 0 of 700 test passages otherwise, but with other probabilities"
    ]
    assert _notes(again, 1) == []
    assert _notes(again, 2, "cuda") == []


def test_notes_on_figures_go_with_the_figures() -> None:
    said = ("compute is null: c", "speed.eval_merged_tokens_per_s is null: d")
    assert _notes(FIRST, 2, "cpu", *said) == ["speed.eval_merged_tokens_per_s is null: d"]
