"""Report: one self-contained HTML file with tables, plots and recommendations as pictures."""

from crossrec.evaluation.report.cards import Showcase
from crossrec.evaluation.report.content import RecommenderResult
from crossrec.evaluation.report.page import write_report

__all__ = ["RecommenderResult", "Showcase", "write_report"]
