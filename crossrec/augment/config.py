"""Configuration of augmentation; every kind is off by default."""

from __future__ import annotations

from crossrec.augment.content.variants import ImageVariantsConfig, TextVariantsConfig
from crossrec.augment.generators.application import SynthesisUseConfig
from crossrec.augment.resample import ResampleConfig
from crossrec.augment.sequences.compose import SequenceAugmentConfig
from crossrec.config import Config


class AugmentConfig(Config):
    """Augmentation, synthesis and resampling of the training split; evaluation data is never augmented.

    Args:
        text: variants of items' texts.
        image: variants of items' pictures.
        sequence: augmented copies of users' clicks.
        synthesis: synthetic items of tail categories and synthetic users with few clicks.
        resample: weighted resampling of users per epoch.
    """

    text: TextVariantsConfig | None = None
    image: ImageVariantsConfig | None = None
    sequence: SequenceAugmentConfig | None = None
    synthesis: SynthesisUseConfig | None = None
    resample: ResampleConfig | None = None
