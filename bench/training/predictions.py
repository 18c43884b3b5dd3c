"""What was predicted for each test example, as the table that a store keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.store.predictions import LOGP, as_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def predictions(examples: pd.DataFrame, styles: Sequence[str], logp: NDArray[Any]) -> bytes:
    """Return a Parquet table with a row for each test example.

    It has the text's hash, document, category and style as in `examples`, the predicted style, and the natural
    logarithm of each style's probability, logp [examples, styles], in a column `logp:<style>`.
    """
    names = np.asarray(styles, dtype=object)
    rounded = logp.astype(np.float32)
    columns = {f"{LOGP}{style}": rounded[:, index] for index, style in enumerate(names)}
    found = pd.concat([examples.assign(prediction=names[logp.argmax(axis=1)]), pd.DataFrame(columns)], axis=1)
    return as_parquet(pa.Table.from_pandas(found, preserve_index=False))
