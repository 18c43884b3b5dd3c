"""Texts from a file, a folder or a snapshot of the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bench.data import columns, tables
from bench.data.corpus import Corpus, fractions
from bench.data.frames import SPLITS
from bench.data.options import DataOptions
from bench.data.rows import HIDDEN, read
from bench.data.split_files import data_files, folder_class_names
from bench.data.splitting import split_by_hash
from bench.errors import UsageError
from bench.labels import label_noun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.data.columns import Columns
    from bench.data.corpus import Source
    from bench.data.frames import Split
    from bench.data.rows import Rows

_DEFAULT = DataOptions()
_NAMED = 12


def load_local(path: Path, options: DataOptions = _DEFAULT, config: str | None = None) -> Corpus:
    """Load a folder with train, validation and test in any format of `tables`, one such file, or a saved data set.

    A folder's splits are taken as they are; those that are missing are made of what there is, which is noted. A single
    file is split 80/10/10 within each style by hashes, documents and equal texts whole. Nothing is written beside the
    data and nothing is kept: a changed file is read anew. Raises UsageError.
    """
    if path.is_dir():
        name = path.resolve().name
        return _load_folder(path, f"{name}:{config}" if config else name, "local", None, options, config)
    if options.splits or config:
        raise UsageError(f"{path}: a single file has neither splits to choose with --splits nor configurations")
    name = tables.bare_name(path.name) or path.stem
    return _load({"train": [path]}, {}, name, "local", None, options)


def load_hub(
    folder: Path, name: str, revision: str, options: DataOptions = _DEFAULT, config: str | None = None
) -> Corpus:
    """Load a downloaded snapshot of the dataset `name` at the commit `revision`. Raises UsageError."""
    return _load_folder(folder, name, "hub", revision, options, config)


def _load_folder(
    folder: Path, name: str, source: Source, revision: str | None, options: DataOptions, config: str | None
) -> Corpus:
    files = data_files(folder, options.splits, config)
    return _load(files, folder_class_names(folder, config), name, source, revision, options)


def _load(
    files: Mapping[Split, list[Path]],
    class_names: Mapping[str, list[str]],
    name: str,
    source: Source,
    revision: str | None,
    options: DataOptions,
) -> Corpus:
    first = files["train"][0]
    table = tables.peek(first)
    found = columns.find(table, options, str(first))
    names = (table.class_names or class_names).get(found.label)
    if names is not None and len(set(names)) < len(names):
        raise UsageError(f"{first}, column {found.label}: two of its class names are the same: {', '.join(names)}")
    read_files = {split: [read(path, found, names) for path in files[split]] for split in SPLITS if split in files}
    notes = _check_labels(read_files, found)
    frames = {split: _together(parts) for split, parts in read_files.items()}
    read_files.clear()
    understood = _understood(found, frames["train"]["style"].nunique())
    frames, said = _complete(frames, first, label_noun(found.label).one)
    return Corpus(
        *(name, source, revision, frames, (*notes, *said), found.label, found.group),
        class_names=None if names is None else tuple(names),
        understood=understood,
    )


def _together(parts: list[Rows]) -> pd.DataFrame:
    return parts[0].frame if len(parts) == 1 else pd.concat([part.frame for part in parts], ignore_index=True)


def _check_labels(read_files: dict[Split, list[Rows]], found: Columns) -> list[str]:
    """Refuse labels that can't be learnt; take out a test split whose labels are hidden, and say so."""
    word = label_noun(found.label)
    train = {style for part in read_files["train"] for style in part.frame["style"]}
    if len(train) < 2:
        path = read_files["train"][0].path
        raise UsageError(f"{path}, column {found.label}: every row has {train.pop()!r}; two {word.many} are needed")
    if fractional := fractions(train):
        part, position = _first(read_files["train"], fractional)
        style = part.frame["style"][position]
        raise UsageError(
            f"{part.where(position)}, column {found.label}: {style} isn't whole; labels are classes, and there is no "
            "regression here"
        )
    notes = []
    hidden = [(part.frame["style"] == HIDDEN).all() for part in read_files.get("test", ())]
    if hidden and all(hidden) and HIDDEN not in train:
        del read_files["test"]
        notes.append(f"The test split's {word.many} are hidden: all are {HIDDEN}. It isn't used.")
    for split in ("test", "validation"):
        parts = read_files.get(split, [])
        if unknown := {style for part in parts for style in part.frame["style"]} - train:
            part, position = _first(parts, unknown)
            style = part.frame["style"][position]
            known = f"{', '.join(sorted(train)[:_NAMED])}{' …' if len(train) > _NAMED else ''}"
            advice = "; -1 often stands for a hidden label: choose other splits with --splits"
            raise UsageError(
                f"{part.where(position)}, column {found.label}: no train passage has the {word.one} {style!r}; "
                f"train has {known}{advice if style == HIDDEN else ''}"
            )
    return notes


def _first(parts: list[Rows], labels: set[str]) -> tuple[Rows, int]:
    """Where the first passage stands that has one of the labels."""
    for part in parts:
        which = part.frame["style"].isin(labels)
        if which.any():
            return part, int(which.argmax())
    raise AssertionError(f"no passage has {labels}")


def _complete(frames: dict[Split, pd.DataFrame], path: Path, word: str) -> tuple[dict[Split, pd.DataFrame], list[str]]:
    """Make the splits that are missing of those there are, and return what to say of it.

    A lone file of texts that is split into three needs no note.
    """
    said = []
    if "test" not in frames and "validation" in frames:
        frames["test"] = frames.pop("validation")
        said = ["There is no test split: the validation split is the test split, and a tenth of train the validation."]
    elif "validation" not in frames and "test" in frames:
        said = ["There is no validation split: a tenth of train is the validation split."]
    missing: list[Split] = [split for split in SPLITS[:0:-1] if split not in frames]
    if missing:
        made = split_by_hash(frames.pop("train"), missing)
        frames |= {split: rows for split, rows in made.items() if not rows.empty}
    for split in SPLITS:
        if split not in frames:
            rows = frames["train"]
            what = "texts" if rows["document"].isna().all() else "documents, which are kept whole,"
            raise UsageError(f"{path}: too few different {what} for a {split} split; at least one {word} needs three")
    return {split: frames[split] for split in SPLITS}, said


def _understood(found: Columns, labels: int) -> str:
    word = label_noun(found.label)
    text = f"text: column{'s' * (len(found.text) - 1)} {' and '.join(f'`{name}`' for name in found.text)}"
    parts = [text, f"label: column `{found.label}`, {labels} {word.many}"]
    parts.append(f"group: column `{found.group}`" if found.group else "no group")
    parts += [f"document: column `{found.document}`"] if found.document else []
    return "; ".join(parts)
