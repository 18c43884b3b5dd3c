"""The long tests of what is never lost, each against the real thing: `make torture`, or with the names of some of them.

Each prints one line: how many were tried, how many lost. The texts and the backbone are the suite's small ones.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from commands import BENCH, environment  # noqa: E402
from conftest import save_model, write_texts  # noqa: E402

from bench.claims import WORK  # noqa: E402
from bench.store import Store  # noqa: E402

GRID = [
    "--methods",
    "head,lora,ia3",
    "--set",
    "lora.dropout=0.1",
    "--seeds",
    "0,1",
    "--epochs",
    "3",
    "--batch-size",
    "4",
]
RUNS = 10
"""What the grid has: LoRA at three alphas."""
DIFFER = ("created_at", "wall_s", "speed", "memory", "environment", "checksum")
"""What of a record may differ between two times that a run is done."""


@dataclass(frozen=True)
class Workshop:
    """A folder to work in, and an undisturbed study to compare with."""

    folder: Path
    draw: random.Random

    def command(self, store: Path, *arguments: str) -> list[str]:
        """The study, on a store."""
        sources = ["--model", str(self.folder / "model"), "--data", str(self.folder / "texts")]
        return [
            *[*BENCH, "run", *GRID, *sources, "--device", "cpu", "--dtype", "fp32", "--checkpoint", "on"],
            *["--results", str(store), *arguments],
        ]

    def start(self, store: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the study in a session of its own."""
        return subprocess.Popen(
            self.command(store, *arguments),
            cwd=self.folder,
            env=environment(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish(self, store: Path) -> int:
        """Run the study to its end; return its exit code."""
        return self.start(store).wait(1800)

    @property
    def undisturbed(self) -> Path:
        """A store that nobody disturbed."""
        store = self.folder / "undisturbed"
        if not store.exists() and self.finish(store) != 0:
            raise SystemExit("the undisturbed study failed; nothing can be compared")
        return store

    @contextmanager
    def store(self) -> Iterator[Path]:
        """A new store that goes afterwards."""
        store = Path(tempfile.mkdtemp(dir=self.folder)) / "store"
        try:
            yield store
        finally:
            shutil.rmtree(store.parent)


def lost(store: Path, good: Path) -> int:
    """Count the runs whose record or predictions aren't what they should be, and whatever was left half-done."""
    found = {record.uid: record for record in Store(store).read().records}
    wrong = 0
    for record in Store(good).read().records:
        mine = found.get(record.uid)
        same = mine is not None and mine.model_dump(exclude=set(DIFFER)) == record.model_dump(exclude=set(DIFFER))
        wrong += not same
    litter = [*store.glob(".*.claim"), *(store / WORK).iterdir(), *store.rglob("*.part")]
    litter += list((store / ".checkpoints").glob("*"))
    return wrong + len(litter) + len(found.keys() - {record.uid for record in Store(good).read().records})


def _runs_of(study: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of the study's runs: the children of the server that they are forked from."""
    with suppress(psutil.NoSuchProcess):
        servers = psutil.Process(study.pid).children()
        return [run for server in servers for run in server.children()]
    return []


def kills(work: Workshop, times: int = 200) -> tuple[int, int]:
    """SIGKILL to the study or to its run at random moments, the same command again, until a store is whole."""
    good, done, wrong = work.undisturbed, 0, 0
    begin = time.monotonic()
    whole = work.finish(work.folder / "timed")
    shutil.rmtree(work.folder / "timed")
    length = time.monotonic() - begin
    assert whole == 0
    while done < times:
        with work.store() as store:
            ended = False
            while not ended:
                study = work.start(store)
                ended = _killed_or_done(study, work.draw, length) and study.returncode == 0
                done += not ended
                if done >= times:
                    break
            work.finish(store)
            wrong += lost(store, good)
    return done, wrong


def _killed_or_done(study: subprocess.Popen[bytes], draw: random.Random, length: float) -> bool:
    """Wait a random part of the study's length, kill it or its run; return whether it came to its end by itself."""
    try:
        study.wait(draw.uniform(0, length))
        return True
    except subprocess.TimeoutExpired:
        runs = _runs_of(study)
        if runs and draw.random() < 0.5:
            with suppress(psutil.NoSuchProcess):
                runs[0].kill()
            study.wait()
            return False
        study.kill()
        study.wait()
        return False


def disk(work: Workshop, times: int = 60) -> tuple[int, int]:
    """A limit to the size of any file, from nothing to what is enough; then the same command without it."""
    good, wrong = work.undisturbed, 0
    largest = max(path.stat().st_size for path in good.iterdir() if path.is_file())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for number in range(times):
        with work.store() as store:
            limit = int(2 * largest * (number + work.draw.random()) / times)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            study = work.start(store)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            study.wait(1800)
            if store.exists():
                wrong += len(Store(store).read().unreadable) + len([*store.rglob("*.part")])
            work.finish(store)
            wrong += lost(store, good)
    return times, wrong


def together(work: Workshop, times: int = 16) -> tuple[int, int]:
    """Many studies on one grid at once: each run once, each study with the whole grid."""
    good = work.undisturbed
    with work.store() as store:
        studies = [work.start(store) for _ in range(times)]
        wrong = sum(study.wait(3600) != 0 for study in studies)
        wrong += lost(store, good)
    return times, wrong


def damage(work: Workshop, times: int = 100) -> tuple[int, int]:
    """Each kind of damage at random bytes of each file of a real store: seen, or without any meaning."""
    good, wrong, tried = work.undisturbed, 0, 0
    store = Store(good)
    records = store.read().records
    for record in records[:4]:
        for path in (store.record_path(record.uid), store.predictions_path(record.uid)):
            content = path.read_bytes()
            for _ in range(times):
                for harm in (_flip, _cut, _zero, _swap):
                    path.write_bytes(harm(content, work.draw))
                    others = [found for found in store.read().records if found not in records]
                    wrong += len(others)
                    tried += 1
            path.write_bytes(content)
    return tried, wrong


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _zero(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + bytes(len(content) - start)


def _swap(content: bytes, draw: random.Random) -> bytes:
    one, other = sorted(draw.sample(range(len(content)), 2))
    return (
        content[:one]
        + content[other : other + 1]
        + content[one + 1 : other]
        + content[one:other][:1]
        + content[other + 1 :]
    )


def reports(work: Workshop, times: int = 20) -> tuple[int, int]:
    """The whole report from half a store, part of it damaged: it renders, and names what it left out."""
    wrong = 0
    for _ in range(times):
        with work.store() as store:
            shutil.copytree(work.undisturbed, store)
            files = sorted(store.glob("*.json"))
            work.draw.shuffle(files)
            for path in files[: RUNS // 2]:
                path.unlink()
            hurt = files[RUNS // 2]
            hurt.write_bytes(_cut(hurt.read_bytes(), work.draw))
            done = subprocess.run(
                [sys.executable, ROOT / "report.py", store, "-o", "-"],
                env=environment(),
                capture_output=True,
                text=True,
            )
            wrong += done.returncode != 0 or hurt.name not in done.stdout
    return times, wrong


TESTS = {test.__name__: test for test in (kills, disk, together, damage, reports)}


def main() -> None:
    """Run all or some, and leave with 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TESTS))
    parser.add_argument("--times", type=int, help="how often, in place of each test's own number")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in TESTS]
    if unknown:
        parser.error(f"no test {unknown[0]!r}; there are {', '.join(TESTS)}")
    worst = 0
    with tempfile.TemporaryDirectory(prefix="bench-torture-") as folder:
        work = Workshop(Path(folder), random.Random(chosen.seed))
        write_texts(work.folder / "texts")
        save_model("gpt2", work.folder / "model")
        for name in chosen.names or TESTS:
            begin = time.monotonic()
            arguments = {} if chosen.times is None else {"times": chosen.times}
            tried, wrong = TESTS[name](work, **arguments)
            worst = max(worst, wrong)
            print(f"{name}: {tried} tried, {wrong} lost ({time.monotonic() - begin:.0f} s)", flush=True)
    sys.exit(1 if worst else 0)


if __name__ == "__main__":
    main()
