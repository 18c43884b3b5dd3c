"""Deterministic budgets: what every method computes and holds on one small GPT-2, against a committed file.

The harness's own training epoch, evaluation and pass for kept features run on the CPU in fp32, on fixed passages; what
is counted doesn't depend on the machine's speed or load, so that a difference is a change of the code or of a library.
"""

from __future__ import annotations

import csv
import gc
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch

import methods
from bench.data import TokenSplit
from bench.errors import UsageError
from bench.model import features, weights
from bench.model.forward import Forward
from bench.reporting.model import Cell, Column, Row, Table, Unit
from bench.spec import CORE, BackboneRef, TrainingSpec
from bench.training import train
from bench.training.compute import metered
from methods import adapters
from methods.prepare import head_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transformers import PreTrainedModel

    from bench.training.compute import Meter
    from methods import Method

FILE = Path(__file__).parents[2] / "tests" / "benchmarks" / "budgets.csv"
UPDATE = "python -m bench budget --update"
LIBRARIES = ("torch", "transformers", "peft")
TOLERANCE = {"peak_bytes": 0.01}
"""What may differ, as a share of what was; every other figure is exact."""

STYLES, VOCABULARY, SEED, PAD = 6, 512, 0, 0
GPT2: dict[str, Any] = {
    "model_type": "gpt2",
    "n_layer": 4,
    "n_embd": 192,
    "n_head": 6,
    "n_positions": 128,
    "vocab_size": VOCABULARY,
    "pad_token_id": PAD,
    "bos_token_id": PAD,
    "eos_token_id": PAD,
}
FORMS: dict[str, dict[str, Any]] = {"packed": {}, "padded": {"reorder_and_upcast_attn": True}}
"""How the harness feeds a model, and the setting of GPT-2 that makes it do so: other architectures are padded.

What the padded way costs is the harness's affair, so the core methods are measured in it and no others.
"""

TRAINING = TrainingSpec(epochs=1, batch_size=8, max_length=64, dtype="fp32", device="cpu")
PASSAGES = 40
"""Five training steps, and an evaluation in a whole batch and a part of one."""


class Key(NamedTuple):
    """Which figure of which method: `phase` is adapter, train, evaluate or features."""

    method: str
    form: str
    phase: str
    figure: str


Budget = dict[Key, int]
Versions = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A figure that isn't what the budget says; None where one of the two has no such figure."""

    key: Key
    before: int | None
    now: int | None


def passages() -> TokenSplit:
    """Return the fixed passages: 8 to 64 tokens each, made up."""
    rng = np.random.default_rng(SEED)
    lengths = rng.integers(8, TRAINING.max_length + 1, PASSAGES)
    return TokenSplit(
        ids=rng.integers(PAD + 1, VOCABULARY, lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], lengths.cumsum()]).astype(np.int64),
        labels=np.arange(PASSAGES, dtype=np.int64) % STYLES,
    )


def adapted(method: Method, form: str) -> Forward:
    """Return the fixed GPT-2, loaded as a run loads a backbone without weights, under a method."""
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        (Path(folder) / "config.json").write_text(json.dumps({**GPT2, **FORMS[form]}))
        ref = BackboneRef(name="budget-gpt2", source="random", revision="budget", folder=folder)
        torch.manual_seed(SEED)
        model = weights.load(ref, STYLES, SEED)
        module = method.apply(model, train.plan(passages(), TRAINING))
    return Forward(module, TRAINING.device, TRAINING.dtype, PAD, STYLES)


def measure(names: Sequence[str]) -> Budget:
    """Measure these methods with their default hyperparameters."""
    with _libraries_out_of_the_way():
        return {key: value for name in names for key, value in _of(methods.get(name)()).items()}


def _of(method: Method) -> Budget:
    found: Budget = {}
    for form in FORMS if method.name in CORE else ("packed",):
        forward = adapted(method, form)
        trainable, _ = adapters.count(forward.module)
        steps = trainable and not hasattr(method, "fit")
        phases = {
            "adapter": {"trainable": trainable, "bytes": adapters.adapter_bytes(forward.module)},
            "train": _train(method, forward) if steps else {},
            "evaluate": _evaluate(forward),
            "features": _features(forward) if method.fixed_features else {},
        }
        for phase, figures in phases.items():
            found |= {Key(method.name, form, phase, figure): value for figure, value in figures.items()}
    return found


def _train(method: Method, forward: Forward) -> dict[str, int]:
    """Two steps after a first one, which allocates the optimizer's state."""
    batches = np.arange(3 * TRAINING.batch_size).reshape(3, -1)
    with metered(forward.module) as meter:
        fitting = train.Fitting(forward, method, passages(), TRAINING, watch=nobody)
        fitting.train_epoch([batches[0]])
        meter.restart()
        fitting.train_epoch([*batches[1:]])
    return _figures(meter)


def _evaluate(forward: Forward) -> dict[str, int]:
    with metered(forward.module) as meter:
        train.evaluate(forward, passages())
    return _figures(meter)


def _features(forward: Forward) -> dict[str, int]:
    (head,) = head_modules(cast("PreTrainedModel", forward.module)).values()
    with tempfile.TemporaryDirectory() as folder, metered(forward.module) as meter:
        features.one_pass(forward, head, passages(), Path(folder) / "features.safetensors")
    return _figures(meter)


def _figures(meter: Meter) -> dict[str, int]:
    return {"flops": meter.flops, "operators": meter.operators, "peak_bytes": meter.peak_bytes}


@contextmanager
def _libraries_out_of_the_way() -> Iterator[None]:
    """Let each garbage collection, of which a phase begins with one, pass over what there was before."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def nobody(phase: str, done: int, total: int, loss: float | None = None, epoch: object = None) -> None:
    """Nobody waits for a budget."""


def versions() -> Versions:
    """Return the minor versions that a budget holds for, in the order of LIBRARIES."""
    return tuple(".".join(version(name).split(".")[:2]) for name in LIBRARIES)


def read(file: Path) -> dict[Versions, Budget]:
    """Return the budgets by versions. Raises UsageError where the file isn't one that `write` wrote."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        found: dict[Versions, Budget] = {}
        for row in rows:
            key = Key(*(row[name] for name in Key._fields))
            found.setdefault(tuple(row[name] for name in LIBRARIES), {})[key] = int(row["value"])
    except FileNotFoundError:
        if not file.parent.is_dir():
            raise UsageError(f"no folder {file.parent}: budgets are kept in a checkout of the project") from None
        return {}
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{file} isn't a file of budgets ({error!r}); `{UPDATE}` writes a new one") from error
    return found


def write(budgets: Mapping[Versions, Budget], file: Path) -> None:
    """Write the budgets, a row a figure, sorted, so that a change shows as a change of lines."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*LIBRARIES, *Key._fields, "value"])
        writer.writerows([*v, *key, value] for v in sorted(budgets) for key, value in sorted(budgets[v].items()))


def differences(before: Budget, now: Budget) -> list[Difference]:
    """Return the figures that changed by more than they may, in either direction, or that only one side has."""
    keys = sorted(before.keys() | now.keys())
    return [Difference(key, before.get(key), now.get(key)) for key in keys if not _same(key, before, now)]


def _same(key: Key, before: Budget, now: Budget) -> bool:
    if key not in before or key not in now:
        return False
    return abs(now[key] - before[key]) <= TOLERANCE.get(key.figure, 0) * before[key]


def table(found: Sequence[Difference]) -> Table:
    """Return the differences as a table: before, now, and by how much."""
    columns = (*(Column(name) for name in Key._fields), *(Column(name, Unit.COUNT) for name in ("before", "now")))
    rows = tuple(Row((*map(Cell, each.key), Cell(each.before), Cell(each.now), Cell(_change(each)))) for each in found)
    return Table((*columns, Column("difference")), rows)


def _change(difference: Difference) -> str:
    before, now = difference.before, difference.now
    if before is None or now is None:
        return "new" if before is None else "gone"
    share = f" ({now / before - 1:+.2%})" if before else ""
    return f"{now - before:+,}{share}"


def check(file: Path) -> list[Difference]:
    """Compare every registered method with the budget of these versions.

    Raises UsageError where there is none.
    """
    budgets = read(file)
    if versions() not in budgets:
        raise UsageError(f"{file.name} has no budget for {_told(versions())}; `{UPDATE}` writes one")
    return differences(budgets[versions()], measure(methods.names()))


def update(file: Path) -> list[Difference]:
    """Write what every registered method takes as the budget of these versions; return what changed.

    The budgets of other versions stay.
    """
    budgets, now = read(file), measure(methods.names())
    write({**budgets, versions(): now}, file)
    return differences(budgets.get(versions(), {}), now)


def verdict(found: Sequence[Difference], updated: bool) -> str:
    """Return in a line what a check or an update found, and what to do about it."""
    if updated:
        return f"Wrote the budget of {_told(versions())} to {FILE}; figures that changed: {len(found)}. Commit it."
    if not found:
        return f"Every figure is within its budget ({_told(versions())})."
    return f"Figures that differ: {len(found)}. If that is meant: `{UPDATE}`, and commit {FILE.name}."


def _told(versions: Versions) -> str:
    return ", ".join(f"{name} {minor}" for name, minor in zip(LIBRARIES, versions, strict=True))
