"""Rerankers: from a recommender's candidates to a list that is diverse, novel, calibrated or in context."""
