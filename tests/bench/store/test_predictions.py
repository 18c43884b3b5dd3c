"""What a store keeps of a run's predictions takes little space and comes back as it was."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.store.predictions import LOGP, as_parquet

STYLES = ("ann", "J. R. (the elder)", "logp")
EXAMPLES = 2_000


def _table() -> pa.Table:
    logits = np.random.default_rng(0).normal(0, 3, (EXAMPLES, len(STYLES))).astype(np.float32)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    predicted = [STYLES[place] for place in logp.argmax(axis=1)]
    return pa.table({"prediction": predicted, **{f"{LOGP}{style}": logp[:, i] for i, style in enumerate(STYLES)}})


def test_it_comes_back_whatever_a_style_is_called() -> None:
    assert pq.read_table(io.BytesIO(as_parquet(_table()))).equals(_table())


def test_logarithms_take_less_space_than_as_they_are() -> None:
    file = io.BytesIO()
    pq.write_table(_table(), file, compression="zstd")
    assert len(as_parquet(_table())) < 0.85 * len(file.getvalue())
