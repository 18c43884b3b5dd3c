"""Texts with their styles and categories, in three splits: what every run of a study shares."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from bench.data.frames import SPLITS, subset, text_hash
from bench.data.splitting import split_by_hash
from bench.errors import UsageError
from bench.labels import lookalikes
from methods import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from bench.data.frames import Split

Source = Literal["hub", "local", "embedded"]

_NAMED = 12
"""So many names a note tells."""
_LONGEST = 80
"""So many characters of each."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """The three splits as frames with the columns text, style, category and document.

    `revision` is a commit on the Hub, else None; `said` is what was noted when the splits were made.
    """

    name: str
    source: Source
    revision: str | None
    frames: dict[Split, pd.DataFrame]
    said: tuple[str, ...] = ()

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
    def repeated(self) -> dict[Split, int]:
        """How many passages of each split have a text that stands earlier in the same split."""
        return {split: int(rows["text"].duplicated().sum()) for split, rows in self.frames.items()}

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before trusting the figures, in whole sentences; often nothing."""
        missing = ((split, set(self.styles) - set(self.frames[split]["style"])) for split in SPLITS[1:])
        return (
            *self.said,
            *(_lacking(split, styles, len(self.styles)) for split, styles in missing if styles),
            *_alike("style", self.styles),
            *_alike("category", self.categories),
        )

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
        Categories without validation passages get a tenth of their train passages as such, which is noted.
        Raises UsageError for an unknown category, for what leaves fewer than two styles, and for an impossible size.
        """
        chosen = self if categories is None else self._of(categories)
        if train_size is None:
            return chosen
        return replace(chosen, frames={**chosen.frames, "train": _stratified(chosen.frames["train"], train_size)})

    def majority(self) -> tuple[str, float]:
        """Train's most frequent style (the first by name among equals) and the accuracy on test of always naming it."""
        counts = Counter(self.frames["train"]["style"])
        style = min(counts, key=lambda name: (-counts[name], name))
        return style, float((self.frames["test"]["style"] == style).mean())

    def _of(self, categories: Sequence[str]) -> Corpus:
        for name in categories:
            if name not in self.categories:
                raise UsageError(
                    f"no category {name!r} in {self.name}{did_you_mean(name, self.categories)}; "
                    f"it has {', '.join(self.categories)}"
                )
        frames = {split: subset(rows, rows["category"].isin(categories)) for split, rows in self.frames.items()}
        chosen = ", ".join(categories)
        said = self.said
        if frames["validation"].empty:
            frames |= {**split_by_hash(frames["train"], ("validation",)), "test": frames["test"]}
            said += (f"No validation passages in the category {chosen}: a tenth of the train passages stand in.",)
        for split in SPLITS:
            if frames[split].empty:
                raise UsageError(f"{self.name} has no {split} passages in the category {chosen}; choose more of them")
        styles = sorted(set(frames["train"]["style"]))
        if len(styles) < 2:
            raise UsageError(f"in {self.name} the category {chosen} has one style only ({styles[0]}); two are needed")
        strange = sorted((set(frames["validation"]["style"]) | set(frames["test"]["style"])) - set(styles))
        if strange:
            raise UsageError(f"{self.name} has no train passages of {strange[0]!r} in the category {chosen}")
        return replace(self, frames=frames, said=said)


def _lacking(split: Split, styles: set[str], of: int) -> str:
    figures = "its accuracy and loss say" if split == "validation" else "the scores say"
    share = f"{len(styles)} of {of} styles ({_list(sorted(styles))})"
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
    counts = Counter(rows["style"])
    if not len(counts) <= size <= len(rows):
        raise UsageError(
            f"--train-size {size}: there are {len(rows)} train passages of {len(counts)} styles; "
            f"take a number from {len(counts)} to {len(rows)}"
        )
    quotas = _quotas(counts, size)
    by_hash = rows["text"].map(text_hash).sort_values(kind="stable").index
    ranks = rows["style"].loc[by_hash].groupby(rows["style"]).cumcount().sort_index()
    return subset(rows, ranks < rows["style"].map(quotas))


def _quotas(counts: Counter[str], size: int) -> dict[str, int]:
    """Share `size` out in proportion to the counts, one for each style before all.

    By Webster's method (highest of count / (2·quota + 1) first): a larger `size` never takes a passage away.
    """
    claims = sorted((-count / (2 * quota + 1), style) for style, count in counts.items() for quota in range(1, count))
    won = Counter(style for _, style in claims[: size - len(counts)])
    return {style: 1 + won[style] for style in counts}
