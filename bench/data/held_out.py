"""An ordinary text that nothing is tuned on: how a language model does on it before and after says what it forgot."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EVERYDAY = Path(__file__).parents[1] / "assets" / "everyday.txt"
"""Plain English about everyday matters, written for this: no corpus has it. About 2,000 tokens."""
_FILE = "held-out.json"
_LEAST = 50


def asked(text: Path | bool) -> str | None:
    """Return the text in a file, for True the project's own, for False none. Raises UsageError as `read` does."""
    return read(EVERYDAY if text is True else text) if text else None


def read(path: Path) -> str:
    """Return the text in a file. Raises UsageError where it can't be read, isn't UTF-8, or has hardly a word."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--forgetting {path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise UsageError(f"--forgetting {path}: can't be read: {error.strerror}") from error
    if (words := len(text.split())) < _LEAST:
        raise UsageError(f"--forgetting {path}: {words} words are too few to measure by; it takes {_LEAST} at least")
    return text


@dataclass(frozen=True)
class HeldOut:
    """A text as one model reads it: its tokens `ids`, and in `front` what the tokenizer puts before any text.

    `sha256` is that of the text's UTF-8.
    """

    sha256: str
    front: list[int]
    ids: list[int]

    @classmethod
    def of(cls, text: str, tokenizer: PreTrainedTokenizerFast) -> HeldOut:
        """Tokenise a text; what looks like a special token inside it is taken as ordinary characters."""
        whole, ids = (
            tokenizer(text, add_special_tokens=marked, split_special_tokens=True, verbose=False)["input_ids"]
            for marked in (True, False)
        )
        before = next((place for place in range(len(whole)) if whole[place : place + len(ids)] == ids), 0)
        return cls(hashlib.sha256(text.encode()).hexdigest(), whole[:before], ids)

    def pieces(self, longest: int) -> list[list[int]]:
        """Cut the text into pieces of at most `longest` tokens, each with the front before it.

        Raises ValueError where a piece has no room for a token to predict.
        """
        step = longest - len(self.front)
        if longest <= self.given or step < 1:
            raise ValueError(f"no token can be predicted from another within {longest} positions")
        return [self.front + self.ids[start : start + step] for start in range(0, len(self.ids), step)]

    def predicted(self, longest: int) -> int:
        """Return how many tokens are predicted in all in such pieces."""
        return sum(len(piece) - self.given for piece in self.pieces(longest))

    @property
    def given(self) -> int:
        """How many tokens of a piece are given and not predicted: its front, or else its first token."""
        return max(1, len(self.front))

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        (folder / _FILE).write_text(json.dumps(vars(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> HeldOut | None:
        """Read what `save` wrote; None where it wrote nothing."""
        path = folder / _FILE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
