"""What a store keeps of a run's predictions: a Parquet table, a row a test example."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

LOGP = "logp:"
"""`logp:<style>` is the column of the natural logarithm of that style's probability."""


def as_parquet(table: pa.Table) -> bytes:
    """Return the table as Parquet, small: logarithms are split by byte, since their first bytes are alike."""
    logarithms = [name for name in table.column_names if name.startswith(LOGP)]
    names = [name for name in table.column_names if not name.startswith(LOGP)]
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", use_dictionary=names, use_byte_stream_split=logarithms)
    return file.getvalue()
