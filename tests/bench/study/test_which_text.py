"""The text by which a study's runs measure forgetting."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import call
from small import save_model

from bench import study
from bench.data import HeldOut, held_out
from bench.study import scratch

if TYPE_CHECKING:
    from pathlib import Path

    from bench.study import Request


@pytest.fixture
def asked(texts: Path, tmp_path: Path) -> Request:
    """One run of IA3 on a small language model."""
    return study.Request(
        methods=("ia3",),
        seeds=(0,),
        model=str(save_model("gpt2", tmp_path / "model", language=True)),
        data=str(texts),
        max_steps=2,
        device="cpu",
        dtype="fp32",
        results=tmp_path / "store",
        baseline=False,
    )


def _laid_out(request: Request, folder: Path) -> tuple[list[str], HeldOut | None]:
    """The uids of a request's runs, and the text that they find."""
    task = study.prepare(request)
    scratch.lay_out(task, "", task.study.runs(), folder, request)
    return [spec.uid for spec in task.study.runs()], HeldOut.load(folder)


def test_which_text_it_is_or_none_changes_no_runs_uid(asked: Request, bert: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("\ufeff" + "the owl was in the kitchen <|endoftext|> " * 10, encoding="utf-8")
    uids, ours = _laid_out(asked, tmp_path / "ours")
    assert ours is not None
    assert ours.sha256 == hashlib.sha256(held_out.EVERYDAY.read_bytes()).hexdigest()
    assert len(ours.ids) > 2000
    same, own = _laid_out(replace(asked, forgetting=mine), tmp_path / "own")
    assert own is not None
    assert own.sha256 == hashlib.sha256(mine.read_bytes().removeprefix("\ufeff".encode())).hexdigest()
    assert 0 not in own.ids  # what looks like the end of text is ordinary characters
    alike, none = _laid_out(replace(asked, forgetting=False), tmp_path / "none")
    assert none is None
    assert uids == same == alike
    assert _laid_out(replace(asked, model=str(bert)), tmp_path / "bert")[1] is None


def test_a_studys_record_has_it(asked: Request) -> None:
    _, [record] = study.run(asked)
    assert record.forgetting is not None
    assert record.forgetting.after != record.forgetting.before
    assert 3 < record.forgetting.before < 12
    assert record.notes == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read: No such file or directory"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"too short", "2 words are too few to measure by; it takes 50 at least"),
    ],
)
def test_a_text_that_cannot_serve_ends_with_exit_code_2(
    content: bytes | None,
    said: str,
    gpt2: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "mine.txt"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    sources = ["--model", str(gpt2), "--data", str(texts), "--results", "store"]
    assert call(monkeypatch, "run", *sources, "--forgetting", str(file)) == 2
    assert capsys.readouterr().err == f"bench: --forgetting {file}: {said}\n"
    assert not list(tmp_path.glob("store/*"))


def test_a_text_and_none_is_a_mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "run", "--forgetting", "mine.txt", "--no-forgetting") == 2
    assert "--forgetting FILE and --no-forgetting: give one of them" in capsys.readouterr().err
