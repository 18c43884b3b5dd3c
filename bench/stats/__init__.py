"""Records -> estimates: what is known of each variant and how surely. Values only; words are for bench.reporting."""

from bench.stats.analysis import Analysis, analyse, without_predictions
from bench.stats.differences import Difference, Verdict
from bench.stats.intervals import Interval
from bench.stats.outcomes import Outcomes
from bench.stats.pareto import Cost, Front
from bench.stats.reference import written
from bench.stats.summaries import (
    Comparison,
    Estimate,
    Machine,
    Summary,
    TrainingSettings,
    alpha_sweeps,
    comparisons,
    differing_hyperparameters,
    differing_settings,
    estimate,
    has_result,
    turned_up,
)
from bench.stats.tasks import THRESHOLDS, Average, Contender, Overall, Profile, over_tasks

__all__ = [
    "THRESHOLDS",
    "Analysis",
    "Average",
    "Comparison",
    "Contender",
    "Cost",
    "Difference",
    "Estimate",
    "Front",
    "Interval",
    "Machine",
    "Outcomes",
    "Overall",
    "Profile",
    "Summary",
    "TrainingSettings",
    "Verdict",
    "alpha_sweeps",
    "analyse",
    "comparisons",
    "differing_hyperparameters",
    "differing_settings",
    "estimate",
    "has_result",
    "over_tasks",
    "turned_up",
    "without_predictions",
    "written",
]
