"""Several recommenders as one: weighted ensembles of scores or ranks, and cascades of stages."""
