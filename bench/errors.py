"""What a user did wrong, as opposed to what the program did wrong."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class UsageError(Exception):
    """A mistake in the arguments or the data, told in one or two plain lines; ends with exit code 2."""


SHOWN = 5
"""So many mistakes are told at once."""


def together(mistakes: Sequence[str]) -> UsageError:
    """Return an error that tells the first mistakes, a line each, and how many more there are."""
    more = [f"and {len(mistakes) - SHOWN} more"] if len(mistakes) > SHOWN else []
    return UsageError("\n".join([*mistakes[:SHOWN], *more]))


@contextmanager
def told_at(place: str) -> Iterator[None]:
    """Put the place before what a UsageError says, where there is one: the line of a file that asked for this."""
    try:
        yield
    except UsageError as error:
        if not place:
            raise
        raise UsageError(f"{place}: {error}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def refusal(error: OSError) -> str:
    """Return in one line what the system refused, of which file, and what to do, as far as that is known."""
    said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    limit = error.errno in (errno.EMFILE, errno.ENFILE)
    return f"{said}; `ulimit -n` shows and raises how many may be open" if limit else said
