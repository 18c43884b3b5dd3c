"""What the long tests share: a study of tiny runs on a store, an undisturbed one to compare with, and the count."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import misbehaving
import transformers
from commands import BENCH, TWO_CORES, environment
from small import save_model, write_texts

from bench.store.claims import WORK
from bench.store.files import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.store.record import Record

METHODS = ("logged", "lora")
GRID = ["--methods", ",".join(METHODS), "--set", "lora.alpha=8", "--set", "lora.dropout=0.1"]
TRAINING = ["--epochs", "3", "--batch-size", "8", "--checkpoint", "on", "--device", "cpu", "--dtype", "fp32"]
TRAINING += ["--threads", "1", "--no-timing"]
SEEDS = 8
QUIET = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that spin while they wait for one another take all day on a machine that is busy with torture."""
DIFFER: Any = {
    **dict.fromkeys(("created_at", "wall_s", "speed", "memory", "environment", "checksum"), True),
    "data": {"baseline": {"fit_s"}},
}
"""What of a record may differ between two times that a run is done."""

_SAY_EVERY_S = 20.0
_LONGEST_S = 3600


class Tally:
    """How many were tried of how many, and what was lost; says from time to time how far it is."""

    def __init__(self, name: str, times: int) -> None:
        self.name, self.times = name, times
        self.tried, self.lost = 0, 0
        self.begin = self.said = time.monotonic()
        self._lock = threading.Lock()

    def count(self, lost: Iterable[str] = ()) -> None:
        """Book one try."""
        with self._lock:
            self.tried += 1
            if time.monotonic() - self.said > _SAY_EVERY_S:
                self.said = time.monotonic()
                print(f"  {self}", file=sys.stderr, flush=True)
        self.lose(lost)

    def lose(self, lost: Iterable[str]) -> None:
        """Book what was lost, and say what."""
        with self._lock:
            for what in lost:
                self.lost += 1
                print(f"  {self.name} lost: {what}", file=sys.stderr, flush=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.tried} tried, {self.lost} lost ({time.monotonic() - self.begin:.0f} s)"


@dataclass(frozen=True)
class Workshop:
    """A folder to work in, and the seed that all random moments and bytes come from."""

    folder: Path
    seed: int

    @classmethod
    def furnish(cls, folder: Path, seed: int) -> Workshop:
        """Write texts, a backbone and a package of methods into the folder."""
        transformers.logging.disable_progress_bar()
        write_texts(folder / "texts")
        save_model("gpt2", folder / "model")
        (folder / "site").mkdir()
        misbehaving.install(folder / "site")
        return cls(folder, seed)

    def draw(self, what: str) -> random.Random:
        """A generator of its own for each test."""
        return random.Random(f"{self.seed} {what}")

    def arguments(self, store: Path, seeds: int) -> list[str]:
        """The study's arguments: two methods with so many seeds."""
        numbers = ",".join(map(str, range(seeds)))
        sources = ["--model", str(self.folder / "model"), "--data", str(self.folder / "texts")]
        return ["run", *GRID, "--seeds", numbers, *TRAINING, *sources, "--results", str(store)]

    @property
    def cores(self) -> Path:
        """Where all studies deal out their cores: nobody else's wait for them."""
        return self.folder / "cores"

    def start(self, store: Path, seeds: int, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start the study in a session of its own; one of several jobs is told that there are two cores."""
        store.parent.mkdir(exist_ok=True)
        places = {"NOTES": str(store.parent / "notes"), "BENCH_CORES_DIR": str(self.cores)}
        variables = environment(**QUIET, **places, **variables)
        variables["PYTHONPATH"] += os.pathsep + str(self.folder / "site")
        with (store.parent / "said").open("ab") as said:
            return subprocess.Popen(
                [*(TWO_CORES if "--jobs" in options else BENCH), *self.arguments(store, seeds), *options],
                cwd=self.folder,
                env=variables,
                start_new_session=True,
                stdout=said,
                stderr=said,
            )

    def finish(self, store: Path, seeds: int, *more: str) -> list[str]:
        """Run the study to its end; return what is wrong with the store then."""
        code = self.start(store, seeds, *more).wait(_LONGEST_S)
        if code != 0:
            return [f"the study left with {code}: {(store.parent / 'said').read_text()[-2000:]}"]
        return self.wrong(store, seeds)

    @cached_property
    def undisturbed(self) -> Path:
        """A store that nobody disturbed, with the largest grid."""
        store = self.folder / "undisturbed" / "store"
        if self.start(store, SEEDS).wait(_LONGEST_S) != 0:
            raise SystemExit(f"the undisturbed study failed: {(store.parent / 'said').read_text()[-2000:]}")
        return store

    @cached_property
    def good(self) -> dict[str, Record]:
        """The undisturbed records, by uid."""
        return {record.uid: record for record in Store(self.undisturbed).read().records}

    @property
    def run_s(self) -> float:
        """How long an undisturbed run takes, in the middle."""
        return sorted(record.wall_s for record in self.good.values())[len(self.good) // 2]

    @contextmanager
    def store(self) -> Iterator[Path]:
        """A new store that goes afterwards, in a folder of its own."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder) / "store"

    def wrong(self, store: Path, seeds: int) -> list[str]:
        """Name what isn't as in the undisturbed store, but for times, and whatever was left half-done."""
        contents = Store(store).read()
        expected = {uid: record for uid, record in self.good.items() if record.seed < seeds}
        found = {record.uid: record for record in contents.records}
        other = [
            f"{record.method} seed={record.seed} differs or is missing"
            for uid, record in expected.items()
            if uid not in found or found[uid].model_dump(exclude=DIFFER) != record.model_dump(exclude=DIFFER)
        ]
        extra = [f"{uid} is too many" for uid in found.keys() - expected.keys()]
        return [*other, *extra, *(f"{path.name}: {reason}" for path, reason in contents.unreadable), *litter(store)]


def litter(store: Path) -> list[str]:
    """Name what a study that ended should have cleared away."""
    left = [*store.glob(".*.claim"), *(store / WORK).glob("*"), *store.rglob("*.part")]
    left += (store / ".checkpoints").glob("*")
    return [f"{path.relative_to(store)} was left" for path in left]


def copy(store: Path, target: Path, records: int) -> Store:
    """Copy so many records, with their predictions, into a new store."""
    target.mkdir(parents=True)
    for path in sorted(store.glob("*.json"))[:records]:
        shutil.copy(path, target)
        shutil.copy(path.with_suffix(".parquet"), target)
    return Store(target)
