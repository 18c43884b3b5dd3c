"""What was understood of a data set, as tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from bench.data.frames import PAIR
from bench.data.overview import QUANTILES
from bench.labels import label_noun
from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.reporting.text import count, told_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bench.data import Corpus
    from bench.data.frames import Split

LABELS_SHOWN = 20
ROWS_SHOWN = 3


def labels(corpus: Corpus) -> Table:
    """How many passages of each label every split has; of many labels, the last together."""
    noun, written = label_noun(corpus.label), told_apart(corpus.styles)
    counts = [Counter(rows["style"]) for rows in corpus.frames.values()]
    few, rest = corpus.styles[:LABELS_SHOWN], corpus.styles[LABELS_SHOWN:]
    rows = [Row((Cell(written[style]), *(Cell(found[style]) for found in counts))) for style in few]
    if rest:
        others = (Cell(sum(found[style] for style in rest)) for found in counts)
        rows.append(Row((Cell(f"{count(len(rest))} more {noun.many}"), *others)))
    rows.append(Row((Cell("all"), *(Cell(found.total()) for found in counts)), baseline=True))
    return Table((Column(noun.one.capitalize()), *(Column(split, Unit.COUNT) for split in corpus.frames)), tuple(rows))


def lengths(found: Mapping[Split, NDArray[np.int64]]) -> Table:
    """How long the texts of each split are, in tokens: the mean, some quantiles, the longest, and all together."""
    titles = ("mean", "median", *(f"{100 * quantile:.0f}%" for quantile in QUANTILES[1:]), "longest", "all")
    measured = {split: [n.mean(), *np.quantile(n, QUANTILES), n.max(), n.sum()] for split, n in found.items()}
    rows = (Row((Cell(split), *(Cell(round(float(value))) for value in values))) for split, values in measured.items())
    return Table((Column("Tokens"), *(Column(title, Unit.COUNT) for title in titles)), tuple(rows))


def first_rows(corpus: Corpus) -> Table:
    """The first rows of train."""
    train = corpus.frames["train"].head(ROWS_SHOWN)
    columns = [name for name in ("text", PAIR, "category") if name in train and train[name].notna().all()]
    titles = {"category": corpus.group or "", "text": "text", PAIR: "second text"}
    cells = train[["style", *columns]].itertuples(index=False)
    heads = (Column(label_noun(corpus.label).one.capitalize()), *(Column(titles[name]) for name in columns))
    return Table(heads, tuple(Row(tuple(map(Cell, row))) for row in cells))
