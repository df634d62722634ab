"""Accuracy against diversity: sweep strengths on validation, pick there, report on test."""
