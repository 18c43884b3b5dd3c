"""How well an adapted backbone still models ordinary text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from bench.model.language import LanguageHead

if TYPE_CHECKING:
    from bench.data import HeldOut
    from bench.model.forward import Forward
    from bench.spec import BackboneRef

LONGEST = 256
"""Tokens in a piece, as many as a passage of the demo may have."""


def longest(positions: int | None, prepended: int) -> int:
    """Return how many tokens a piece may have beside those that the method puts before a text."""
    return LONGEST if positions is None else min(LONGEST, positions - prepended)


def nats_per_token(forward: Forward, ref: BackboneRef, text: HeldOut, longest: int) -> float:
    """Return the mean cross-entropy of the text by the adapted model and its backbone's language-modelling head.

    Raises ValueError where that isn't a number, or the checkpoint has no such head.
    """
    forward.module.eval()
    head = LanguageHead(ref, forward.module)
    with torch.inference_mode():
        losses = [forward.next_token_losses(head, piece)[text.given - 1 :] for piece in text.pieces(longest)]
        found = float(torch.cat(losses).double().mean())
    if not math.isfinite(found):
        raise ValueError(f"the language model's loss is {found}")
    return found
