"""Training: windows and batches, the task, the loop, parallelism, checkpoints, tracking."""
