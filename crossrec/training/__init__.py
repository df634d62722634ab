"""The training loop: batches, optimiser, parallelism, checkpoints, tracking."""

from crossrec.training.config import TrainerConfig

__all__ = ["TrainerConfig"]
