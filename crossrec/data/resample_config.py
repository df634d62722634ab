"""Configuration of resampling: which users' training clicks an epoch holds more often."""

from __future__ import annotations

from pydantic import Field

from crossrec.config import Config


class ResampleConfig(Config):
    """Users are drawn with replacement each epoch, by weights that even out what the log has too much of.

    Every switch is a power, 0 for off; those that are on multiply. An epoch holds about as many clicks as
    the log, so that a training costs the same with and without.

    Args:
        category: users whose clicks fall in categories with few training clicks come more often, by the mean
            of ``clicks of the category ** -category`` over their clicks.
        popularity: users who click items with few training clicks come more often, by the mean of
            ``clicks of the item ** -popularity`` over their clicks.
        activity: users with few clicks come more often, by ``clicks ** -activity``; 1 gives every user the
            same share of the clicks.
        segment: users of small segments come more often, by ``size ** -segment``; needs ``segments``.
        max_repeats: how often a user comes in an epoch at most, on average.
    """

    category: float = Field(0.0, ge=0, le=2)
    popularity: float = Field(0.0, ge=0, le=2)
    activity: float = Field(0.0, ge=0, le=2)
    segment: float = Field(0.0, ge=0, le=2)
    max_repeats: float = Field(10.0, ge=1)

    @property
    def active(self) -> tuple[str, ...]:
        """The switches that are on, by name and power."""
        powers = {
            "category": self.category,
            "popularity": self.popularity,
            "activity": self.activity,
            "segment": self.segment,
        }
        return tuple(f"{name} {power:g}" for name, power in powers.items() if power > 0)
