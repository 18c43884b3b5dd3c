"""Records and predictions as typed tables, and back.

A record's row has a column for each single value, named by its path in the record with `_` between the names
(`quality_test_accuracy`), and in `record` the whole document, from which the record is read back.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import UsageError
from bench.store.predictions import LOGP, as_parquet
from bench.store.record import Part, Record, dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

DOCUMENT = "record"
_ROW_GROUP = 100_000
_NAMES = ("text_hash", "document", "category", "style", "prediction")
_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
    list[str]: pa.list_(pa.string()),
    dict[str, Any]: pa.string(),
}
PREDICTIONS = pa.schema(
    [
        ("uid", pa.string()),
        ("passage", pa.int32()),
        *((name, pa.string()) for name in _NAMES),
        ("logp", pa.list_(pa.float32())),
    ]
)
"""A row for each run and test passage, in the split's order: `passage` counts from 0; `logp` is the natural logarithm
of each style's probability, in the order of the record's styles."""


def records(found: Iterable[Record]) -> pa.Table:
    """Return the records, a row each; hyperparameters are JSON, as each method has its own."""
    columns = dict(_columns(Record))
    rows = []
    for record in found:
        document = record.model_dump(mode="json", by_alias=True)
        row = {"_".join(path): _cell(_at(document, path)) for path in columns}
        rows.append({**row, DOCUMENT: dumps(record)})
    types = [("_".join(path), type_) for path, type_ in columns.items()]
    return pa.Table.from_pylist(rows, schema=pa.schema([*types, (DOCUMENT, pa.string())]))


def _columns(part: type[Part], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], pa.DataType]]:
    """Yield the path and the type of each single value; what there are several of, as epochs, has no column."""
    for name, field in part.model_fields.items():
        path = (*above, field.serialization_alias or name)
        kinds = get_args(field.annotation)
        kind = next(kind for kind in kinds if kind is not NoneType) if NoneType in kinds else field.annotation
        if isinstance(kind, type) and issubclass(kind, Part):
            yield from _columns(kind, path)
        elif get_origin(kind) is Literal:
            yield path, pa.string()
        elif kind in _TYPES and path != ("checksum",):
            yield path, _TYPES[kind]


def _at(document: Any, path: Sequence[str]) -> Any:  # noqa: ANN401
    for name in path:
        document = None if document is None else document[name]
    return document


def _cell(value: Any) -> Any:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def predictions(uid: str, content: bytes, styles: Sequence[str], *, number_documents: bool = False) -> pa.Table:
    """Return a run's predictions, which a store keeps as parquet, in the columns of PREDICTIONS and no others.

    `number_documents` gives documents numbers for their names. Raises OSError and pyarrow.ArrowException where it is
    no such table.
    """
    found = pq.read_table(pa.BufferReader(content))
    rows, there = found.num_rows, set(found.column_names)
    columns = {"uid": pa.repeat(uid, rows), "passage": pa.array(np.arange(rows, dtype=np.int32))}
    for name in _NAMES:
        columns[name] = found.column(name).cast(pa.string()) if name in there else pa.nulls(rows, pa.string())
    if number_documents and "document" in there:
        columns["document"] = _numbered(columns["document"])
    names = [f"{LOGP}{style}" for style in styles]
    columns["logp"] = pa.nulls(rows, PREDICTIONS.field("logp").type)
    if names and there.issuperset(names):
        values = np.stack([found.column(name).to_numpy() for name in names], axis=1).astype(np.float32)
        columns["logp"] = pa.FixedSizeListArray.from_arrays(values.ravel(), len(names))
    return pa.table(columns).cast(PREDICTIONS)


def _numbered(documents: pa.ChunkedArray) -> pa.ChunkedArray:
    """Number documents from 1 in the order in which they occur."""
    places = pc.index_in(documents, value_set=pc.unique(documents.drop_null()))
    return pc.add(places, 1).cast(pa.string())


def write_predictions(path: Path, runs: Iterable[pa.Table]) -> None:
    """Write the tables of `predictions` one after the other, many in a row group: what is of the passages is the same
    in all of them, and takes space once a group."""
    encodings: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": [name for name in PREDICTIONS.names if name != "logp"],
        "use_byte_stream_split": ["logp.list.element"],
        "write_page_checksum": True,
    }
    with pq.ParquetWriter(path, PREDICTIONS, **encodings) as file:
        group: list[pa.Table] = []
        for run in runs:
            group.append(run)
            if sum(map(len, group)) >= _ROW_GROUP:
                file.write_table(pa.concat_tables(group))
                group = []
        if group:
            file.write_table(pa.concat_tables(group))


def kept(table: pa.Table, styles: Sequence[str]) -> bytes:
    """Return a run's predictions as a store keeps them: parquet with a column `logp:<style>` for each style."""
    columns = {name: table.column(name) for name in _NAMES}
    logp = table.column("logp").combine_chunks()
    if not logp.null_count:
        values = logp.flatten().to_numpy().reshape(len(logp), len(styles))
        columns |= {f"{LOGP}{style}": pa.array(values[:, place]) for place, style in enumerate(styles)}
    return as_parquet(pa.table(columns))


def by_run(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """Yield each run's uid and rows of a table of predictions, whose runs follow one after the other.

    Raises OSError and pyarrow.ArrowException where it is damaged or no such table.
    """
    parts: list[pa.Table] = []
    uid: str | None = None
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=PREDICTIONS.names).cast(PREDICTIONS)
            for found in pc.unique(rows.column("uid")).to_pylist():
                if found != uid and uid is not None:
                    yield uid, pa.concat_tables(parts)
                    parts = []
                uid = found
                parts.append(rows.filter(pc.equal(rows.column("uid"), found)))
    if uid is not None:
        yield uid, pa.concat_tables(parts)


def accuracy(table: pa.Table) -> float:
    """Return the share of a run's rows whose prediction is right; NaN without rows."""
    right = pc.mean(pc.equal(table.column("style"), table.column("prediction"))).as_py()
    return math.nan if right is None else float(right)


def documents(path: Path) -> dict[str, str]:
    """Return the documents of a table of records, by uid. All of it is checked. Raises as `by_run` does."""
    found = pq.read_table(path, page_checksum_verification=True)
    return dict(zip(*(found.column(name).to_pylist() for name in ("uid", DOCUMENT)), strict=True))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell a person within, by a UsageError, that a published table is damaged, or isn't there."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path} can't be read: {str(error).splitlines()[0]}; publish it, or fetch it, again"
        ) from error
