"""Experiment trackers that a study reports to, beside its records. They may fail or hang; a study doesn't."""

from bench.tracking.installed import NAMES, Name, named
from bench.tracking.trackers import Trackers

__all__ = ["NAMES", "Name", "Trackers", "named"]
