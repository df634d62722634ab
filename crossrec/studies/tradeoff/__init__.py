"""Accuracy-diversity trade-off: sweep strengths and pick on validation, report on test."""
