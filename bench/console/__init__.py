"""What a study looks like to the person who waits for it, and what the commands print."""

from bench.console.catalogue import catalogue
from bench.console.lines import NO_CORES, busy, progress, say, show, warn
from bench.console.remaining import Remaining
from bench.console.studies import data, estimate, grid, summary
from bench.console.views import LiveView, View, view

__all__ = [
    "NO_CORES",
    "LiveView",
    "Remaining",
    "View",
    "busy",
    "catalogue",
    "data",
    "estimate",
    "grid",
    "progress",
    "say",
    "show",
    "summary",
    "view",
    "warn",
]
