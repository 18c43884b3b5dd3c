"""The baseline's process: how it ends is never the study's end."""

from __future__ import annotations

import multiprocessing.connection
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from bench.data import load_local
from bench.execution import baseline
from bench.job import examples_path
from bench.study.scratch import EXAMPLE_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from bench.data import Corpus


@pytest.fixture
def corpus(texts: Path, tmp_path: Path) -> Corpus:
    """The suite's texts, with the examples in the scratch folder as a study leaves them."""
    found = load_local(texts)
    found.frames["test"].assign(text_hash="").reindex(columns=EXAMPLE_COLUMNS).to_parquet(examples_path(tmp_path))
    return found


class Lethal:
    """Whoever unpickles it is ended as the kernel ends a process when memory has run out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return signal.raise_signal, (signal.SIGKILL,)


def test_what_raises_is_told(corpus: Corpus, tmp_path: Path) -> None:
    distinct = [chr(0x4E00 + number) for number in range(len(corpus.frames["train"]))]
    nothing_twice = replace(corpus, frames={**corpus.frames, "train": corpus.frames["train"].assign(text=distinct)})
    with pytest.raises(baseline.Failed, match=r"^ValueError: "):
        baseline.compute(nothing_twice, tmp_path, 1)


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    with pytest.raises(baseline.Failed, match="SIGKILL"):
        baseline.compute(cast("Corpus", Lethal()), tmp_path, 1)


def test_ctrl_c_ends_the_process(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        assert multiprocessing.active_children()
        raise KeyboardInterrupt

    monkeypatch.setattr(multiprocessing.connection, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        baseline.compute(corpus, tmp_path, 1)
    assert not multiprocessing.active_children()


def test_of_a_huge_corpus_it_reads_a_part_with_every_style(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    assert baseline.sampled(corpus) is corpus
    whole = corpus.frames["train"]
    monkeypatch.setattr(baseline, "PASSAGES", 10)
    part = baseline.sampled(corpus)
    assert (len(part.frames["train"]), part.styles) == (10, corpus.styles)
    assert set(part.frames["train"]["text"]) < set(whole["text"])
    assert part.frames["test"] is corpus.frames["test"]
    monkeypatch.setattr(baseline, "CHARACTERS", int(whole["text"].str.len().sum()) // 6)
    assert len(baseline.sampled(corpus).frames["train"]) == 6
    monkeypatch.setattr(baseline, "CHARACTERS", 1)
    assert len(baseline.sampled(corpus).frames["train"]) == 3
