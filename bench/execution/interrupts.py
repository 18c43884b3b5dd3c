"""Ctrl-C and SIGTERM: the first ends what is under way and leaves cleanly, the second leaves at once."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TIDY = b"\x1b[0m\x1b[?25h\r\n"
"""Plain colours, the cursor, and a line of its own for what follows a progress bar."""
EXIT_CODE = 130
_AGAIN_S = 0.01


@contextmanager
def leaving() -> Iterator[None]:
    """In the block, the first signal raises KeyboardInterrupt and the second ends the process; for the main thread."""
    before = {number: signal.signal(number, _first) for number in _SIGNALS}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _again)
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def forget() -> None:
    """Keep Python from ending by SIGINT for an interrupt that was handled, whatever the exit code.

    Started with `-m` it does where the interrupt once passed through an `exec` of text, which is how dataclasses are
    made in imports: that sets a flag, and only the next such `exec` clears it (run_eval_code_obj, Py_RunMain).
    """
    exec("")


def _first(number: int, frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, _second)
    raise KeyboardInterrupt


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt again soon that came within a `__del__` or another place that no exception leaves."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)


def _again(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _second(number: int, frame: FrameType | None) -> None:
    """Leave a usable terminal; the run under way ends by itself when it finds its study gone."""
    if os.isatty(1):
        os.write(1, _TIDY)
    os._exit(EXIT_CODE)
