"""Sequence models: vectors of the clicked items in, one hidden state a position out."""

from crossrec.sequence.config import (
    BERT4RecConfig,
    ESASRecConfig,
    GRU4RecConfig,
    HSTUConfig,
    LLMConfig,
    SASRecConfig,
    SequenceConfig,
)

__all__ = [
    "BERT4RecConfig",
    "ESASRecConfig",
    "GRU4RecConfig",
    "HSTUConfig",
    "LLMConfig",
    "SASRecConfig",
    "SequenceConfig",
]
