"""Fusion of an item's modalities into one vector; what stands in a masked place never matters."""

from crossrec.fusion.config import FusionConfig

__all__ = ["FusionConfig"]
