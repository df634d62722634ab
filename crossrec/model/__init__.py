"""Cross-modal model: encoders, fusion, sequence model and scores."""

from crossrec.model.config import ModelConfig

__all__ = ["ModelConfig"]
