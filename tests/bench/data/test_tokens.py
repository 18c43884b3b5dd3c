from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from bench.data import SPLITS, Corpus, Splits, TokenSplit, tokenise
from bench.data.frames import frame
from bench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def gpt2_like() -> Any:
    """A byte-level tokenizer of GPT-2's kind: nothing is put around a text, one special token."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["the cat sat on the mat and the dog sat too"], 300, special_tokens=[END])
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token=END, pad_token=END)


@pytest.fixture(scope="module")
def bert_like() -> Any:
    """A word-level tokenizer that puts [CLS] and [SEP] around a text and drops what isn't a letter."""
    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "the": 4, "cat": 5}, "[UNK]"))
    words.normalizer = normalizers.Replace("!", "")
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )


def _corpus(*texts: str) -> Corpus:
    rows = frame((text, style, "c", None) for text, style in zip(texts, "bab" * len(texts), strict=False))
    return Corpus("some", "local", None, dict.fromkeys(SPLITS, rows))


def _decoded(split: TokenSplit, tokenizer: Any) -> list[str]:
    return [tokenizer.decode(split.row(i).tolist()) for i in range(len(split.labels))]


def test_texts_come_back_and_labels_are_positions_in_styles(gpt2_like: Any) -> None:
    splits = tokenise(_corpus("the cat sat", "on the mat", "too"), gpt2_like, 50)
    assert _decoded(splits.train, gpt2_like) == ["the cat sat", "on the mat", "too"]
    assert splits.train.labels.tolist() == [1, 0, 1]
    assert splits.train.lengths.tolist() == [len(splits.train.row(i)) for i in range(3)]
    assert (splits.train.ids.dtype, splits.train.offsets.dtype) == (np.dtype(np.int32), np.dtype(np.int64))
    assert splits.truncated == 0


def test_what_looks_like_a_special_token_is_ordinary_text(gpt2_like: Any) -> None:
    text = f"the cat {END} sat {END}"
    splits = tokenise(_corpus(text, "dog"), gpt2_like, 100)
    assert gpt2_like.eos_token_id not in splits.train.ids
    assert _decoded(splits.train, gpt2_like)[0] == text
    cut = tokenise(_corpus(text, "dog"), gpt2_like, 8)
    assert gpt2_like.eos_token_id not in cut.train.ids
    assert cut.train.row(0).tolist() == splits.train.row(0)[:8].tolist()


def test_texts_that_are_cut_are_counted_over_all_splits(gpt2_like: Any) -> None:
    splits = tokenise(_corpus("the cat sat on the mat", "the", "the cat sat on the mat too"), gpt2_like, 4)
    assert splits.train.lengths.max() == 4
    assert splits.truncated == 6


def test_a_models_own_marks_stay_around_a_text_that_is_cut(bert_like: Any) -> None:
    splits = tokenise(_corpus("the cat the cat", "cat [SEP] the"), bert_like, 4)
    assert splits.test.row(0).tolist() == [1, 4, 5, 2]
    assert 2 not in splits.test.row(1)[:-1]


def test_a_text_without_tokens_is_named(bert_like: Any) -> None:
    with pytest.raises(UsageError, match="produces no tokens for train passage 2, '!!!'"):
        tokenise(_corpus("the cat", "!!!"), bert_like, 8)


def test_the_texts_of_a_pair_are_put_together_as_the_tokenizer_does_it(bert_like: Any, gpt2_like: Any) -> None:
    rows = _corpus("the cat", "cat cat cat the").frames["train"].assign(pair=["cat [SEP] the", "the"])
    corpus = Corpus("some", "local", None, dict.fromkeys(SPLITS, rows))
    assert tokenise(corpus, bert_like, 50).train.row(1).tolist() == [1, 5, 5, 5, 4, 2, 4, 2]
    assert tokenise(corpus, bert_like, 50).train.row(0).tolist().count(2) == 2
    assert tokenise(corpus, bert_like, 6).train.row(1).tolist() == [1, 5, 5, 2, 4, 2]
    splits = tokenise(corpus, gpt2_like, 50)
    assert _decoded(splits.train, gpt2_like)[1] == "cat cat cat thethe"


def test_texts_of_any_number_are_tokenised_in_portions(gpt2_like: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, told = _corpus("the cat sat", "on the mat", "too", "the dog sat"), list[tuple[int, int]]()
    whole = tokenise(corpus, gpt2_like, None)
    monkeypatch.setattr("bench.data.tokens._PORTION", 3)
    parts = tokenise(corpus, gpt2_like, None, lambda done, total: told.append((done, total)))
    assert told == [(3, 12), (4, 12), (7, 12), (8, 12), (11, 12), (12, 12)]
    for split in SPLITS:
        for name in ("ids", "offsets", "labels"):
            assert np.array_equal(getattr(getattr(whole, split), name), getattr(getattr(parts, split), name))


def test_saved_splits_are_the_same_when_loaded(gpt2_like: Any, tmp_path: Path) -> None:
    splits = tokenise(_corpus("the cat sat", "on the mat", "too"), gpt2_like, 4)
    splits.save(tmp_path)
    loaded = Splits.load(tmp_path)
    assert loaded.truncated == splits.truncated
    for split in SPLITS:
        for name in ("ids", "offsets", "labels", "lengths"):
            before, after = getattr(getattr(splits, split), name), getattr(getattr(loaded, split), name)
            assert np.array_equal(before, after)
            assert before.dtype == after.dtype


def test_some_of_the_texts_are_spread_over_the_split() -> None:
    split = TokenSplit(np.arange(10, dtype=np.int32), np.array([0, 1, 3, 6, 10]), np.array([0, 1, 0, 1]))
    some = split.spread(2)
    assert [some.row(i).tolist() for i in range(2)] == [[0], [6, 7, 8, 9]]
    assert some.labels.tolist() == [0, 1]
    assert split.spread(9).ids.tolist() == split.ids.tolist()
