"""Texts in, tokenised and fingerprinted splits and their batches out."""

from __future__ import annotations

from bench.data.batches import (
    collate,
    collate_types,
    eval_batches,
    even_eval_batches,
    parts_of_similar_length,
    train_batches,
)
from bench.data.corpus import Corpus
from bench.data.frames import SPLITS, text_hash, text_hashes
from bench.data.loader import load_hub, load_local
from bench.data.open_authors import load_open_authors
from bench.data.options import DataOptions, parse_splits
from bench.data.tokens import Splits, TokenSplit, tokenise

__all__ = [
    "SPLITS",
    "Corpus",
    "DataOptions",
    "Splits",
    "TokenSplit",
    "collate",
    "collate_types",
    "eval_batches",
    "even_eval_batches",
    "load_hub",
    "load_local",
    "load_open_authors",
    "parse_splits",
    "parts_of_similar_length",
    "text_hash",
    "text_hashes",
    "tokenise",
    "train_batches",
]
