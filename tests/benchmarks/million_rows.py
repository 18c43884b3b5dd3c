"""What many rows take to load: python tests/benchmarks/million_rows.py

Writes a file in each format and loads it twice, each time in a process of its own, as `bench run --data FILE` does: it
is read, checked and split, its fingerprint is taken, and texts that stand twice are counted. Memory is the most that
this process held, less what it held after its imports. A rate is of all of this; for tokens, of the embedded backbone's
tokenizer with one and with two threads. A quiet machine is needed; `--rows` makes it short, to try it. Linux only.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = ("jsonl", "csv", "parquet")
LABELS = 10
_BATCH = 10_000
_TOKENISED = 50_000
"""So many texts are tokenised."""


def write(path: Path, rows: int) -> None:
    """Write so many different texts of 20 to 100 words, each with one of ten labels."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema({"text": pa.string(), "label": pa.string()})
        with pq.ParquetWriter(path, schema) as file:
            for batch in _batches(rows):
                file.write_table(pa.table(list(zip(*batch, strict=True)), schema))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        if path.suffix == ".csv":
            table.writerow(("text", "label"))
        for batch in _batches(rows):
            if path.suffix == ".csv":
                table.writerows(batch)
            else:
                file.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in batch)


def _batches(rows: int) -> Iterator[list[tuple[str, str]]]:
    """Texts of the backbone's words, the frequent ones oftener, with their labels."""
    vocabulary = json.loads((_backbone() / "tokenizer.json").read_bytes())["model"]["vocab"]
    words = [token[1:] for token in vocabulary if token[0] == "Ġ" and token[1:].isalpha()]
    chances = 1 / np.arange(10, 10 + len(words))
    generator = np.random.default_rng(0)
    for start in range(0, rows, _BATCH):
        lengths = generator.integers(20, 100, min(_BATCH, rows - start))
        drawn = generator.choice(len(words), lengths.sum(), p=chances / chances.sum())
        labels = generator.integers(LABELS, size=len(lengths))
        places = np.split(drawn, np.cumsum(lengths)[:-1])
        yield [
            (" ".join([str(start + i), *(words[place] for place in text)]), f"label {label}")
            for i, (text, label) in enumerate(zip(places, labels, strict=True))
        ]


def _backbone() -> Path:
    from bench.model import backbone

    return Path(backbone.EMBEDDED)


def load(path: Path) -> tuple[float, int]:
    """Load the file; return the seconds and the bytes that it took."""
    import pyarrow.parquet  # noqa: F401
    import scipy.sparse.csgraph  # noqa: F401

    from bench.data import load_local

    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM counts from here on
    begin = time.perf_counter()
    corpus = load_local(path)
    _ = corpus.fingerprint, corpus.duplicates, corpus.repeated
    return time.perf_counter() - begin, _memory("VmHWM") - before


def _memory(what: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split(f"{what}:")[1].split()[0])


def tokens(path: Path) -> tuple[float, int]:
    """Tokenise some of the texts; return the seconds and the number of tokens."""
    from bench.data import SPLITS, load_local, tokenise
    from bench.model import backbone

    corpus, tokenizer = load_local(path).select(sample=_TOKENISED), backbone.tokenizer(backbone.embedded())
    begin = time.perf_counter()
    splits = tokenise(corpus, tokenizer, 256)
    return time.perf_counter() - begin, sum(len(getattr(splits, split).ids) for split in SPLITS)


def _apart(what: str, path: Path, threads: int = 1) -> tuple[float, int]:
    """What `load` or `tokens` returns, in a process of its own."""
    command = [sys.executable, __file__, what, str(path)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    seconds, count = json.loads(done.stdout)
    return seconds, count


def main(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of each file.")] = 1_000_000,
    formats: Annotated[str, typer.Option(help="The formats, separated by commas.")] = ",".join(SUFFIXES),
) -> None:
    """Print each format's memory, and the rows and tokens a second."""
    names = ("format", "MB", "memory / file", "rows/s", "rows/s again", "tokens/s", "with 2 threads")
    table = Table(*names, title=f"{rows:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        for kind in formats.split(","):
            path = Path(folder, f"some.{kind}")
            write(path, rows)
            size = path.stat().st_size
            loads = [_apart("load", path) for _ in range(2)]
            rates = [count / seconds for seconds, count in (_apart("tokens", path, threads) for threads in (1, 2))]
            peak = max(memory for _, memory in loads)
            table.add_row(
                *(kind, f"{size / 1e6:.0f}", f"{peak / size:.2f}"),
                *(f"{rows / seconds:,.0f}" for seconds, _ in loads),
                *(f"{rate:,.0f}" for rate in rates),
            )
            path.unlink()
    Console().print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if len(sys.argv) == 3 and sys.argv[1] in ("load", "tokens"):
        print(json.dumps({"load": load, "tokens": tokens}[sys.argv[1]](Path(sys.argv[2]))))
    else:
        typer.run(main)
