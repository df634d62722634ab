"""Configurations of the sequence models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossrec.config import Config, Family

if TYPE_CHECKING:
    from crossrec.sequence.base import SequenceModel


class SASRecConfig(Config):
    """Causal Transformer over item vectors."""

    type: Literal["sasrec"] = "sasrec"
    max_length: int = Field(50, ge=1, description="clicks seen at once, the latest ones")
    layers: int = Field(2, ge=1)
    heads: int = Field(1, ge=1)
    feedforward: float = Field(1.0, gt=0, description="inner width of the feed-forward part, in widths")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the input and of both sub-layers' outputs")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="of attention weights; above 0 they must be held in memory, far slower"
    )
    positions: bool = Field(True, description="learned position embeddings")

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.sasrec import SASRec

        return SASRec(
            width,
            max_length=self.max_length,
            layers=self.layers,
            heads=self.heads,
            feedforward=self.feedforward,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            positions=self.positions,
        )


class LoRAConfig(Config):
    """Low-rank adapters on a frozen decoder (Hu et al. 2022)."""

    r: int = Field(8, ge=1)
    alpha: int = Field(16, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class LLMConfig(Config):
    """A Hugging Face decoder that reads item vectors through ``inputs_embeds``."""

    type: Literal["llm"] = "llm"
    weights: str = Field("package:smollm2-135m", description="local path, package:NAME, hub name, or random")
    layers: int | None = Field(None, ge=1, description="keep only the first n layers")
    max_length: int = Field(50, ge=1, description="clicks seen at once, the latest ones")
    lora: LoRAConfig | None = Field(LoRAConfig(), description="null trains all of the decoder's weights")
    prompt: str | None = Field(None, description="text before the items")
    dropout: float = Field(0.1, ge=0, lt=1, description="of the item vectors on their way in")

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.llm import LLMSequenceModel

        return LLMSequenceModel(self, width, cache_dir)


SequenceConfig = Annotated[SASRecConfig | LLMConfig, Family()]
