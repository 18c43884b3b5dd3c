"""Do the intervals hold? Simulate studies of known truth, print what came out, and end with 1 where they don't.

make coverage, or python tests/coverage/check.py [--studies 1000].
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit
from simulation import ALIKE, STYLE_SHARES, Cell, Studies, simulate, styled, true_macro_f1

from bench.stats.differences import holm, top_group
from bench.stats.intervals import LEVEL, Figures, differences, singly
from bench.stats.jackknife import macro_f1
from bench.stats.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LEAST_COVERAGE, MOST_ERRORS = 0.93, 0.065
SEEDS, SEED_SDS = (3, 5), (0.015, 0.05, 0.15)
TESTS = ((200, 0), (700, 0), (5000, 0), (200, 20), (700, 38), (5000, 200))
"""Test examples, and documents that they are from; 0: each its own."""


@dataclass(frozen=True)
class Row:
    """What came out in a cell; shares of studies, and half widths of intervals in accuracy."""

    cell: Cell
    single: float
    single_width: float
    paired: float
    paired_width: float
    macro_f1: float
    errors: float
    errors_among_true: float
    best_kept: float
    detectable: float
    power: float

    @property
    def holds(self) -> bool:
        """Whether the cell is as it should be."""
        covered = min(self.single, self.paired, self.macro_f1) >= LEAST_COVERAGE
        return covered and max(self.errors, self.errors_among_true) <= MOST_ERRORS


def measure(cell: Cell, count: int) -> tuple[Row, dict[str, tuple[float, float]]]:
    """Analyse a cell's studies as bench.stats does; also what other estimators would have given."""
    found: dict[str, list[Any]] = {}
    for number, studies in enumerate(simulate(cell, count)):
        for name, values in {**_measure(cell, studies, number), **_others(cell, studies)}.items():
            found.setdefault(name, []).append(values)
    whole = {name: np.concatenate(values) for name, values in found.items()}
    null, wide = whole.pop("null"), whole.pop("found_beyond")
    detectable = float(np.sqrt((whole.pop("detectable") ** 2).mean()))
    means = {name: float(values.mean()) for name, values in whole.items()}
    others = {name: (means.pop(f"{name} covers"), means.pop(f"{name} width")) for name in OTHERS}
    return Row(cell, **means, detectable=detectable, power=float((null + detectable > wide).mean())), others


def _measure(cell: Cell, studies: Studies, number: int) -> dict[str, NDArray[Any]]:
    each, pairs = singly(studies.scores, studies.influences), differences(studies.scores, studies.influences)
    against = pairs.at(slice(None), slice(1, None), 0)
    p, alike = against.p(), slice(0, ALIKE - 1)
    best = int(cell.truth.argmax())
    return {
        "single": _covers(each, cell.truth),
        "single_width": each.half_width(),
        "paired": _covers(against, cell.truth[1:] - cell.truth[0]),
        "paired_width": against.half_width(),
        "macro_f1": _macro_f1_covers(cell, studies, number),
        "errors": np.any(_rejected(p[:, alike]), axis=1),
        "errors_among_true": np.any(_rejected(p)[:, alike], axis=1),
        "best_kept": top_group(pairs)[:, best],
        "null": against.mean[:, alike],
        "found_beyond": against.half_width(LEVEL / (ALIKE - 1))[:, alike],
        "detectable": against.detectable(ALIKE - 1)[:, alike],
    }


def _covers(figures: Figures, truth: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.abs(figures.mean - truth) <= figures.half_width())


def _rejected(p: NDArray[Any]) -> NDArray[Any]:
    return np.stack([holm(row) <= LEVEL for row in p])


def _macro_f1_covers(cell: Cell, studies: Studies, number: int) -> NDArray[Any]:
    covered = []
    for place, right in enumerate(studies.right):
        labels, predictions = styled(right, studies.clusters, 10_000 * number + place)
        styles = tuple(map(str, range(len(STYLE_SHARES))))
        sample = macro_f1(Outcomes(tuple(range(cell.seeds)), styles, labels, predictions, None), studies.clusters)
        figures = singly(sample.scores[None], sample.influences[None])
        covered.append(_covers(figures, np.array([true_macro_f1(cell, labels)])))
    return np.concatenate(covered)


def _t(degrees: NDArray[Any] | int) -> NDArray[Any]:
    return np.asarray(-stdtrit(degrees, LEVEL / 2))


OTHERS: dict[str, Callable[[Figures, NDArray[Any]], NDArray[Any]]] = {
    "seeds alone, t(seeds - 1)": lambda f, _: _t(f.seeds - 1) * np.sqrt(f.seed_variance),
    "t(seeds - 1) on the sum of variances": lambda f, _: _t(f.seeds - 1) * np.sqrt(f.seed_variance + f.test_variance),
    "Satterthwaite on the sum of variances": lambda f, _: _satterthwaite(f),
    "margins in squares, disagreement in both": lambda f, both: np.sqrt(
        (_t(f.seeds - 1) ** 2) * f.seed_variance + _t(f.clusters - 1) ** 2 * (f.test_variance + both)
    ),
    "margins in squares, disagreement in the test's alone": lambda f, both: np.sqrt(
        (_t(f.seeds - 1) ** 2) * np.maximum(0, f.seed_variance - both)
        + _t(f.clusters - 1) ** 2 * (f.test_variance + both)
    ),
}
"""Half widths by other estimators, from paired figures and the variance from runs disagreeing about single examples."""


def _satterthwaite(f: Figures) -> NDArray[Any]:
    whole = f.seed_variance + f.test_variance
    degrees = whole**2 / (f.seed_variance**2 / (f.seeds - 1) + f.test_variance**2 / (f.clusters - 1))
    return np.asarray(_t(degrees) * np.sqrt(whole))


def _others(cell: Cell, studies: Studies) -> dict[str, NDArray[Any]]:
    """Whether the other estimators' intervals for paired differences cover, and their half widths."""
    scores, influences = (part[:, 1:] - part[:, :1] for part in (studies.scores, studies.influences))
    figures, clusters = singly(scores, influences), influences.shape[-1]
    disagreement = influences.var(axis=-2, ddof=1).sum(axis=-1) * (clusters - 1) / clusters / cell.seeds
    off = np.abs(figures.mean - (cell.truth[1:] - cell.truth[0]))
    widths = {name: width(figures, disagreement) for name, width in OTHERS.items()}
    return {f"{name} covers": off <= width for name, width in widths.items()} | {
        f"{name} width": width for name, width in widths.items()
    }


def head() -> str:
    """The head of the table of cells, in Markdown; all but the counts in percent or points."""
    names = ["seeds", "seed sd", "test examples", "documents", "one method", "±", "difference", "±", "macro-F1"]
    names += ["errors, all alike", "errors, some differ", "best kept", "detectable", "power"]
    return f"| {' | '.join(names)} |\n|{' ---: |' * len(names)}"


def line(row: Row) -> str:
    """A cell's line in that table."""
    cell = row.cell
    told = [cell.seeds, f"{40 * cell.seed_sd:.1f}", cell.examples, cell.documents or "–"]
    figures = [row.single, row.single_width, row.paired, row.paired_width, row.macro_f1]
    figures += [row.errors, row.errors_among_true, row.best_kept, row.detectable, row.power]
    return f"| {' | '.join([*map(str, told), *(f'{100 * figure:.1f}' for figure in figures)])} |"


def other_table(rows: Sequence[Row], others: Sequence[dict[str, tuple[float, float]]]) -> str:
    """What other estimators give for paired differences: the worst cell, and how wide they are beside ours."""
    ours = "margins in squares, disagreement in the seeds' alone (ours)"
    found = {ours: [(row.paired, row.paired_width) for row in rows]}
    found |= {name: [cell[name] for cell in others] for name in OTHERS}
    lines = ["| estimator | lowest coverage | mean width beside ours |", "| --- | ---: | ---: |"]
    for name, cells in found.items():
        wide = np.mean([width / row.paired_width for (_, width), row in zip(cells, rows, strict=True)])
        lines.append(f"| {name} | {100 * min(covered for covered, _ in cells):.1f} | {wide:.2f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure all cells; return 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a cell (default: 1000)")
    studies = parser.parse_args().studies
    cells = [Cell(seeds, sd, *test) for test, seeds, sd in product(TESTS, SEEDS, SEED_SDS)]
    rows, others = [], []
    print(f"{studies} studies a cell\n\n{head()}")
    with ProcessPoolExecutor() as pool:
        for row, other in pool.map(partial(measure, count=studies), cells):
            rows.append(row)
            others.append(other)
            print(line(row), "" if row.holds else "<- fails", flush=True)
    print(f"\n{other_table(rows, others)}")
    return int(not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
