"""One task at several train sizes: accuracy against passages, and where one method overtakes another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.reporting import overall, searches, words
from bench.reporting.answer import NAMED, listed
from bench.reporting.layout import Layout
from bench.reporting.model import Cell, Column, Row, Section, Table, Unit, code, paragraph, strong
from bench.reporting.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.reporting.model import Block, Paragraph, Span
    from bench.stats import Curves, Interval, Overtaking, Verdict

TITLE = "Accuracy by train size"
SHOWN = 15
"""So many methods, or pairs of them, stand in a table; the others are folded away."""
OUTSTANDING = 6
"""So many methods stand out in the picture; of these alone it is told whose means change places."""
MARKS: dict[Verdict, str] = {"better": " better", "worse": " worse", "equivalent": " equivalent"}


def title(found: Curves, several: bool) -> str:
    """What the section is called; `several` tasks are told apart."""
    record = found.analyses[-1].comparison.newest
    return f"{TITLE} – {record.backbone.name} on {record.data.name}" if several else TITLE


def section(found: Curves, title: str, prefix: str = "", *, draw: bool) -> Section:
    """A task's curves; `draw` draws them, in a picture whose name begins with the prefix."""
    blocks: list[Block] = [_answer(found), *_picture(found, prefix, draw), accuracies(found), *_reading(found)]
    if crossings := _crossings(found):
        blocks += [_paired(found), crossings]
    return Section(title, tuple(blocks))


def names(found: Curves) -> list[str]:
    """A name for each member, and last the baseline's."""
    labels = map(overall.label, found.members)
    named = [f"{label} tuned" if place in found.tuned else label for place, label in enumerate(labels)]
    return [*named, words.BASELINE]


def outstanding(found: Curves) -> list[int]:
    """Choose the members that are told apart by colour: every method's best, then what comes next by accuracy."""
    first: dict[str, int] = {}
    for place, member in enumerate(found.members):
        first.setdefault(member.method, place)
    best = set(first.values())
    return sorted(sorted(range(len(found.members)), key=lambda place: place not in best)[:OUTSTANDING])


def accuracies(found: Curves) -> Table:
    """Each member's accuracy at each size, and the baselines', the highest at the largest size first."""
    columns = (Column("Method"), *(Column(count(size), Unit.SCORE) for size in found.sizes))
    rows = [
        Row((Cell(name), *(_accuracy(found, place, size) for size in range(len(found.sizes)))))
        for place, name in enumerate(names(found)[: len(found.members)])
    ]
    rows += [
        Row((Cell(name), *(_cell(mean, interval) for mean, interval in figures)), baseline=True)
        for name, figures in baselines_by_size(found).items()
    ]
    rows.sort(key=lambda row: -float(row.cells[-1].value or 0))
    if len(rows) <= SHOWN:
        return Table(columns, tuple(rows))
    return Table(columns, tuple(rows), SHOWN, f"{len(rows) - SHOWN} more methods")


def baselines_by_size(found: Curves) -> dict[str, list[tuple[float | None, Interval | None]]]:
    """What no method is needed for: by name, the accuracy at each size with its interval, as far as known."""
    made: dict[str, list[tuple[float | None, Interval | None]]] = {
        words.BASELINE: [
            (
                one.comparison.baseline.accuracy if one.comparison.baseline else None,
                one.against_baseline.accuracy if one.against_baseline else None,
            )
            for one in found.analyses
        ],
        words.MAJORITY: [(one.comparison.majority.accuracy, None) for one in found.analyses],
    }
    return {name: figures for name, figures in made.items() if any(mean is not None for mean, _ in figures)}


def _cell(mean: float | None, interval: Interval | None) -> Cell:
    return Cell(mean, interval=(interval.low, interval.high) if interval else None)


def _accuracy(found: Curves, member: int, size: int) -> Cell:
    known = found.accuracy(member, size)
    if known is None:
        return Cell()
    estimate, interval = known
    top = found.members[member].places[size] in found.analyses[size].top
    return replace(_cell(estimate.mean, interval), spread=estimate.sd, mark=f" {words.TOP}" if top else "")


def _answer(found: Curves) -> Paragraph:
    """Say where one method overtakes another, or that none is shown to."""
    span = f"{count(found.sizes[0])} to {count(found.sizes[-1])} train passages"
    if not found.members:
        return paragraph(strong("No method has a result at two train sizes."), " So there is no curve to draw.")
    if len(found.members) == 1 and not found.differences:
        return paragraph(f"From {span}, only ", code(names(found)[0]), " has results at two sizes or more.")
    if not found.differences:
        return paragraph(f"From {span}. Whether one method overtakes another can't be told without the predictions.")
    if not found.overtakings:
        return paragraph(
            strong(f"No method is shown to overtake another from {span}."),
            " For that, it must be shown to be worse at one size and better at a larger one.",
        )
    told = [_told(found, one) for one in found.overtakings[:NAMED]]
    more = len(found.overtakings) - len(told)
    said: list[str | Span] = [strong(f"{'; '.join(told)}.")]
    if more:
        said.append(f" The table below has {count(more)} more.")
    return paragraph(*said)


def _told(found: Curves, one: Overtaking) -> str:
    named = names(found)
    between = f"between {count(found.sizes[one.before])} and {count(found.sizes[one.after])} train passages"
    return f"{named[one.which]} overtakes {named[one.other]} {between}"


def _reading(found: Curves) -> list[Paragraph]:
    """How the table is to be read."""
    said = [
        paragraph(
            "The columns are numbers of train passages; mean ± standard deviation over seeds, and in brackets the 95% "
            f"interval. {words.TOP} can't be told from the best at that size. Each smaller train split is a part of "
            "each larger one, and all are validated and tested on the same passages. Where epochs are the same, fewer "
            "passages are fewer training steps."
        )
    ]
    labelled = zip(names(found), found.members, strict=False)
    varying = [f"{name} ({', '.join(map(overall.setting, m.varying))})" for name, m in labelled if m.varying]
    if varying:
        said.append(paragraph(f"Between sizes, other settings of these methods differ: {listed(varying)}."))
    if found.tuned:
        said.append(paragraph("A tuned method has at each size the settings that a search chose there."))
    return said + [one for analysis in found.analyses[-1:] for one in searches.given(Layout(analysis))]


def _picture(found: Curves, prefix: str, draw: bool) -> list[Block]:
    if not draw or not found.members:
        return []
    from bench.reporting.plots import curves  # matplotlib takes a second to import

    drawn = curves.picture(found, names(found)[: len(found.members)], outstanding(found), baselines_by_size(found))
    return [replace(drawn, name=prefix + drawn.name)]


def _paired(found: Curves) -> Paragraph:
    number = sum(map(len, found.differences.values()))
    return paragraph(
        strong("Where means change places."),
        " The first method's accuracy minus the second's in points at each size, on the same seeds and test passages, "
        "with the 95% interval of each difference by itself. Better and worse use p adjusted for all "
        f"{count(number)} differences at a size between two methods, or a method and {words.BASELINE} (Holm), so with "
        "95% confidence none is false. A method overtakes another where the verdict turns from worse to better; "
        "without a verdict the two can't be told apart.",
    )


def _crossings(found: Curves) -> Table | None:
    """The pairs of methods that overtake one another, and those whose means change places without its being shown."""
    named, shown = names(found), {*outstanding(found), found.baseline}
    pairs: dict[tuple[int, int], list[Overtaking]] = {}
    for one in found.overtakings:
        pair = (one.which, one.other) if (one.other, one.which) not in pairs else (one.other, one.which)
        pairs.setdefault(pair, []).append(one)
    for pair in found.crossing:
        if set(pair) <= shown and pair[::-1] not in pairs:
            pairs.setdefault(pair, [])
    if not pairs or not found.differences:
        return None
    columns = (
        Column("Method"),
        Column("Against"),
        *(Column(count(size), Unit.POINTS) for size in found.sizes),
        Column("Overtakes", limit=120),
    )
    rows = [
        Row(
            (
                Cell(named[pair[0]]),
                Cell(named[pair[1]]),
                *(_difference(found, pair, size) for size in range(len(found.sizes))),
                Cell(_between(found, pair, overtakings) if overtakings else "not shown"),
            )
        )
        for pair, overtakings in pairs.items()
    ]
    if len(rows) <= SHOWN:
        return Table(columns, tuple(rows))
    return Table(columns, tuple(rows), SHOWN, f"{len(rows) - SHOWN} more pairs")


def _between(found: Curves, pair: tuple[int, int], overtakings: Sequence[Overtaking]) -> str:
    """Say between which sizes, and which way where it isn't the first that overtakes."""
    told = []
    for one in overtakings:
        between = f"between {count(found.sizes[one.before])} and {count(found.sizes[one.after])}"
        told.append(between if one.which == pair[0] else f"is overtaken {between}")
    return ", ".join(told)


def _difference(found: Curves, pair: tuple[int, int], size: int) -> Cell:
    difference = found.difference(*pair, size)
    return (
        Cell()
        if difference is None
        else replace(_cell(difference.mean, difference.interval), mark=MARKS.get(difference.verdict, ""))
    )
