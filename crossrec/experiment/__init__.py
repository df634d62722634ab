"""Experiments: from a configuration to a run folder with a trained and measured recommender."""
