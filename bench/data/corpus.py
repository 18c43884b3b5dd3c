"""Texts with their styles and categories, in three splits: what every run of a study shares."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import pandas as pd

from bench.errors import UsageError
from methods import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Split = Literal["train", "validation", "test"]
Source = Literal["hub", "local", "embedded"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
COLUMNS = ("text", "style", "category", "document")


def text_hash(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the text in UTF-8: a passage's name in predictions."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def frame(rows: Iterable[tuple[str, str, str, str | None]]) -> pd.DataFrame:
    """Rows of text, style, category and document (None where a text's work isn't known) as a frame."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS), dtype=object)


@dataclass(frozen=True, eq=False)
class Corpus:
    """The three splits as frames with the columns text, style, category and document.

    `revision` is a commit on the Hub, else None.
    """

    name: str
    source: Source
    revision: str | None
    frames: dict[Split, pd.DataFrame]

    @cached_property
    def styles(self) -> tuple[str, ...]:
        """Sorted; a style's position is its label."""
        return tuple(sorted(set(self.frames["train"]["style"])))

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Sorted names of the categories in any split."""
        return tuple(sorted({name for rows in self.frames.values() for name in rows["category"]}))

    @cached_property
    def duplicates(self) -> int:
        """How many different texts stand in more than one split."""
        splits = Counter(text for rows in self.frames.values() for text in set(rows["text"]))
        return sum(count > 1 for count in splits.values())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every passage's split, text, style and category, in order."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for row in self.frames[split][["text", "style", "category"]].itertuples(index=False):
                digest.update(json.dumps([split, *row]).encode() + b"\n")
        return digest.hexdigest()

    def select(self, categories: Sequence[str] | None = None, train_size: int | None = None) -> Corpus:
        """Keep some categories, and of the train passages `train_size`, each style keeping its share (at least one).

        Which passages stay is decided by their hashes: the same on every machine and for every seed.
        Raises UsageError for an unknown category, for what leaves fewer than two styles, and for an impossible size.
        """
        frames = self.frames if categories is None else self._of(categories)
        if train_size is not None:
            frames = {**frames, "train": _stratified(frames["train"], train_size)}
        return replace(self, frames=frames)

    def majority(self) -> tuple[str, float]:
        """Train's most frequent style (the first by name among equals) and the accuracy on test of always naming it."""
        counts = Counter(self.frames["train"]["style"])
        style = min(counts, key=lambda name: (-counts[name], name))
        return style, float((self.frames["test"]["style"] == style).mean())

    def _of(self, categories: Sequence[str]) -> dict[Split, pd.DataFrame]:
        for name in categories:
            if name not in self.categories:
                raise UsageError(
                    f"no category {name!r} in {self.name}{did_you_mean(name, self.categories)}; "
                    f"it has {', '.join(self.categories)}"
                )
        frames = {split: _subset(rows, rows["category"].isin(categories)) for split, rows in self.frames.items()}
        chosen = ", ".join(categories)
        for split in SPLITS:
            if frames[split].empty:
                raise UsageError(f"{self.name} has no {split} passages in the category {chosen}; choose more of them")
        styles = sorted(set(frames["train"]["style"]))
        if len(styles) < 2:
            raise UsageError(f"in {self.name} the category {chosen} has one style only ({styles[0]}); two are needed")
        strange = sorted((set(frames["validation"]["style"]) | set(frames["test"]["style"])) - set(styles))
        if strange:
            raise UsageError(f"{self.name} has no train passages of {strange[0]!r} in the category {chosen}")
        return frames


def finish(frames: dict[Split, pd.DataFrame]) -> dict[Split, pd.DataFrame]:
    """Give each style that has no validation passages a tenth of its train passages: those whose hashes come first."""
    train, validation = frames["train"], frames["validation"]
    lacking = sorted(set(train["style"]) - set(validation["style"]))
    moved = pd.Series(False, index=train.index)
    for style in lacking:
        own = train["style"] == style
        moved |= own & train["text"].isin(_tenth(train["text"][own]))
    return {
        **frames,
        "train": _subset(train, ~moved),
        "validation": pd.concat([validation, train[moved]], ignore_index=True),
    }


def split_by_hash(rows: pd.DataFrame) -> dict[Split, pd.DataFrame]:
    """Split 80/10/10 within each style, in the order of the texts' hashes; a text that occurs twice stays whole."""
    belongs = pd.Series("train", index=rows.index)
    for style in sorted(set(rows["style"])):
        own = rows["style"] == style
        test = _tenth(rows["text"][own])
        rest = own & ~rows["text"].isin(test)
        validation = _tenth(rows["text"][rest], of=int(rows["text"][own].nunique()))
        belongs[own & rows["text"].isin(test)] = "test"
        belongs[rest & rows["text"].isin(validation)] = "validation"
    return {split: _subset(rows, belongs == split) for split in SPLITS}


def _tenth(texts: Iterable[str], of: int | None = None) -> set[str]:
    """A tenth (of `of`, by default of how many there are) of the different texts, at least one, but never all."""
    ordered = sorted(set(texts), key=text_hash)
    tenth = max(1, ((of or len(ordered)) + 5) // 10)
    return set(ordered[: min(tenth, len(ordered) - 1)])


def _stratified(rows: pd.DataFrame, size: int) -> pd.DataFrame:
    counts = Counter(rows["style"])
    if not len(counts) <= size <= len(rows):
        raise UsageError(
            f"--train-size {size}: there are {len(rows)} train passages of {len(counts)} styles; "
            f"take a number from {len(counts)} to {len(rows)}"
        )
    quotas = _quotas(counts, size)
    by_hash = rows["text"].map(text_hash).sort_values(kind="stable").index
    ranks = rows["style"].loc[by_hash].groupby(rows["style"]).cumcount().sort_index()
    return _subset(rows, ranks < rows["style"].map(quotas))


def _quotas(counts: Counter[str], size: int) -> dict[str, int]:
    """Share `size` out in proportion to the counts, one for each style before all.

    By Webster's method (highest of count / (2·quota + 1) first): a larger `size` never takes a passage away.
    """
    claims = sorted((-count / (2 * quota + 1), style) for style, count in counts.items() for quota in range(1, count))
    won = Counter(style for _, style in claims[: size - len(counts)])
    return {style: 1 + won[style] for style in counts}


def _subset(rows: pd.DataFrame, which: pd.Series) -> pd.DataFrame:
    return rows[which].reset_index(drop=True)
