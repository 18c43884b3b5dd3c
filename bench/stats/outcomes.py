"""What each run predicted for each test example, read from the tables beside the records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.store import baseline
from bench.store.record import RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from bench.stats.summaries import Summary
    from bench.store.record import Data, Record

_STYLES = ["style", "prediction"]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A summary's predictions for the test examples, in the split's order, one row a seed.

    `labels` [examples] and `predictions` [seeds, examples] are places in `styles`; `documents` [examples] numbers the
    document that each example is from, None where the splits don't know that of every example.
    """

    seeds: tuple[int, ...]
    styles: tuple[str, ...]
    labels: NDArray[Any]
    predictions: NDArray[Any]
    documents: NDArray[Any] | None

    @cached_property
    def right(self) -> NDArray[Any]:
        """Which examples are classified right, booleans [seeds, examples]."""
        return np.asarray(self.predictions == self.labels)

    @cached_property
    def confusions(self) -> NDArray[Any]:
        """How often each style (row) was named as each (column), over all seeds, counts [styles, styles]."""
        styles = len(self.styles)
        pairs = styles * self.labels + self.predictions
        return np.bincount(pairs.ravel(), minlength=styles * styles).reshape(styles, styles)


class _Unreadable(Exception):
    """Why a run's predictions can't be used, in words."""


@dataclass(frozen=True, eq=False)
class _Table:
    labels: NDArray[Any]
    predictions: NDArray[Any]
    documents: NDArray[Any] | None


def read(summaries: Sequence[Summary], folder: Path) -> tuple[tuple[Outcomes | None, ...], tuple[str, ...]]:
    """Read the predictions of a comparison's summaries from the store in `folder`.

    Returns each summary's outcomes, None where no run's predictions can be read, and in words whose couldn't and why.
    Runs of one comparison share the splits, so predictions for other examples than the first's aren't used.
    """
    missing: list[str] = []
    tables: dict[str, _Table] = {}
    runs = [run for summary in summaries for run in summary.runs]
    first: _Table | None = None
    for run in runs:
        try:
            table = _read(run, folder)
            first = first or table
            if not np.array_equal(table.labels, first.labels):
                raise _Unreadable("they are for other examples than those of the runs before")
        except _Unreadable as error:
            missing.append(f"{run.method}, seed {run.seed} ({_name(run)}): {error}")
        else:
            tables[run.uid] = table
    return tuple(_outcomes(summary, tables) for summary in summaries), tuple(missing)


def read_baseline(data: Data, folder: Path, labels: NDArray[Any]) -> tuple[Outcomes | None, str | None]:
    """Read the predictions of the baseline of these splits likewise, as of one seed, or say in words why it can't be.

    `labels` [examples] are those of the runs' predictions.
    """
    try:
        kept = baseline.find(folder, data.fingerprint)
        if kept is None:
            raise _Unreadable("the file isn't there")
        table = _table(kept.predictions, data)
        if not np.array_equal(table.labels, labels):
            raise _Unreadable("they are for other examples than those of the runs")
    except (RecordError, _Unreadable) as error:
        return None, f"baseline ({baseline.path(folder, data.fingerprint).name}): {error}"
    return Outcomes((0,), tuple(data.styles), table.labels, table.predictions[None], table.documents), None


def _outcomes(summary: Summary, tables: Mapping[str, _Table]) -> Outcomes | None:
    runs = [run for run in summary.runs if run.uid in tables]
    if not runs:
        return None
    first = tables[runs[0].uid]
    return Outcomes(
        seeds=tuple(run.seed for run in runs),
        styles=tuple(runs[0].data.styles),
        labels=first.labels,
        predictions=np.stack([tables[run.uid].predictions for run in runs]),
        documents=first.documents,
    )


def _name(run: Record) -> str:
    return Path(run.quality.predictions).name if run.quality else ""


def _read(run: Record, folder: Path) -> _Table:
    """Read a run's predictions."""
    try:
        content = (folder / _name(run)).read_bytes()
    except OSError as error:
        raise _Unreadable(f"the file can't be read: {error.strerror}") from error
    if run.quality and run.quality.predictions_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise _Unreadable("the file was changed or damaged")
    return _table(content, run.data)


def _table(content: bytes, data: Data) -> _Table:
    """Read the columns that are needed of a table of predictions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=_STYLES)  # few names, many examples
        table = file.read(columns=[*_STYLES, "document"], use_threads=False)
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    except (pa.ArrowException, OSError) as error:
        raise _Unreadable(f"not a table of predictions: {str(error).splitlines()[0]}") from error
    except KeyError as error:
        raise _Unreadable("there is no column of styles or of predictions") from error
    if table.num_rows != data.sizes.test:
        raise _Unreadable(f"not a style and a prediction for each of {data.sizes.test} test examples")
    places = {style: place for place, style in enumerate(data.styles)}
    return _Table(
        labels=_places(columns["style"], places),
        predictions=_places(columns["prediction"], places),
        documents=_documents(columns.get("document")),
    )


def _places(column: pa.Array, places: Mapping[str, int]) -> NDArray[Any]:
    if column.null_count:
        raise _Unreadable("some are empty")
    encoded = column.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    unknown = next((name for name in names if name not in places), None)
    if unknown is not None:
        raise _Unreadable(f"they name {unknown!r}, which is no style")
    return np.asarray(np.array([places[name] for name in names], dtype=int)[encoded.indices.to_numpy()])


def _documents(column: pa.Array | None) -> NDArray[Any] | None:
    """Number the documents; None where there is no such column or it has gaps."""
    return None if column is None or column.null_count else np.asarray(column.dictionary_encode().indices.to_numpy())
