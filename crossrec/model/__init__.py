"""The cross-modal model: where encoders, fusion, sequence model and objective meet."""

from crossrec.model.config import ModelConfig

__all__ = ["ModelConfig"]
