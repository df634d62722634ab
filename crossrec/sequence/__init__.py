"""Sequence models: vectors of the clicked items in, one hidden state a position out."""

from crossrec.sequence.config import LLMConfig, SASRecConfig, SequenceConfig

__all__ = ["LLMConfig", "SASRecConfig", "SequenceConfig"]
