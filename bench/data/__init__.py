"""Texts in, tokenised and fingerprinted splits and their batches out."""

from __future__ import annotations

from bench.data.corpus import SPLITS, Corpus, text_hash
from bench.data.open_authors import held_out_documents, load_open_authors

__all__ = ["SPLITS", "Corpus", "held_out_documents", "load_open_authors", "text_hash"]
