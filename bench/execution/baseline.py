"""Compute the baseline in a process of its own: whatever becomes of it, the study goes on."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing import connection
from typing import TYPE_CHECKING

from bench.execution import child
from bench.job import storable
from bench.machine import cores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from bench.data import Corpus
    from bench.store.baseline import Kept


PASSAGES, CHARACTERS = 20_000, 8_000_000
"""It is fitted to at most so much of the train split: half a minute on one core, and well under 1 GB."""


class Failed(Exception):
    """Why there is no baseline, in words."""


def sampled(corpus: Corpus) -> Corpus:
    """Keep of the train split what the baseline is fitted to: of a huge one a part, each style with its share."""
    texts = corpus.frames["train"]["text"]
    share = min(1.0, PASSAGES / len(texts), CHARACTERS / int(texts.str.len().sum()))
    return corpus if share == 1 else corpus.select(train_size=max(len(corpus.styles), int(share * len(texts))))


def compute(corpus: Corpus, scratch: Path, threads: int, numbers: tuple[int, ...] = ()) -> Kept:
    """Return the baseline of these splits, computed on the cores `numbers`; without any it isn't kept to some.

    `scratch` is the study's folder, with the test examples in it.

    KeyboardInterrupt ends the process and passes through. Raises Failed.
    """
    child.warm_up()
    context = child.context()
    results, sender = context.Pipe(duplex=False)
    process = context.Process(target=_start, args=(corpus, scratch, threads, numbers, sender), daemon=True)
    try:
        child.start(process)
        sender.close()
        connection.wait([results, process.sentinel])
        try:
            found: Kept | str = results.recv()
        except (EOFError, OSError):
            process.join()
            raise Failed(_ending(process.exitcode or 0)) from None
    finally:
        if process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.join()
        results.close()
    if isinstance(found, str):
        raise Failed(found)
    return found


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was ended by SIGKILL, perhaps because memory ran out"
    return f"its process ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"


def _start(corpus: Corpus, scratch: Path, threads: int, numbers: tuple[int, ...], results: Connection) -> None:
    """Be the target of the process: send what was found, or what went wrong."""
    import pandas as pd
    from threadpoolctl import threadpool_limits

    from bench.execution import worker
    from bench.job import examples_path
    from bench.training import ngrams

    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        worker.settle(nowhere.fileno())
    cores.pin(numbers)
    try:
        with threadpool_limits(threads):
            results.send(ngrams.compute(corpus, pd.read_parquet(examples_path(scratch)), scratch))
    except Exception as error:
        results.send(storable(f"{type(error).__name__}: {' '.join(str(error).split())}"))
