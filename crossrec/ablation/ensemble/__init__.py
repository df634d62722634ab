"""Ensembles of finished runs and baselines: weights learned on validation, one look at test."""
