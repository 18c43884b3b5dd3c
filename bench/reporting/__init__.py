"""What report.py renders with: records -> a report of sections and tables -> a format."""

from bench.reporting.document import comparison, report

__all__ = ["comparison", "report"]
