"""The baseline that costs next to nothing: logistic regression on character n-grams.

Whoever compares adapters wants to know whether any of them beats it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bench.data.frames import PAIR
from bench.store.baseline import Kept
from bench.store.record import Baseline
from bench.training.metrics import log_probabilities, scores
from bench.training.predictions import predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bench.data import Corpus

GRID = (1.0, 10.0, 100.0)
"""The values of C that are tried, ascending."""

_FEATURES, _WEIGHTS = 100_000, 10_000_000
"""The most frequent n-grams are taken, fewer where there are many styles, each of which has a weight for every one."""
_PORTION = 1_000
"""So many texts are in memory as n-grams when they are classified."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The classifier that did best on validation, its labels places in the corpus's styles, and the seconds it took."""

    vectorizer: TfidfVectorizer
    classifier: LogisticRegression
    seconds: float

    def logits(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return logits [texts, styles]."""
        return np.concatenate(
            [_logits(self.classifier, self.vectorizer.transform(portion)) for portion in _portions(texts)]
        )


def fit(corpus: Corpus) -> Fitted:
    """Fit to the whole train split; C is the one with the highest validation accuracy, the smallest of equals.

    N-grams of 2 to 5 characters within words, in the case in which they stand, that occur in two train passages at
    least. newton-cg needs a fifth of lbfgs's time here, and has no memory of earlier steps.
    """
    begin = time.perf_counter()
    train, validation = corpus.frames["train"], corpus.frames["validation"]
    vectorizer = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 5),
        lowercase=False,
        sublinear_tf=True,
        min_df=2,
        max_features=min(_FEATURES, max(1, _WEIGHTS // len(corpus.styles))),
        dtype=np.float32,
    )
    features, labels = vectorizer.fit_transform(_texts(train)), _labels(corpus, train)
    tried = [LogisticRegression(C=c, solver="newton-cg").fit(features, labels) for c in GRID]
    right, done = np.zeros(len(tried), dtype=int), 0
    for portion in _portions(_texts(validation)):
        expected = _labels(corpus, validation)[done : done + len(portion)]
        found = vectorizer.transform(portion)
        right += [int((_logits(one, found).argmax(axis=1) == expected).sum()) for one in tried]
        done += len(portion)
    return Fitted(vectorizer, tried[int(right.argmax())], time.perf_counter() - begin)


def compute(corpus: Corpus, examples: pd.DataFrame, scratch: Path) -> Kept:
    """Fit to the train split and score on the test split, whose `examples` are as a study tells its runs of them."""
    fitted = fit(corpus)
    test = corpus.frames["test"]
    logits = fitted.logits(_texts(test))
    labels, categories = _labels(corpus, test), test["category"].tolist()
    scored = scores(logits, labels, corpus.styles, categories, scratch, _labels(corpus, corpus.frames["train"]))
    figures = Baseline(
        accuracy=scored.accuracy,
        macro_f1=scored.macro_f1,
        C=fitted.classifier.C,
        passages=len(corpus.frames["train"]),
        fit_s=fitted.seconds,
    )
    return Kept(figures, predictions(examples, corpus.styles, log_probabilities(logits)))


def _texts(rows: pd.DataFrame) -> list[str]:
    """Each row's text; of a pair, the two in two lines."""
    texts: list[str] = rows["text"].tolist()
    return [f"{text}\n{pair}" for text, pair in zip(texts, rows[PAIR], strict=True)] if PAIR in rows else texts


def _labels(corpus: Corpus, rows: pd.DataFrame) -> NDArray[np.int64]:
    places = {style: place for place, style in enumerate(corpus.styles)}
    return np.array([places[style] for style in rows["style"]], dtype=np.int64)


def _logits(classifier: LogisticRegression, features: Any) -> NDArray[Any]:  # noqa: ANN401
    """Logits [texts, styles] of features [texts, n-grams]; of two styles scikit-learn tells only the odds."""
    found = np.asarray(classifier.decision_function(features))
    return found if found.ndim == 2 else np.stack([np.zeros_like(found), found], axis=1)


def _portions(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + _PORTION] for start in range(0, len(texts), _PORTION)]
