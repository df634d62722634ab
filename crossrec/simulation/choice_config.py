"""Configuration of the choice model that stands in for users of a real log."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from crossrec.config import Config


class ChoiceModelConfig(Config):
    """A conditional logit over items, fitted to a log.

    Each user's clicks are divided by order: the first ``learn`` of them make the features, the next ``fit``
    the coefficients, the rest check the calibration. A simulated recommender starts from the first part
    alone.

    Args:
        learn: share of each user's clicks.
        fit: share of each user's clicks.
        factors: width of item and user factors.
        smoothing: clicks that are added, spread evenly over categories, before a user's shares are taken.
        alternatives: items that each click is compared with, drawn evenly from those not clicked.
        ridge: weight of the squared coefficients.
        bins: of the reliability table.
        seed: of the alternatives.
    """

    learn: float = Field(0.6, gt=0, lt=1)
    fit: float = Field(0.2, gt=0, lt=1)
    factors: int = Field(32, ge=1, le=65_536)
    smoothing: float = Field(2.0, gt=0)
    alternatives: int = Field(100, ge=1)
    ridge: float = Field(1e-3, ge=0)
    bins: int = Field(10, ge=2)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if self.learn + self.fit >= 1:
            raise ValueError(
                f"learn {self.learn:g} and fit {self.fit:g} leave nothing to check calibration with"
            )
        return self
