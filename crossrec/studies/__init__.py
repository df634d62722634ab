"""Studies over many runs: grids, searches, trade-offs, ensembles, pairs, simulated loops, generators."""
