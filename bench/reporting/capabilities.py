"""What each method can do besides learning: what people choose by before they look at figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting.layout import Layout
from bench.reporting.model import Cell, Column, Row, Section, Table, code, paragraph
from methods.capabilities import TITLES, UNKNOWN, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stats import Analysis, Summary


def newest_peft(summary: Summary) -> str:
    """Return the version of peft that the variant's newest run had."""
    return max((*summary.runs, *summary.failed), key=lambda run: run.created_at).environment.peft


def section(analyses: Sequence[Analysis]) -> list[Section]:
    """The methods of all comparisons, in the order in which they stand there; nothing where nothing is known of any."""
    versions: dict[str, str] = {}
    for analysis in analyses:
        layout = Layout(analysis)
        for summary in (layout.summaries[place] for place in layout.order):
            versions.setdefault(summary.method, newest_peft(summary))
    known = {method: described(method, peft) for method, peft in versions.items()}
    if all(said == UNKNOWN for one in known.values() for said in one.values()):
        return []
    rows = tuple(Row((Cell(method), *map(Cell, said.values()))) for method, said in known.items())
    return [
        Section(
            "What each method can do",
            (
                paragraph(
                    "Measured for each method with its defaults, on small models, with the peft of its runs. Merges: "
                    "merged into the backbone, it predicts the same. Unmerged inference: what is computed beside the "
                    "backbone, counted, not timed. Loads with peft: peft alone puts the saved adapter onto a stock "
                    "backbone, and it predicts the same. 4-bit backbone: it trains on one (NF4). Architectures: on how "
                    "many of those tried it runs. Layers: which peft adapts by it. What wasn't measured is unknown; ",
                    code("bench check METHOD"),
                    " measures a method of your own.",
                ),
                Table((Column("Method"), *map(Column, TITLES)), rows),
            ),
        )
    ]
