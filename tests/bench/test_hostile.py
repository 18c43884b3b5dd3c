"""Names from outside can't break out of the terminal, the store, a table or a page."""

from __future__ import annotations

import json
import shutil
import unicodedata
from typing import TYPE_CHECKING

import pytest
from commands import here
from small import passages

from bench.reporting import markdown, report
from bench.store.files import Store

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

STYLES = {"ann": "../../ann`|<img src=x>", "bob": "\x1b[2J\x1b]0;bob\x07\u202e" + "b" * 10_000}
STYLES["cat"] = f"{STYLES['ann']}\u00a0"
CATEGORY = "a|b\n# <script>\u2028[x](http://y)"
MODEL = "gpt2 `|<b>\x1b[31m\u202e"


@pytest.fixture(scope="module")
def work(gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and texts that are called what nobody should call them."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(gpt2, folder / MODEL)
    (folder / "texts").mkdir()
    for number, split in enumerate(("train", "validation", "test")):
        rows = [
            {"text": text, "style": name, "category": CATEGORY, "document": "../" * 20}
            for style, name in STYLES.items()
            for text in passages(style, 8, number)
        ]
        (folder / "texts" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def done(work: Path) -> subprocess.CompletedProcess[str]:
    chosen = ["--methods", "head", "--seeds", "0", "--max-steps", "2", "--device", "cpu", "--dtype", "fp32"]
    where = ["--model", str(work / MODEL), "--data", "texts", "--results", "store", "--save-adapters", "adapters"]
    return here("bench", "run", *chosen, *where, cwd=work)


def _unruly(text: str) -> set[str]:
    """What moves the cursor, the reading direction or the line, other than the line's end."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"}


def test_the_run_is_done_and_the_terminal_unmoved(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert _unruly(done.stdout + done.stderr) == set()
    assert len(done.stdout) < 10_000


def test_files_are_called_by_uids_alone(work: Path, done: subprocess.CompletedProcess[str]) -> None:
    [record] = Store(work / "store").read().records
    names = {path.name for path in (work / "store").iterdir() if not path.name.startswith(".")}
    stems = (record.uid, f"baseline-{record.data.fingerprint[:16]}")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("json", "parquet")}
    assert [path.name for path in (work / "adapters").iterdir()] == [record.uid]
    assert {path.name for path in work.iterdir()} == {MODEL, "texts", "store", "adapters"}


def test_the_record_keeps_every_name_as_it_is(work: Path, done: subprocess.CompletedProcess[str]) -> None:
    [record] = Store(work / "store").read().records
    assert set(record.data.styles) == set(STYLES.values())
    assert (record.data.categories, record.backbone.name) == ([CATEGORY], MODEL)


def test_names_that_look_alike_are_warned_of_once_and_told_apart(
    work: Path, done: subprocess.CompletedProcess[str]
) -> None:
    [record] = Store(work / "store").read().records
    assert record.data.notes is not None
    [note] = record.data.notes
    assert ascii(STYLES["ann"]) in note
    assert ascii(STYLES["cat"]) in note
    told = " ".join(done.stderr.replace("│", " ").split())
    assert told.count("look alike but are 2 names of a style") == 1
    text = markdown.render(report(Store(work / "store").read()))
    assert r"ann\`\|&lt;img src=x&gt;' (8)" in text
    assert r"ann\`\|&lt;img src=x&gt;\\xa0' (8)" in text


def test_the_page_shows_names_and_obeys_none(work: Path, done: subprocess.CompletedProcess[str]) -> None:
    text = markdown.render(report(Store(work / "store").read()))
    assert _unruly(text) == set()
    assert "<img" not in text
    assert "<script" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert tables
    assert all(line.endswith("|") for line in tables)
    assert max(map(len, text.splitlines())) < 3_000
