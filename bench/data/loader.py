"""Texts from a file, a folder or a snapshot of the Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.corpus import Corpus
from bench.data.frames import SPLITS, frame
from bench.data.rows import Passage, read
from bench.data.split_files import data_files
from bench.data.splitting import split_by_hash
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.data.corpus import Source
    from bench.data.frames import Split


def load_local(path: Path) -> Corpus:
    """Load a folder with train, validation and test as jsonl, json, csv or parquet, or one such file.

    A folder's splits are taken as they are. A single file is split 80/10/10 within each style by hashes, documents and
    equal texts whole. Nothing is written beside the data and nothing is kept: a changed file is read anew. Raises
    UsageError.
    """
    if path.is_dir():
        return _load_folder(path, path.resolve().name, "local", None)
    rows = _frame(_two_styles(read(path), path))
    frames = split_by_hash(rows)
    for split in SPLITS:
        if frames[split].empty:
            what = "texts" if rows["document"].isna().all() else "documents, which are kept whole,"
            raise UsageError(f"{path}: too few different {what} for a {split} split; at least one style needs three")
    return Corpus(path.stem, "local", None, frames)


def load_hub(folder: Path, name: str, revision: str) -> Corpus:
    """Load a downloaded snapshot of the dataset `name` at the commit `revision`. Raises UsageError."""
    return _load_folder(folder, name, "hub", revision)


def _load_folder(folder: Path, name: str, source: Source, revision: str | None) -> Corpus:
    files = data_files(folder)
    passages = {split: [passage for file in files[split] for passage in read(file)] for split in SPLITS}
    _two_styles(passages["train"], files["train"][0])
    _known_styles(passages)
    return Corpus(name, source, revision, {split: _frame(passages[split]) for split in SPLITS})


def _frame(passages: list[Passage]) -> pd.DataFrame:
    return frame((p.text, p.style, p.category, p.document) for p in passages)


def _two_styles(passages: list[Passage], path: Path) -> list[Passage]:
    styles = {passage.style for passage in passages}
    if len(styles) < 2:
        raise UsageError(f"{path}, column style: every row has {styles.pop()!r}; at least two styles are needed")
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
