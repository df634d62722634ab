"""When in a training an augmentation is on, and how strongly."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from crossrec.config import Config


class Schedule(Config):
    """A window of the training, with a linear rise at its start; always on by default."""

    start: float = Field(0.0, ge=0, le=1, description="share of the training after which it sets in")
    stop: float = Field(1.0, ge=0, le=1, description="share of the training after which it is off")
    ramp: float = Field(0.0, ge=0, le=1, description="share of the training over which it rises")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"stop ({self.stop:g}) must be greater than start ({self.start:g})")
        if self.start + self.ramp > self.stop:
            raise ValueError("start + ramp must not exceed stop: the full strength would never be reached")
        return self

    def at(self, progress: float) -> float:
        """How strong the augmentation is, a factor on its share or number.

        Args:
            progress: share of the training that is done, 0 to 1.

        Returns:
            In [0, 1]; 0 outside [start, stop), rising linearly to 1 over the ramp. A ``stop`` of 1 includes
            the end of the training.
        """
        if progress < self.start or (progress >= self.stop and self.stop < 1):
            return 0.0
        return 1.0 if self.ramp == 0 else min(1.0, (progress - self.start) / self.ramp)
