from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from record_factory import STYLES, TEST_EXAMPLES, build_store, lora

from bench import stats

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.stats import Analysis
    from bench.store.record import Record

VARIANT = lora(8, 0.5)


def analysed(folder: Path, records: list[Record]) -> Analysis:
    [comparison] = stats.comparisons(records)
    return stats.analyse(comparison, folder)


def change(folder: Path, record: Record, how: Callable[[pd.DataFrame], Any]) -> None:
    path = folder / f"{record.uid}.parquet"
    how(pd.read_parquet(path)).to_parquet(path)


def test_predictions_are_read_in_the_order_of_the_examples(tmp_path: Path) -> None:
    records = build_store(tmp_path, [VARIANT], seeds=(2, 0))
    [found] = analysed(tmp_path, records).outcomes
    assert found is not None
    assert (found.seeds, found.styles) == ((0, 2), STYLES)
    for row, record in zip(found.predictions, reversed(records), strict=True):
        table = pd.read_parquet(tmp_path / f"{record.uid}.parquet")
        assert [STYLES[place] for place in row] == table["prediction"].tolist()
        assert [STYLES[place] for place in found.labels] == table["style"].tolist()
        assert found.documents is not None
        assert pd.Series(found.documents).groupby(table["document"]).nunique().eq(1).all()
        assert len(set(found.documents.tolist())) == table["document"].nunique()
    scores = [record.quality.test.accuracy for record in reversed(records) if record.quality]
    assert found.right.mean(axis=1).tolist() == pytest.approx(scores)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda table: table.head(9), f"not a style and a prediction for each of {TEST_EXAMPLES} test examples"),
        (lambda table: table[["style"]], "there is no column of styles or of predictions"),
        (lambda table: table.assign(prediction="Nobody"), "they name 'Nobody', which is no style"),
        (lambda table: table.assign(prediction=None), "some are empty"),
        (lambda table: table.assign(prediction=1.5), "they name 1.5, which is no style"),
        (lambda table: table[::-1], "they are for other examples than those of the runs before"),
    ],
)
def test_predictions_that_cant_be_used_are_told_and_the_others_count(
    tmp_path: Path, how: Callable[[pd.DataFrame], Any], said: str
) -> None:
    records = build_store(tmp_path, [VARIANT])
    change(tmp_path, records[2], how)
    found = analysed(tmp_path, records)
    [message] = found.missing
    assert message.startswith(f"lora, seed 2 ({records[2].uid}.parquet): {said}")
    assert found.outcomes[0] is not None
    assert found.outcomes[0].seeds == (0, 1)


def test_a_file_that_is_gone_or_no_parquet_is_told(tmp_path: Path) -> None:
    records = build_store(tmp_path, [VARIANT])
    (tmp_path / f"{records[0].uid}.parquet").unlink()
    (tmp_path / f"{records[1].uid}.parquet").write_bytes(b"PAR1 nothing")
    gone, torn = analysed(tmp_path, records).missing
    assert gone == f"lora, seed 0 ({records[0].uid}.parquet): the file can't be read: No such file or directory"
    assert torn.startswith(f"lora, seed 1 ({records[1].uid}.parquet): not a table of predictions")


def test_a_record_cant_point_out_of_its_store(tmp_path: Path) -> None:
    [record] = build_store(
        tmp_path / "store", [VARIANT], seeds=(0,), changes={"quality.predictions": "../away.parquet"}
    )
    (tmp_path / "store" / f"{record.uid}.parquet").rename(tmp_path / "away.parquet")
    assert analysed(tmp_path / "store", [record]).outcomes == (None,)


@pytest.mark.parametrize(
    "how",
    [
        lambda table: table.drop(columns="document"),
        lambda table: table.assign(document=None),
        lambda table: table.assign(document=[None, *table["document"][1:]]),
        lambda table: table.assign(document="one"),
    ],
    ids=["no column", "all empty", "one empty", "one document"],
)
def test_without_documents_each_example_stands_for_itself(tmp_path: Path, how: Callable[[pd.DataFrame], Any]) -> None:
    records = build_store(tmp_path, [VARIANT], seeds=(0,))
    assert analysed(tmp_path, records).documents
    change(tmp_path, records[0], how)
    found = analysed(tmp_path, records)
    assert found.missing == ()
    assert found.documents is None
    [interval] = found.accuracy
    assert interval is not None
    [accuracy] = [record.quality.test.accuracy for record in records if record.quality]
    expected = 1.9634 * (accuracy * (1 - accuracy) / (TEST_EXAMPLES - 1)) ** 0.5
    assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=1e-4)
