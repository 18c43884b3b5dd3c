"""Where the sockets lie through which a study's process speaks to the server that its runs are forked from."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from multiprocessing import util
from pathlib import Path

from bench.errors import UsageError

_LONGEST = 103
"""Bytes of a socket's path: Linux has room for 107, a Mac for 103."""
_BELOW = "/pymp-12345678/listener-12345678"
"""What multiprocessing adds to the folder for temporary files."""
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


@cache
def settle() -> None:
    """Choose the sockets' folder, for good: in TMPDIR, or in a shorter one where that is too long, which is said.

    Raises UsageError where there is no shorter one.
    """
    asked = tempfile.gettempdir()
    if _fits(asked):
        return
    short = next((folder for folder in _SHORT if _fits(folder) and os.access(folder, os.W_OK | os.X_OK)), None)
    if short is None:
        raise UsageError(f"TMPDIR={asked} is too long for the path of a socket; name a shorter folder")
    before, tempfile.tempdir = tempfile.tempdir, short
    try:
        util.get_temp_dir()  # multiprocessing makes it when it is first asked, and keeps to it
    finally:
        tempfile.tempdir = before
    print(f"bench: TMPDIR={asked} is too long for the path of a socket: it lies in {short}", file=sys.stderr)


def _fits(folder: str) -> bool:
    return Path(folder).is_dir() and len(os.fsencode(folder + _BELOW)) <= _LONGEST
