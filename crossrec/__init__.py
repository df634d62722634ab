"""crossrec: cross-modal, LLM-based recommenders with diversity as a first-class goal."""

__version__ = "0.1.0"
