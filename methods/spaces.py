"""Where good settings are searched: for each field a range, of which a search takes points."""

from __future__ import annotations

import math
from dataclasses import dataclass

DECADES = 3
"""How wide the range of a learning rate is, the same for all methods."""
MOST_FIELDS = 2
"""So many fields of its own a method may have searched beside the learning rate: more would need more trials."""
_HIGHEST_RATE = 1.0
_DIGITS = 4


@dataclass(frozen=True)
class Range:
    """A field's values from `low` to `high`, evenly spread, or evenly in their logarithms. `why` is it searched?"""

    low: float
    high: float
    log: bool = True
    why: str = ""

    def value(self, share: float, *, whole: bool) -> float | int:
        """Return the value that has `share` (0 to 1) of the range below it: of 4 digits, or a whole number."""
        even = self.low + (self.high - self.low) * share
        found: float = self.low * (self.high / self.low) ** share if self.log else even
        if whole:
            return min(max(round(found), math.ceil(self.low)), math.floor(self.high))
        return min(max(float(f"{found:.{_DIGITS}g}"), self.low), self.high)

    def share(self, value: float) -> float:
        """Return which share of the range lies below the value; under 0 or over 1 outside of it."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def around(value: float, why: str = "") -> Range:
    """Three decades in whose middle (of the logarithms) the value lies; as a rate is at most 1, so is their end."""
    half = 10 ** (DECADES / 2)
    high = min(value * half, _HIGHEST_RATE)
    low, high = (float(f"{end:.{_DIGITS}g}") for end in (high / 10**DECADES, high))
    return Range(low, high, why=why)


ALPHA = Range(8, 128, why="alpha scales the update, and published settings differ: from the rank to 16 times the rank")
"""LoRA's, and that of what is to be compared with LoRA."""
TOKENS = Range(
    5, 100, why="P-Tuning v2's authors find that easy tasks want fewer than 20 tokens and hard ones about 100"
)
"""Prefix tuning's, and that of other prompts."""
