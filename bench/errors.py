"""What a user did wrong, as opposed to what the program did wrong."""

from __future__ import annotations


class UsageError(Exception):
    """A mistake in the arguments or the data, told in one or two plain lines; ends with exit code 2."""
