"""The settings that a search tries: the default, then points that fill the space evenly."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import methods
from bench.spec import Variant

if TYPE_CHECKING:
    from bench.tuning.spaces import Space


def point(method: str, space: Space, search_seed: int, trial: int, default: Variant) -> Variant:
    """Return what the trial tries: number 0 the default, number i the i-th of a scrambled Sobol sequence's points.

    It is a function of these alone, so that a longer search begins with a shorter one's points, and whoever works on a
    search tries the same. Such points leave smaller gaps than random ones do, as in AlgoPerf (arXiv 2306.07179).
    """
    if trial == 0 or not space:
        return default
    shares = _shares(method, search_seed, trial, len(space))
    kind = methods.get(method)
    values = {
        field: found.value(share, whole=kind.takes(field) == "whole")
        for (field, found), share in zip(space.items(), shares, strict=True)
    }
    built = kind(**{**default.hyperparameters, **values})
    return Variant(method=method, hyperparameters=built.hyperparameters())


def _shares(method: str, search_seed: int, trial: int, fields: int) -> list[float]:
    """Return point `trial` (from 1) of the sequence, each coordinate from 0 to 1."""
    from scipy.stats import qmc  # takes half a second, and most commands never ask

    drawn = int.from_bytes(hashlib.sha256(f"{method} {search_seed}".encode()).digest()[:4])
    sequence = qmc.Sobol(d=fields, scramble=True, rng=drawn)
    if trial > 1:
        sequence.fast_forward(trial - 1)
    found: list[float] = sequence.random(1)[0].tolist()
    return found
