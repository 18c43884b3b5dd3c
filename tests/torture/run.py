"""The long tests of what is never lost, each against the real thing: `make torture`, or with the names of some of them.

Each prints one line: how many were tried, how many lost; what was lost, and how far it is, goes to the error stream.
The texts and the backbone are the suite's small ones.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from commands import environment  # noqa: E402
from disk import disk  # noqa: E402
from kills import kill_at_once, kill_runs, kill_studies, kill_workers  # noqa: E402
from ray_nodes import kill_nodes  # noqa: E402
from workshop import Tally, Workshop, copy  # noqa: E402

if TYPE_CHECKING:
    from bench.store.files import Store

SEEDS_TOGETHER = 4


def together(work: Workshop, tally: Tally) -> None:
    """Many studies on one grid at once: no run twice, and each study leaves with the whole grid."""
    with work.store() as store:
        for study in [work.start(store, SEEDS_TOGETHER) for _ in range(tally.times)]:
            code = study.wait()
            tally.count([f"a study left with {code}"] if code else [])
        tally.lose(work.wrong(store, SEEDS_TOGETHER))
        done = set((store.parent / "notes").read_text().split())
        tally.lose([f"{SEEDS_TOGETHER} runs were done in {len(done)} processes"] if len(done) != SEEDS_TOGETHER else [])


def damage(work: Workshop, tally: Tally) -> None:
    """Each kind of damage at `times` random bytes of each file of a store: seen, or without any meaning."""
    draw = work.draw("damage")
    with work.store() as folder:
        store = copy(work.undisturbed, folder, 3)
        good = store.read().records
        for path in [path for record in good for path in _files(store, record.uid)]:
            content = path.read_bytes()
            for harm in [harm for harm in (_flip, _cut, _zero, _swap) for _ in range(tally.times)]:
                path.write_bytes(harm(content, draw))
                contents = store.read()
                silent = len(contents.records) + len(contents.unreadable) != len(good)
                wrong = silent or any(record not in good for record in contents.records)
                tally.count([f"{harm.__name__} in {path.name} wasn't seen"] if wrong else [])
            path.write_bytes(content)


def _files(store: Store, uid: str) -> tuple[Path, Path]:
    return store.record_path(uid), store.predictions_path(uid)


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


def reports(work: Workshop, tally: Tally) -> None:
    """The whole report from half a store, part of it damaged: it renders, and names what it left out."""
    draw = work.draw("reports")
    for _ in range(tally.times):
        with work.store() as store:
            files = [store / path.name for path in work.undisturbed.glob("*.json")]
            copy(work.undisturbed, store, len(files))
            draw.shuffle(files)
            hurt, *gone = files[: len(files) // 2]
            hurt.write_bytes(_cut(hurt.read_bytes(), draw))
            for path in gone:
                path.unlink()
            command = [sys.executable, str(ROOT / "report.py"), str(store), "-o", "-"]
            done = subprocess.run(command, env=environment(), capture_output=True, text=True)
            whole = done.returncode == 0 and hurt.name in done.stdout
            tally.count([] if whole else [f"no report: {done.stdout[-300:]}{done.stderr[-1000:]}"])


TESTS = {
    kill_runs: 100,
    kill_studies: 100,
    kill_at_once: 60,
    kill_workers: 30,
    kill_nodes: 20,
    disk: 40,
    together: 16,
    damage: 100,
    reports: 10,
}
"""How often each is tried."""


def main() -> None:
    """Run all or some, and leave with 1 where anything was lost."""
    names = {test.__name__: test for test in TESTS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--times", type=int, help="how often, in place of each test's own number")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the random moments and bytes")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in names]
    if unknown:
        parser.error(f"no test {unknown[0]!r}; there are {', '.join(names)}")
    print(f"--seed {chosen.seed}", flush=True)
    lost = 0
    with tempfile.TemporaryDirectory(prefix="bench-torture-") as folder:
        work = Workshop.furnish(Path(folder), chosen.seed)
        for name in chosen.names or names:
            tally = Tally(name, chosen.times or TESTS[names[name]])
            names[name](work, tally)
            lost += tally.lost
            print(tally, flush=True)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
