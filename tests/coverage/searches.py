"""Do intervals of tuned settings hold when the search is part of the chance? Simulated searches of known truth.

Each study has six methods, whose accuracy depends on the learning rate in six ways: a peak, a plateau with a cliff, and
others. A search tries the default and n points, and its validation scores have noise; what it chooses is trained anew
with five seeds. The truth is the mean over all such searches of what the chosen settings are worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.stats.intervals import differences, singly
from bench.stats.moderation import Prior, fit
from bench.stats.searches import left_to_chance
from bench.stats.tuned import with_search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.stats.intervals import Figures
    from bench.stats.searches import Chance

SEEDS, SEED_SD, DEFAULT = 5, 0.01, 0.5
PEAK, CLIFF, FLAT, LEVEL = range(4)
CURVES = ((PEAK, 0.6), (PEAK, 0.8), (CLIFF, 0.4), (CLIFF, 0.6), (FLAT, 0.6), (LEVEL, 0.5))
"""What becomes of accuracy on both sides of the best rate, and where in the range that lies."""
CELLS = [(6, trials, noise) for trials, noise in product((4, 8, 16, 32), (0.005, 0.01, 0.02))]
CELLS += [(1, trials, noise) for trials, noise in product((8, 16, 32), (0.005, 0.01, 0.02))]
"""Methods that know together what is left to chance (or one alone), trials, and the validation score's noise."""


@dataclass(frozen=True)
class Row:
    """What came out in a cell: of the worst curve, how often intervals cover; and half their width, as a mean."""

    methods: int
    trials: int
    noise: float
    moved: float
    given: float
    tuned: float
    gain: float
    against: float
    width_given: float
    width: float

    @property
    def holds(self) -> bool:
        """Whether it is as it should be; of too few trials the report says that it isn't."""
        return self.trials < 8 or min(self.tuned, self.gain, self.against) >= 0.93


def _accuracy(curve: tuple[int, float], shares: NDArray[Any]) -> NDArray[Any]:
    """The true accuracy at rates that lie so far into the range of three decades."""
    kind, best = curve
    decades = 3 * (shares - best)
    off, below = np.abs(decades), decades < 0
    lost = {
        PEAK: 0.05 * np.minimum(np.where(below, 1, 3) * off**1.5, 6),
        CLIFF: np.where(below, 0.02 * off, 0.3 * np.minimum(1, 3 * off)),
        FLAT: 0.01 * off**2,
        LEVEL: np.zeros_like(off),
    }
    return np.asarray(0.4 - lost[kind])


def _search(
    curve: tuple[int, float], trials: int, noise: float, count: int, generator: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the validation scores [count, 1 + trials] of searches, and the true accuracy [count] of what they choose.

    The points are one in each part of the range, as a Sobol sequence's are.
    """
    points = (np.arange(trials) + generator.random((count, trials))) / trials
    truth = _accuracy(curve, np.concatenate([np.full((count, 1), DEFAULT), points], axis=1))
    scores = truth + noise * generator.standard_normal(truth.shape)
    return scores, truth[np.arange(count), scores.argmax(axis=1)]


def measure(methods: int, trials: int, noise: float, count: int) -> Row:
    """Simulate `count` studies of a cell and analyse them as bench.stats does, but for the test split's chance."""
    generator = np.random.default_rng([methods, trials, round(1000 * noise)])
    truth = [_search(curve, trials, noise, 20_000, generator)[1] for curve in CURVES]
    found = [_search(curve, trials, noise, count, generator) for curve in CURVES]
    default = np.array([float(_accuracy(curve, np.array(DEFAULT))) for curve in CURVES])
    worth = np.stack([chosen for _, chosen in found], axis=1)
    means = np.concatenate([worth, np.broadcast_to(default, worth.shape)], axis=1)
    runs = means[..., None] + SEED_SD * generator.standard_normal((*means.shape, SEEDS))
    prior = fit(runs, np.ones(runs.shape[:-1], dtype=bool)) if methods > 1 else Prior.none(runs.shape[1])
    nothing = np.zeros((*runs.shape, 2))
    k = len(CURVES)
    each = singly(runs, nothing, prior).at(slice(None), slice(0, k))
    pairs = differences(runs, nothing, prior).at(slice(None), np.arange(k), np.arange(k, 2 * k))
    left = [_left([scores[study].tolist() for scores, _ in found], methods) for study in range(count)]
    whole, gains = _with(each, left), _with(pairs, left)
    rest = np.arange(1, k)
    between = differences(runs, nothing, prior).at(slice(None), rest, 0)
    against = _with(between, [study[1:] for study in left], [study[:1] for study in left])
    expected = np.array([chosen.mean() for chosen in truth])
    other = np.stack([scores.argmax(axis=1) > 0 for scores, _ in found], axis=1)
    return Row(
        methods,
        trials,
        noise,
        moved=float(np.mean([chosen.std() for chosen in truth])),
        given=float(_covers(each, expected).mean(axis=0).min()),
        tuned=float(_covers(whole, expected).mean(axis=0).min()),
        gain=float(min(_covers(gains, expected - default)[:, at][other[:, at]].mean() for at in range(k))),
        against=float(_covers(against, expected[1:] - expected[0]).mean(axis=0).min()),
        width_given=float(each.half_width().mean()),
        width=float(whole.half_width().mean()),
    )


def _left(scores: list[list[float]], methods: int) -> list[Chance | None]:
    judged = [[(score, score) for score in trials] for trials in scores]
    if methods > 1:
        return left_to_chance(judged)
    return [one for alone in judged for one in left_to_chance([alone])]


def _with(figures: Figures, *searches: list[list[Chance | None]]) -> Figures:
    """The figures [studies, methods] with what searches leave to chance; without it where nothing is known of it."""
    variances, degrees = [], []
    for left in searches:
        known = [[one for one in study if one] for study in left]
        if len(known[0]) < len(left[0]):
            return figures
        variances.append(np.array([[one.variance for one in study] for study in known]))
        degrees.append(np.array([[one.degrees for one in study] for study in known]))
    return with_search(figures, sum(variances), degrees[0])


def _covers(figures: Figures, truth: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.abs(figures.mean - truth) <= figures.half_width())


def table(count: int) -> tuple[str, bool]:
    """Measure all cells; return their table in Markdown, percent and points, and whether all hold."""
    names = [
        "methods",
        "trials",
        "noise",
        "search sd",
        "given the choice",
        "±",
        "tuned",
        "±",
        "gain",
        "between two",
        "",
    ]
    lines = [f"| {' | '.join(names[:-1])} |", f"|{' ---: |' * (len(names) - 1)}"]
    rows = [measure(*cell, count) for cell in CELLS]
    for row in rows:
        told = [row.noise, row.moved, row.given, row.width_given, row.tuned, row.width, row.gain, row.against]
        cells = [str(row.methods), str(row.trials), *(f"{100 * figure:.1f}" for figure in told)]
        lines.append(f"| {' | '.join(cells)} |{'' if row.holds else ' <- fails'}")
    return "\n".join(lines), all(row.holds for row in rows)
