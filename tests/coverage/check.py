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
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import searches
from estimators import MARGINS, PRIORS, margins, priors
from simulation import STYLE_SHARES, Cell, Spread, Studies, simulate, styled, true_macro_f1

from bench.reporting.reading import FEW_DOCUMENTS
from bench.stats.chain import told_apart
from bench.stats.differences import surely_beaten
from bench.stats.families import Family, holm
from bench.stats.intervals import LEVEL, Figures, differences, singly
from bench.stats.jackknife import macro_f1
from bench.stats.moderation import Prior, fit
from bench.stats.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST_COVERAGE, MOST_ERRORS, LEAST_KEPT = 0.93, 0.065, 0.935
"""The last is 95% less what 1,000 studies leave open: where two variants are alike it is just 95%."""
TESTS = ((200, 0), (700, 0), (5000, 0), (200, 20), (700, 38), (5000, 200))
"""Test examples, and documents that they are from; 0: each its own."""
PLAIN = [Cell(seeds, sd, *test) for test, seeds, sd in product(TESTS, (3, 5), (0.015, 0.05, 0.15))]
"""Nine variants whose seeds are alike."""
SPREADS = [
    Cell(seeds, 0.025, 4000, 200, variants, spread)
    for variants, spread, seeds in product((2, 7, 60), get_args(Spread), (2, 3, 5))
]
"""More or fewer variants whose spreads over seeds differ; beside the test's chance as large as in a published study."""
FEW = [Cell(1, 0.0, 4000, 200, variants) for variants in (2, 7, 60)]
FEW += [Cell(3, sd, 200, documents, 7) for documents, sd in product((6, 10), (0.015, 0.05))]
FEW += [Cell(3, 0.025, 700, 38, 60)]
"""One seed, given which all intervals are, few documents, and the published study of sixty variants."""
BASELINE = [Cell(1, 0.0, 4000, 200, 8, baseline=True)]
BASELINE += [Cell(seeds, 0.025, 4000, 200, 8, baseline=True) for seeds in (2, 3, 5)]
BASELINE += [Cell(3, sd, 700, 38, 8, baseline=True) for sd in (0.015, 0.05)]
BASELINE += [Cell(3, 0.025, 4000, 200, 8, spread, baseline=True) for spread in ("factor 2", "half in common")]
BASELINE += [Cell(3, 0.025, 4000, 200, 61, baseline=True)]
"""Seven variants, or sixty, beside a baseline as accurate as most of them, whose predictions are fixed."""
CHAINS = [Cell(seeds, 0.025, 4000, 200, variants) for variants, seeds in product((9, 60), (3, 5))]
CHAINS += [Cell(5, 0.05, 700, 38), Cell(5, 0.025, 4000, 200, 60, "factor 2")]
"""For the longest chain of variants that are told apart, of which there are two kinds."""


@dataclass(frozen=True)
class Row:
    """What came out in a cell; shares of studies, and half widths of intervals in accuracy.

    What ends in `_own` is with each variant's own variance over seeds, and `_holm` with Holm's method.
    """

    cell: Cell
    single: float
    single_width: float
    single_width_own: float
    paired: float
    paired_width: float
    paired_width_own: float
    macro_f1: float
    errors: float
    errors_holm: float
    errors_among_true: float
    best_kept: float
    detectable: float
    detectable_holm: float
    detectable_own: float
    power: float

    @property
    def holds(self) -> bool:
        """Whether the cell is as it should be."""
        if 0 < self.cell.documents < FEW_DOCUMENTS or (self.cell.variants, self.cell.spread) == (60, "factor 4"):
            return True  # it doesn't, as docs/statistics.md and the report's warning say
        covered = min(self.single, self.paired, self.macro_f1) >= LEAST_COVERAGE and self.best_kept >= LEAST_KEPT
        return covered and max(self.errors, np.nan_to_num(self.errors_among_true)) <= MOST_ERRORS


Others = dict[str, tuple[float, float, float]]
"""Of other estimators: how often they cover, how wide they are, how often they err with Bonferroni."""


def measure(cell: Cell, count: int) -> tuple[Row, Others]:
    """Analyse a cell's studies as bench.stats does; also what other estimators would have given."""
    found: dict[str, list[Any]] = {}
    for number, studies in enumerate(simulate(cell, count)):
        for name, values in {**_measure(cell, studies, number), **_others(cell, studies)}.items():
            found.setdefault(name, []).append(values)
    whole = {name: np.concatenate(values) for name, values in found.items() if values[0] is not None}
    null, wide = whole.pop("null"), whole.pop("found_beyond")
    means = {name: float(values.mean()) for name, values in whole.items()}
    means |= {name: float(np.sqrt((whole[name] ** 2).mean())) for name in whole if name.startswith("detectable")}
    others = {
        name.removesuffix(" covers"): (means.pop(name), means.pop(f"{name[:-7]} width"), means.pop(f"{name[:-7]} errs"))
        for name in list(means)
        if name.endswith(" covers")
    }
    return Row(cell, **means, power=float((null + means["detectable"] > wide).mean())), others


def _measure(cell: Cell, studies: Studies, number: int) -> dict[str, NDArray[Any]]:
    scores, influences = studies.scores, studies.influences
    prior = fit(scores, np.ones(scores.shape[:-1], dtype=bool))
    own = Prior.none(cell.variants)
    each, pairs = singly(scores, influences, prior), differences(scores, influences, prior)
    against, against_own = (
        found.at(slice(None), slice(1, None), 0) for found in (pairs, differences(scores, influences, own))
    )
    alike, best = slice(0, cell.alike - 1), int(cell.truth.argmax())
    p, bonferroni = against.p(), LEVEL / (cell.alike - 1)
    families = [Family(pairs.at(study, slice(0, cell.alike), slice(0, cell.alike)), 0) for study in range(len(p))]
    everyone = [Family(pairs.at(study), 0) for study in range(len(p))] if cell in PLAIN else []
    levels = np.array([[family.level] for family in families])
    nulls = against.at(slice(None), alike)
    return {
        "single": _covers(each, cell.truth),
        "single_width": each.half_width(),
        "single_width_own": singly(scores, influences, own).half_width(),
        "paired": _covers(against, cell.truth[1:] - cell.truth[0]),
        "paired_width": against.half_width(),
        "paired_width_own": against_own.half_width(),
        "macro_f1": _macro_f1_covers(cell, studies, number),
        "errors": _errs(families, p[:, alike]),
        "errors_holm": np.any(p[:, alike] <= bonferroni, axis=1),
        "errors_among_true": _errs(everyone, p, cell.alike - 1) if everyone else np.full(len(p), np.nan),
        "best_kept": ~surely_beaten(pairs.at(slice(None), best, np.arange(cell.variants) != best)),
        "null": nulls.mean,
        "found_beyond": nulls.half_width(levels),
        "detectable": nulls.detectable(levels),
        "detectable_holm": nulls.detectable(bonferroni),
        "detectable_own": against_own.at(slice(None), alike).detectable(bonferroni),
    }


def _covers(figures: Figures, truth: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.abs(figures.mean - truth) <= figures.half_width())


def _errs(families: Sequence[Family], p: NDArray[Any], true: int | None = None) -> NDArray[Any]:
    """Whether any difference is found of the first `true`, in which there is none, [studies]."""
    return np.array([np.any(family.adjusted(row)[:true] <= LEVEL) for family, row in zip(families, p, strict=True)])


def _macro_f1_covers(cell: Cell, studies: Studies, number: int) -> NDArray[Any]:
    """Whether the intervals of macro-F1 cover, of all variants in a part of the studies, [studies, variants]."""
    covered = []
    styles = tuple(map(str, range(len(STYLE_SHARES))))
    for place in range(0, len(studies.right), 4):
        labels, predictions = styled(studies.right[place], studies.clusters, 10_000 * number + place)
        samples = [
            macro_f1(Outcomes(tuple(range(cell.seeds)), styles, labels, runs, None), studies.clusters)
            for runs in predictions
        ]
        scores, influences = (
            np.stack([getattr(sample, name) for sample in samples]) for name in ("scores", "influences")
        )
        figures = singly(scores, influences, fit(scores, np.ones(cell.variants, dtype=bool)))
        covered.append(_covers(figures, true_macro_f1(cell, studies.seed_sds[place], labels)))
    return np.stack(covered)


def _others(cell: Cell, studies: Studies) -> dict[str, NDArray[Any]]:
    """For paired differences: whether other estimators' intervals cover, how wide they are, and whether they err."""
    if cell in FEW:
        return {}
    scores, influences = studies.scores, studies.influences
    found = {}
    if cell in PLAIN:
        mean = scores[:, 1:].mean(axis=-1) - scores[:, :1].mean(axis=-1)
        widths = margins(scores, influences)
    else:
        figures = {
            name: differences(scores, influences, prior).at(slice(None), slice(1, None), 0)
            for name, prior in priors(scores).items()
        }
        mean = next(iter(figures.values())).mean
        widths = {name: partial(lambda made, level: made.half_width(level), made) for name, made in figures.items()}
    off = np.abs(mean - (cell.truth[1:] - cell.truth[0]))
    for name, width in widths.items():
        wide = width(LEVEL)
        found[f"{name} covers"], found[f"{name} width"] = off <= wide, wide
        found[f"{name} errs"] = np.any((off > width(LEVEL / (cell.alike - 1)))[:, : cell.alike - 1], axis=1)
    return found


def against_baseline(cell: Cell, count: int) -> tuple[float, float, float]:
    """How often differences from the baseline cover, half their mean width, and how often any errs among the alike."""
    covered, wide, errs = [], [], []
    for studies in simulate(cell, count):
        scores = studies.scores[:, 1:] - studies.scores[:, :1, :1]
        influences = studies.influences[:, 1:] - studies.influences[:, :1, :1]
        figures = singly(scores, influences, fit(studies.scores[:, 1:], np.ones(scores.shape[:-1], dtype=bool)))
        covered.append(_covers(figures, cell.truth[1:] - cell.truth[0]))
        wide.append(figures.half_width())
        errs += [holm(p)[: cell.alike - 1].min() <= LEVEL for p in figures.p()]
    return float(np.concatenate(covered).mean()), float(np.concatenate(wide).mean()), float(np.mean(errs))


def baseline_line(cell: Cell, found: tuple[float, float, float]) -> str:
    """A cell's line in the table of differences from the baseline."""
    told = [cell.variants - 1, cell.spread, cell.seeds, f"{40 * cell.seed_sd:.1f}", cell.examples, cell.documents]
    return f"| {' | '.join([*map(str, told), *(f'{100 * figure:.1f}' for figure in found)])} |"


def chains(cell: Cell, count: int) -> tuple[float, float]:
    """How often the longest chain has two variants that are alike, and in how many studies it has both kinds."""
    false, both = [], []
    for studies in simulate(cell, count):
        prior = fit(studies.scores, np.ones(studies.scores.shape[:-1], dtype=bool))
        pairs = differences(studies.scores, studies.influences, prior)
        for study, order in enumerate(np.argsort(-studies.scores.mean(axis=-1), axis=-1, kind="stable")):
            found = told_apart(pairs.at(study, order[:, None], order[None, :]), order.tolist())
            kinds = [] if found is None else [cell.truth[place] for place in found.places]
            false.append(len(kinds) > len(set(kinds)))
            both.append(len(set(kinds)) == 2)
    return float(np.mean(false)), float(np.mean(both))


def head() -> str:
    """The head of the table of cells, in Markdown; all but the counts in percent or points."""
    names = ["variants", "their seeds", "seeds", "seed sd", "test examples", "documents"]
    names += ["one variant", "±", "before", "difference", "±", "before", "macro-F1"]
    names += ["errors", "with Holm", "some differ", "best kept", "detectable", "with Holm", "before", "power"]
    return f"| {' | '.join(names)} |\n|{' ---: |' * len(names)}"


def line(row: Row) -> str:
    """A cell's line in that table."""
    cell = row.cell
    told = [cell.variants, cell.spread, cell.seeds, f"{40 * cell.seed_sd:.1f}", cell.examples, cell.documents or "–"]
    figures = [row.single, row.single_width, row.single_width_own, row.paired, row.paired_width, row.paired_width_own]
    figures += [row.macro_f1, row.errors, row.errors_holm, row.errors_among_true, row.best_kept]
    figures += [row.detectable, row.detectable_holm, row.detectable_own, row.power]
    written = ("–" if np.isnan(figure) else f"{100 * figure:.1f}" for figure in figures)
    return f"| {' | '.join([*map(str, told), *written])} |"


def other_table(rows: Sequence[Row], others: Sequence[Others], ours: str) -> str:
    """What other estimators give for paired differences: the worst cell, and how wide they are beside ours."""
    found = {ours: [(row.paired, row.paired_width, row.errors_holm) for row in rows]}
    found |= {name: [cell[name] for cell in others] for name in others[0]}
    lines = ["| estimator | lowest coverage | most errors | mean width beside ours |", "| --- | ---: | ---: | ---: |"]
    for name, cells in found.items():
        wide = np.exp(
            np.mean([np.log(width / row.paired_width) for (_, width, _), row in zip(cells, rows, strict=True)])
        )
        least, most = min(covered for covered, _, _ in cells), max(errs for _, _, errs in cells)
        lines.append(f"| {name} | {100 * least:.1f} | {100 * most:.1f} | {wide:.2f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure all cells; return 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a cell (default: 1000)")
    studies = parser.parse_args().studies
    measured: dict[Cell, tuple[Row, Others]] = {}
    print(f"{studies} studies a cell, of many variants two fifths of that\n\n{head()}")
    cells = [*PLAIN, *SPREADS, *FEW]
    counts = [studies * 2 // 5 if cell.variants == 60 else studies for cell in cells]
    with ProcessPoolExecutor() as pool:
        for cell, found in zip(cells, pool.map(measure, cells, counts), strict=True):
            measured[cell] = found
            print(line(found[0]), "" if found[0].holds else "<- fails", flush=True)
    for group, ours in ((PLAIN, MARGINS), (SPREADS, PRIORS)):
        rows, others = zip(*(measured[cell] for cell in group), strict=True)
        print(f"\n{other_table(rows, others, ours)}")
    print("\n| variants | their seeds | seeds | seed sd | test examples | documents | difference | ± | errors |")
    print(f"|{' ---: |' * 9}")
    baselines = [against_baseline(cell, studies * 2 // 5 if cell.variants > 60 else studies) for cell in BASELINE]
    for cell, figures in zip(BASELINE, baselines, strict=True):
        print(baseline_line(cell, figures), flush=True)
    beside = all(covered >= LEAST_COVERAGE and errs <= MOST_ERRORS for covered, _, errs in baselines)
    print("\n| variants | their seeds | seeds | seed sd | test examples | documents | false chains | both told apart |")
    print(f"|{' ---: |' * 8}")
    linked = [chains(cell, studies * 2 // 5) for cell in CHAINS]
    for cell, shares in zip(CHAINS, linked, strict=True):
        told = [cell.variants, cell.spread, cell.seeds, f"{40 * cell.seed_sd:.1f}", cell.examples, cell.documents]
        print(f"| {' | '.join([*map(str, told), *(f'{100 * share:.1f}' for share in shares)])} |", flush=True)
    beside &= all(errs <= MOST_ERRORS for errs, _ in linked)
    tuned, held = searches.table(studies)
    print(f"\nTuned settings, of the worst of six curves:\n\n{tuned}")
    return int(not (held and beside and all(row.holds for row, _ in measured.values())))


if __name__ == "__main__":
    sys.exit(main())
