"""Records -> estimates: what is known of each variant and how surely. Values only; words are for bench.reporting."""

from bench.stats.analysis import Analysis, analyse, without_predictions
from bench.stats.baseline import Against
from bench.stats.chain import Chain
from bench.stats.curves import Curves, Overtaking, curves
from bench.stats.differences import Difference, Verdict
from bench.stats.intervals import Interval
from bench.stats.outcomes import Outcomes
from bench.stats.pareto import Cost, Front
from bench.stats.reference import written
from bench.stats.searches import FEW_TRIALS, Rule, Search, expected_best, expected_seconds, searches
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
    newest_first,
    turned_up,
    whole_task,
)
from bench.stats.tasks import THRESHOLDS, Average, Contender, Overall, Profile, over_tasks
from bench.stats.tuned import Gap, Tuned, agreement, worse_than_default

__all__ = [
    "FEW_TRIALS",
    "THRESHOLDS",
    "Against",
    "Analysis",
    "Average",
    "Chain",
    "Comparison",
    "Contender",
    "Cost",
    "Curves",
    "Difference",
    "Estimate",
    "Front",
    "Gap",
    "Interval",
    "Machine",
    "Outcomes",
    "Overall",
    "Overtaking",
    "Profile",
    "Rule",
    "Search",
    "Summary",
    "TrainingSettings",
    "Tuned",
    "Verdict",
    "agreement",
    "alpha_sweeps",
    "analyse",
    "comparisons",
    "curves",
    "differing_hyperparameters",
    "differing_settings",
    "estimate",
    "expected_best",
    "expected_seconds",
    "has_result",
    "newest_first",
    "over_tasks",
    "searches",
    "turned_up",
    "whole_task",
    "without_predictions",
    "worse_than_default",
    "written",
]
