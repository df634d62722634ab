"""Exploration: lists that are drawn rather than always the best, with the chance of what was drawn."""
