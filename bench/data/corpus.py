"""Texts with their styles and categories, in three splits: what every run of a study shares."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.data.frames import PAIR, SPLITS, strings, subset, text_keys
from bench.data.splitting import split_by_hash
from bench.errors import UsageError
from bench.labels import Noun, group_noun, label_noun, lookalikes
from methods import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

from bench.data.frames import Split

Source = Literal["hub", "local", "embedded"]

_NAMED = 12
"""So many names a note tells."""
_LONGEST = 80
"""So many characters of each."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Corpus:
    """The three splits as frames with the columns text, style (the label), category (the group) and document.

    A further column `pair` has the second text where texts are pairs; category is None throughout where the data has no
    groups. `revision` is a commit on the Hub, else None; `said` is what was noted when the splits were made. `label`
    and `group` are what the data calls the two, `class_names` the order of the labels where the data has one, and
    `understood` tells in one line how the data was read. `drawn_from` is the fingerprint of the splits that train was
    drawn from, None where it is whole.
    """

    name: str
    source: Source
    revision: str | None
    frames: dict[Split, pd.DataFrame]
    said: tuple[str, ...] = ()
    label: str = "style"
    group: str | None = "category"
    class_names: tuple[str, ...] | None = None
    understood: str | None = None
    drawn_from: str | None = None

    @cached_property
    def styles(self) -> tuple[str, ...]:
        """The labels in the order of the class names, else by value where all are numbers, else by name.

        A style's position is its index in the model's output.
        """
        there = set(self.frames["train"]["style"])
        if self.class_names is not None:
            return tuple(name for name in self.class_names if name in there)
        return in_order(there)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Sorted names of the categories in any split; empty where the data has no groups."""
        return tuple(sorted({name for rows in self.frames.values() for name in rows["category"]} - {None}))

    @cached_property
    def duplicates(self) -> int:
        """How many different texts stand in more than one split."""
        _, counts = np.unique(np.concatenate([np.unique(keys) for keys in self._keys.values()]), return_counts=True)
        return int((counts > 1).sum())

    @cached_property
    def repeated(self) -> dict[Split, int]:
        """How many passages of each split have a text that stands earlier in the same split."""
        return {split: len(keys) - len(np.unique(keys)) for split, keys in self._keys.items()}

    @cached_property
    def _keys(self) -> dict[Split, NDArray[np.uint64]]:
        return {split: text_keys(rows) for split, rows in self.frames.items()}

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before trusting the figures, in whole sentences; often nothing."""
        missing = ((split, set(self.styles) - set(self.frames[split]["style"])) for split in SPLITS[1:])
        return (
            *self.said,
            *(_lacking(split, styles, len(self.styles), self._labels) for split, styles in missing if styles),
            *_alike(self._labels.one, self.styles),
            *_alike(group_noun(self.group).one, self.categories),
        )

    @property
    def _labels(self) -> Noun:
        return label_noun(self.label)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every passage's split, text, style and category, in order; and the labels' order, if it isn't
        that of their names."""
        digest = hashlib.sha256()
        for split in SPLITS:
            rows = self.frames[split]
            columns = [name for name in ("text", PAIR, "style", "category") if name in rows]
            for row in zip(*(strings(rows[name]) for name in columns), strict=True):
                digest.update(json.dumps([split, *row]).encode() + b"\n")
        if list(self.styles) != sorted(self.styles):
            digest.update(json.dumps(self.styles).encode() + b"\n")
        return digest.hexdigest()

    def select(
        self, categories: Sequence[str] | None = None, train_size: int | None = None, sample: int | None = None
    ) -> Corpus:
        """Keep some categories, and of the train passages `train_size`, each style keeping its share (at least one).

        Of all passages `sample` are kept before that, each split and each style in it keeping its share. Which passages
        stay is decided by their hashes: the same on every machine and for every seed, and a smaller `train_size` keeps
        a part of what a larger one does. Categories without validation passages get a tenth of their train passages as
        such, which is noted.
        Raises UsageError for an unknown category, for what leaves fewer than two styles, and for an impossible size.
        """
        chosen = self if categories is None else self._of(categories)
        if sample is not None:
            chosen = chosen._sampled(sample)
        return chosen if train_size is None else chosen._smaller(train_size)

    def majority(self) -> tuple[str, float]:
        """Train's most frequent style (the first by name among equals) and the accuracy on test of always naming it."""
        counts = Counter(self.frames["train"]["style"])
        style = min(counts, key=lambda name: (-counts[name], name))
        return style, float((self.frames["test"]["style"] == style).mean())

    def _smaller(self, size: int) -> Corpus:
        rows = self.frames["train"]
        styles = rows["style"].nunique()
        if not styles <= size <= len(rows):
            raise UsageError(
                f"--train-size {size}: there are {len(rows)} train passages of {styles} {self._labels.many}; "
                f"take a number from {styles} to {len(rows)}"
            )
        if size == len(rows):
            return self
        frames = {**self.frames, "train": _stratified(rows, size)}
        return replace(self, frames=frames, drawn_from=self.drawn_from or self.fingerprint)

    def _sampled(self, size: int) -> Corpus:
        sizes = Counter({split: len(rows) for split, rows in self.frames.items()})
        if size >= sizes.total():
            return self
        styles = self.frames["train"]["style"].nunique()
        quotas = _quotas(sizes, size) if size >= len(sizes) else {}
        if quotas.get("train", 0) < styles:
            raise UsageError(
                f"--sample {size}: train would lack some of {styles} {self._labels.many}; take a larger one"
            )
        frames = {split: _stratified(rows, quotas[split]) for split, rows in self.frames.items()}
        said = f"A sample: {size:,} of {sizes.total():,} passages, each split and {self._labels.one} in its share."
        return replace(self, frames=frames, said=(*self.said, said))

    def _of(self, categories: Sequence[str]) -> Corpus:
        if not self.categories:
            raise UsageError(f"--category: {self.name} has no groups; --group names the column that has them")
        for name in categories:
            if name not in self.categories:
                raise UsageError(
                    f"no {group_noun(self.group).one} {name!r} in {self.name}{did_you_mean(name, self.categories)}; "
                    f"it has {', '.join(self.categories)}"
                )
        frames = {split: subset(rows, rows["category"].isin(categories)) for split, rows in self.frames.items()}
        chosen, group = ", ".join(categories), group_noun(self.group).one
        said = self.said
        if frames["validation"].empty:
            frames |= {**split_by_hash(frames["train"], ("validation",)), "test": frames["test"]}
            said += (f"No validation passages in the {group} {chosen}: a tenth of the train passages stand in.",)
        for split in SPLITS:
            if frames[split].empty:
                raise UsageError(f"{self.name} has no {split} passages in the {group} {chosen}; choose more of them")
        styles = sorted(set(frames["train"]["style"]))
        if len(styles) < 2:
            raise UsageError(
                f"in {self.name} the {group} {chosen} has one {self._labels.one} only ({styles[0]}); two are needed"
            )
        strange = sorted((set(frames["validation"]["style"]) | set(frames["test"]["style"])) - set(styles))
        if strange:
            raise UsageError(f"{self.name} has no train passages of {strange[0]!r} in the {group} {chosen}")
        return replace(self, frames=frames, said=said)


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Sort labels by value where all are numbers, else by name."""
    there = sorted(labels)
    if all(map(_NUMBER.fullmatch, there)):
        there.sort(key=Decimal)
    return tuple(there)


def fractions(labels: set[str]) -> set[str]:
    """The labels that aren't whole numbers, where all are numbers: these are no classes."""
    if not all(map(_NUMBER.fullmatch, labels)):
        return set()
    return {label for label in labels if Decimal(label) % 1}


def _lacking(split: Split, styles: set[str], of: int, labels: Noun) -> str:
    figures = "its accuracy and loss say" if split == "validation" else "the scores say"
    share = f"{len(styles)} of {of} {labels.many} ({_list(sorted(styles))})"
    return f"The {split} split has no passages of {share}: {figures} nothing about them."


def _alike(what: str, names: Iterable[str]) -> list[str]:
    return [
        f"{_list(group)} look alike but are {len(group)} names of a {what}; if one is meant, write it in one way."
        for group in lookalikes(names)
    ]


def _list(names: Sequence[str]) -> str:
    """Write names so that no two are the same to the eye; of many the first, of a long one its ends."""
    told = [name if len(name) <= _LONGEST else f"{name[:40]}…{name[-39:]}" for name in map(ascii, names[:_NAMED])]
    if len(names) > _NAMED:
        return f"{', '.join(told)} and {len(names) - _NAMED} more"
    return " and ".join(filter(None, (", ".join(told[:-1]), told[-1])))


def _stratified(rows: pd.DataFrame, size: int) -> pd.DataFrame:
    quotas = _quotas(Counter(rows["style"]), size)
    by_hash = np.argsort(text_keys(rows), kind="stable")
    ranks = rows["style"].iloc[by_hash].groupby(rows["style"]).cumcount().sort_index()
    return subset(rows, ranks < rows["style"].map(quotas))


def _quotas(counts: Counter[Any], size: int) -> dict[Any, int]:
    """Share `size` out in proportion to the counts, one for each before all, the largest first.

    By Webster's method (highest of count / (2·quota + 1) first): a larger `size` never takes anything away.
    """
    first = sorted(counts, key=lambda name: (-counts[name], name))[:size]
    claims = sorted((-count / (2 * quota + 1), name) for name, count in counts.items() for quota in range(1, count))
    won = Counter(name for _, name in claims[: size - len(first)])
    return {name: (name in first) + won[name] for name in counts}
