"""Keep what is tested out of what is trained on: documents that share 13-word sequences with held-out ones go."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pretraining.texts import Document

LENGTH = 13
"""Words in a sequence; the length used to look for test examples in GPT-3's training texts (Brown et al., 2020)."""

LIMIT = 0.01
"""The largest share of a document's sequences that may also stand in a held-out document."""


def sequences(text: str) -> list[int]:
    """The hash of every run of 13 words, in lower case and without punctuation."""
    words = re.findall(r"[^\W_]+", text.lower())
    return [hash(tuple(words[start : start + LENGTH])) for start in range(len(words) - LENGTH + 1)]


def shared(document: str, held_out: set[int]) -> float:
    """The share of the document's sequences that are in `held_out`, between 0 and 1."""
    own = sequences(document)
    return sum(sequence in held_out for sequence in own) / max(1, len(own))


def without_copies(held_out: list[Document], training: Iterable[Document]) -> list[Document]:
    """The held-out documents without those that share over 1% of their sequences with training: other editions."""
    asked = {sequence for document in held_out for sequence in sequences(document.text)}
    trained = {sequence for document in training for sequence in sequences(document.text) if sequence in asked}
    return [document for document in held_out if shared(document.text, trained) <= LIMIT]


def refuse_overlapping(
    documents: Iterable[Document], held_out: Iterable[str]
) -> tuple[list[Document], list[tuple[Document, float]]]:
    """Split the documents into those to keep and those that share more than 1% of their sequences, with the share."""
    known = {sequence for text in held_out for sequence in sequences(text)}
    kept: list[Document] = []
    refused: list[tuple[Document, float]] = []
    for document in documents:
        share = shared(document.text, known)
        if share > LIMIT:
            refused.append((document, share))
        else:
            kept.append(document)
    return kept, refused
