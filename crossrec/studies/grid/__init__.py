"""Ablations: a grid or a search over any keys of an experiment, each trial an ordinary run."""
