"""What a data set is like: how long its texts are, and how many tokens a study reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.data.frames import PAIR, SPLITS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.data.corpus import Corpus

QUANTILES = (0.5, 0.9, 0.99)
_MULTIPLE = 8
_SAMPLED = 1000


def suggested_length(lengths: NDArray[np.int64]) -> int:
    """Return a maximum length in tokens that cuts no more than one text in a hundred; `lengths` [n] are in tokens."""
    return _MULTIPLE * int(np.ceil(np.quantile(lengths, QUANTILES[-1]) / _MULTIPLE))


def tokens(corpus: Corpus, backbone: Path, max_length: int) -> dict[str, int] | None:
    """Estimate the tokens of each split, by up to a thousand texts of each, evenly spaced.

    `backbone` is the model's folder. None where its tokenizer isn't a tokenizer.json, which needs no transformers.
    """
    from tokenizers import Tokenizer

    path = backbone / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    found: dict[str, int] = {}
    for split in SPLITS:
        rows = corpus.frames[split]
        chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLED)).astype(int))]
        texts = list(zip(*(chosen[name] for name in ("text", PAIR) if name in rows), strict=True))
        encoded = tokenizer.encode_batch([text if len(text) > 1 else text[0] for text in texts])
        found[split] = round(len(rows) * float(np.mean([min(len(text.ids), max_length) for text in encoded])))
    return found
