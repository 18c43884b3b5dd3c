"""The figures that a variant may have: what each is called and written as, its units, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from bench.reporting.text import count, duration, joules, nats, per_second, score, size
from bench.stats import Summary
from bench.store.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.stats import Estimate
    from bench.store.metrics import Metric

Units: TypeAlias = tuple[tuple[str, float], ...]
"""The units in which an axis may be, each with its size, in ascending order."""

NONE: Units = (("", 1),)
PERCENT: Units = (("%", 0.01),)
BYTES: Units = (("B", 1), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30))
SECONDS: Units = (("s", 1), ("min", 60), ("h", 3600))
JOULES: Units = (("J", 1), ("kJ", 1e3), ("MJ", 1e6))
RATE: Units = (("tokens/s", 1),)
NATS: Units = (("nats", 1),)
NATS_A_TOKEN: Units = (("nats a token", 1),)


@dataclass(frozen=True)
class Figure:
    """A figure with the name that it has in `Summary` and in a page's address; `signed`: it may be less than 0."""

    name: str
    title: str
    estimate: Callable[[Summary], Estimate | None]
    write: Callable[[float], str]
    units: Units
    more_is_better: bool = False
    signed: bool = False

    def unit(self, values: Iterable[float]) -> tuple[str, float]:
        """The largest unit in which every value is at least 1, else the smallest."""
        least = min(values, default=0.0)
        return next((unit for unit in reversed(self.units) if least >= unit[1]), self.units[0])


def _cost(
    name: str, title: str, write: Callable[[float], str], units: Units, *, more: bool = False, signed: bool = False
) -> Figure:
    return Figure(name, title, attrgetter(name), write, units, more, signed)


def _metric(metric: Metric) -> Figure:
    write, units = (_nats, NATS) if metric.name == "loss" else (score, PERCENT)
    title = f"Test {metric.noun}" if metric.name == "accuracy" else metric.title
    return Figure(metric.name, title, partial(Summary.metric, name=metric.name), write, units, metric.larger_is_better)


def _nats(value: float) -> str:
    return f"{nats(value)} nats"


def _rate(value: float) -> str:
    return f"{per_second(value)} tokens/s"


FIGURES = {
    figure.name: figure
    for figure in (
        *map(_metric, METRICS.values()),
        _cost("trainable", "Trainable parameters", lambda value: f"{count(value)} parameters", NONE),
        _cost("train_s", "Training time", duration, SECONDS),
        _cost("train_tokens_per_s", "Training speed", _rate, RATE, more=True),
        _cost("eval_tokens_per_s", "Inference speed", _rate, RATE, more=True),
        _cost("live_peak_bytes", "Peak memory of live tensors", size, BYTES),
        _cost("peak_bytes", "Peak memory", size, BYTES),
        _cost("adapter_bytes", "Adapter's size", size, BYTES),
        _cost("forgetting", "Forgetting", lambda value: f"{nats(value)} nats a token", NATS_A_TOKEN, signed=True),
        _cost("train_joules", "Training energy", joules, JOULES),
    )
}
"""Every figure by its name, in the order in which a reader chooses among them."""
