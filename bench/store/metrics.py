"""The metrics of a record's test split, by their names there; how they are computed is in bench.training.metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric's name in the record and for people, and which way is better.

    `two_styles`: it is of the rarer of two styles, and there is none where styles are more.
    """

    name: str
    title: str
    larger_is_better: bool = True
    two_styles: bool = False

    @property
    def noun(self) -> str:
        """The title as it stands within a sentence."""
        return self.title[0].lower() + self.title[1:] if self.title[1].islower() else self.title


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "Accuracy"),
        Metric("macro_f1", "Macro-F1"),
        Metric("rarer_f1", "F1 of the rarer", two_styles=True),
        Metric("roc_auc", "ROC AUC", two_styles=True),
        Metric("average_precision", "Average precision", two_styles=True),
        Metric("calibration_error", "Calibration error", larger_is_better=False),
        Metric("loss", "Log loss", larger_is_better=False),
    )
}
"""Every metric by its name, in the order in which reports show them."""
