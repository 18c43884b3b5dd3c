"""The report's pictures: each as an SVG drawing and as an interactive plotly figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.reporting.model import Picture
    from bench.stats import Analysis


def pictures(analysis: Analysis) -> list[Picture]:
    """Return the pictures that the records allow, in the order in which a reader needs them."""
    # matplotlib takes half a second to import: only who draws waits for it.
    from bench.reporting.plots import accuracy, alpha, confusion, difference, learning, pareto
    from bench.reporting.plots.view import View

    view = View(analysis)
    drawn = (kind.picture(view) for kind in (pareto, accuracy, difference, learning, alpha, confusion))
    return [picture for picture in drawn if picture is not None]
