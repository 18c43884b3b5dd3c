"""Pretrain the small GPT-2 that ships with the project, from nothing: python scripts/pretrain_backbone.py"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from pretraining.data import (
    END,
    Batches,
    Streams,
    load_streams,
    save_streams,
    split_documents,
    stream,
    train_tokenizer,
    unspaced,
)
from pretraining.model import Network
from pretraining.ngrams import Trigrams
from pretraining.output import bits_per_character, perplexity, write_backbone
from pretraining.overlap import refuse_overlapping, without_copies
from pretraining.texts import SOURCES, Document, read_documents
from pretraining.training import Plan, train
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer
from transformers import GPT2Config

from bench.data.open_authors import held_out_texts

VOCABULARY = 8192
SEQUENCE = 160
POSITIONS = 512
ROWS = 32
"""Sequences a step: 5,120 tokens."""

STEPS = 3600
"""18.4 million tokens."""

BACKBONE = Path("bench/assets/backbone")

console = Console()


def config(end: int) -> GPT2Config:
    """4 layers of 256 with 4 heads, and no dropout: with one pass over the texts there is no overfitting."""
    return GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=POSITIONS,
        n_embd=256,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )


def collect(cache: Path) -> tuple[list[Document], list[Document]]:
    """The training and the held-out documents, without those that overlap with what the demo is tested on."""
    kept, refused = refuse_overlapping(read_documents(cache), held_out_texts())
    for document, share in refused:
        console.print(f"refused {document.name}: {share:.1%} of its 13-word sequences are held out")
    table = Table("source", "what", "licence", "documents", "characters", "refused")
    for source in SOURCES:
        own = [document.text for document in kept if document.source == source.name]
        lost = sum(document.source == source.name for document, _ in refused)
        row = (source.name, source.about, source.licence, f"{len(own):,}", f"{sum(map(len, own)):,}", str(lost))
        table.add_row(*row)
    console.print(table)
    training, held_out = split_documents(kept)
    return training, without_copies(held_out, training)


def prepare(work: Path) -> tuple[Tokenizer, Streams, Streams]:
    """The tokenizer, the training and the held-out streams by source; read from `work` where a run was before."""
    paths = [work / "tokenizer.json", work / "training.npz", work / "held-out.npz"]
    if not all(path.exists() for path in paths):
        training, held_out = collect(work)
        tokenizer = train_tokenizer(training, VOCABULARY)
        tokenizer.save(str(paths[0]))
        for documents, path in ((training, paths[1]), (held_out, paths[2])):
            save_streams(_streams(documents, tokenizer), path)
    return Tokenizer.from_file(str(paths[0])), load_streams(paths[1]), load_streams(paths[2])


def _streams(documents: list[Document], tokenizer: Tokenizer) -> Streams:
    groups = {source.name: [d for d in documents if d.source == source.name] for source in SOURCES}
    return {name: stream(group, tokenizer, SEQUENCE) for name, group in groups.items() if group}


def batches(streams: Streams, tokenizer: Tokenizer, size: int, seed: int) -> Batches:
    repeats = {source.name: source.repeats for source in SOURCES}
    weighted = tuple((stream, repeats[name]) for name, stream in streams.items())
    return Batches(weighted, unspaced(tokenizer), tokenizer.get_vocab()[END], SEQUENCE, POSITIONS, size, seed)


def report(network: Network, tokenizer: Tokenizer, training: Streams, held_out: Streams, passages: Path | None) -> None:
    """Print the figures of the model card: perplexities and bits per character by source, and on other passages."""
    counted = Trigrams.of(np.concatenate([stream.tokens for stream in training.values()]), VOCABULARY)
    table = Table("held out", "tokens", "backbone", "unigram", "trigram", "bits a character", title="perplexity")
    parts = {name: stream.tokens for name, stream in held_out.items()}
    for name, tokens in {**parts, "all": np.concatenate(list(parts.values()))}.items():
        backbone = perplexity(network, tokens, SEQUENCE)
        bits = math.log2(backbone) * len(tokens) / len(tokenizer.decode(tokens.tolist()))
        figures = (backbone, *counted.perplexities(tokens))
        table.add_row(name, f"{len(tokens):,}", *(f"{figure:.1f}" for figure in figures), f"{bits:.3f}")
    console.print(table)
    if passages:
        frame = pd.read_json(passages, lines=True)
        for name, bits in bits_per_character(BACKBONE, zip(frame["category"], frame["text"], strict=True)).items():
            console.print(f"bits per character, {name}: {bits:.3f}")


def main(
    work: Annotated[Path, typer.Option(help="Where downloads and checkpoints go.")] = Path("build/pretraining"),
    passages: Annotated[
        Path | None, typer.Option(help="JSON lines with text and category, to measure bits per character on.")
    ] = None,
) -> None:
    """Pretrain, or go on from the checkpoint in the work folder, and write the backbone into bench/assets/backbone."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer, training, held_out = prepare(work)
    plan = Plan(STEPS)
    torch.manual_seed(plan.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network(config(tokenizer.get_vocab()[END]), torch.bfloat16).to(device)
    fresh = batches(training, tokenizer, ROWS, plan.seed)
    console.print(f"{sum(len(s.tokens) for s, _ in fresh.streams):,} tokens, {fresh.per_pass} steps a pass, {device}")
    train(network, fresh, batches(held_out, tokenizer, ROWS // 2, plan.seed), plan, work)
    write_backbone(network, tokenizer, BACKBONE)
    report(network, tokenizer, training, held_out, passages)


if __name__ == "__main__":
    typer.run(main)
