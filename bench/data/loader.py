"""Texts from a file, a folder or a snapshot of the Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.corpus import SPLITS, Corpus, Source, Split, finish, frame, split_by_hash
from bench.data.rows import Passage, read
from bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def load_local(path: Path) -> Corpus:
    """Load a folder with train, validation and test as jsonl, json, csv or parquet, or one such file.

    A single file is split 80/10/10 within each style by a hash of the text. Nothing is written beside the data and
    nothing is kept: a changed file is read anew. Raises UsageError.
    """
    if path.is_dir():
        return _load_folder(path, path.resolve().name, "local", None)
    frames = finish(split_by_hash(_frame(_two_styles(read(path), path))))
    for split in SPLITS:
        if frames[split].empty:
            raise UsageError(f"{path}: no style has enough different texts for a {split} split; a style needs three")
    return Corpus(path.stem, "local", None, frames)


def load_hub(folder: Path, name: str, revision: str) -> Corpus:
    """Load a downloaded snapshot of the dataset `name` at the commit `revision`. Raises UsageError."""
    return _load_folder(folder, name, "hub", revision)


def _load_folder(folder: Path, name: str, source: Source, revision: str | None) -> Corpus:
    files = _data_files(folder)
    for split in SPLITS:
        if not files.get(split):
            found = ", ".join(files)
            raise UsageError(
                f"{folder}: no file for the {split} split (found: {found}); a folder needs {', '.join(SPLITS)} "
                "as jsonl, csv or parquet, and a single file is split when it is named itself"
            )
    passages = {split: [passage for file in files[split] for passage in read(file)] for split in SPLITS}
    _two_styles(passages["train"], files["train"][0])
    _known_styles(passages)
    return Corpus(name, source, revision, finish({split: _frame(passages[split]) for split in SPLITS}))


def _data_files(folder: Path) -> dict[str, list[Path]]:
    """Which files hold which split, by their names or the folder's README, as `datasets.load_dataset` sees it."""
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        try:
            builder = datasets.load_dataset_builder(str(folder.resolve()), cache_dir=cache)
        except Exception as error:  # of many types: no data files, several formats, a README or script it can't use
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"{folder}: can't tell which files hold train, validation and test, in one format: {reason}"
            ) from error
    found = builder.config.data_files or {}
    return {str(split): [Path(file) for file in files] for split, files in found.items()}


def _frame(passages: list[Passage]) -> pd.DataFrame:
    return frame((p.text, p.style, p.category, p.document) for p in passages)


def _two_styles(passages: list[Passage], path: Path) -> list[Passage]:
    styles = {passage.style for passage in passages}
    if len(styles) < 2:
        raise UsageError(f"{path}, column style: every row has {styles.pop()!r}; telling styles apart needs two")
    return passages


def _known_styles(passages: dict[Split, list[Passage]]) -> None:
    known = {passage.style for passage in passages["train"]}
    for split in ("test", "validation"):
        for passage in passages[split]:
            if passage.style not in known:
                raise UsageError(
                    f"{passage.where}, column style: no train passage has the style {passage.style!r}; "
                    f"train has {', '.join(sorted(known)[:12])}{' …' if len(known) > 12 else ''}"
                )
