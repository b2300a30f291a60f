"""The report of a study: one page that opens offline, and its tables."""

from salign.experiment.report.report import write_report

__all__ = ["write_report"]
