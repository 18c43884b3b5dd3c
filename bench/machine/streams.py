"""What is printed where the encoding can't hold it."""

from __future__ import annotations

import io
import sys


def replace_unknown() -> None:
    """Have standard output put a question mark for a character that its encoding lacks, in place of raising.

    The error stream never raises: Python has it write such a character as an escape sequence.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
