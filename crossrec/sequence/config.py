"""Configurations of the sequence models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crossrec.config import Config, UnionFamily
from crossrec.sequence.options import Activation, Norm, Positions

if TYPE_CHECKING:
    from crossrec.sequence.base import SequenceModel


def _positions_of_old_configs(value: Any) -> Any:
    """Run folders written while learned positions were the only ones say true or false."""
    return {True: "learned", False: "none"}[value] if isinstance(value, bool) else value


class CausalTransformerConfig(Config):
    """Options that SASRec and its descendants share."""

    max_length: int = Field(50, ge=1, le=100_000, description="clicks seen at once, the latest ones")
    layers: int = Field(2, ge=1, le=1_000)
    heads: int = Field(1, ge=1, le=1_024)
    feedforward: float = Field(
        1.0, gt=0, le=64, description="inner width of the feed-forward part, in widths"
    )
    activation: Activation = Field("relu", description="of the feed-forward part")
    norm: Norm = "layer"
    positions: Annotated[Positions, BeforeValidator(_positions_of_old_configs)] = "learned"
    time_gaps: bool = Field(False, description="read the time since the previous click")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the input and of both sub-layers' outputs")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="of attention weights; above 0 they must be held in memory, far slower"
    )
    click_dropout: float = Field(0.0, ge=0, lt=1, description="share of clicks that training hides whole")


class SASRecConfig(CausalTransformerConfig):
    """Causal Transformer over item vectors."""

    type: Literal["sasrec"] = "sasrec"

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.sasrec import SASRec

        return SASRec(self, width)


class ESASRecConfig(CausalTransformerConfig):
    """SASRec with gated residuals and SwiGLU."""

    type: Literal["esasrec"] = "esasrec"
    feedforward: float = Field(
        4.0, gt=0, le=64, description="inner width of the feed-forward part, in widths"
    )
    activation: Activation = Field("swiglu", description="of the feed-forward part")

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.esasrec import ESASRec

        return ESASRec(self, width)


class BERT4RecConfig(Config):
    """Bidirectional Transformer that learns by guessing masked clicks."""

    type: Literal["bert4rec"] = "bert4rec"
    max_length: int = Field(
        50, ge=2, le=100_000, description="clicks seen at once, the masked one to guess included"
    )
    layers: int = Field(2, ge=1, le=1_000)
    heads: int = Field(2, ge=1, le=1_024)
    feedforward: float = Field(
        4.0, gt=0, le=64, description="inner width of the feed-forward part, in widths"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="of the input and of both sub-layers' outputs")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="of attention weights; above 0 they must be held in memory, far slower"
    )
    mask_share: float = Field(0.2, gt=0, lt=1, description="chance that training masks a click")

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.bert4rec import BERT4Rec

        return BERT4Rec(self, width)


class HSTUConfig(Config):
    """Gated blocks of attention without softmax, biased by positions and times."""

    type: Literal["hstu"] = "hstu"
    max_length: int = Field(50, ge=1, le=100_000, description="clicks seen at once, the latest ones")
    layers: int = Field(2, ge=1, le=1_000)
    heads: int = Field(1, ge=1, le=1_024)
    time_bias: bool = Field(True, description="attention reads the time between clicks; false where unknown")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the input and of each block's gated values")
    click_dropout: float = Field(0.0, ge=0, lt=1, description="share of clicks that training hides whole")

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.hstu import HSTU

        return HSTU(self, width)


class GRU4RecConfig(Config):
    """Recurrent network over item vectors."""

    type: Literal["gru4rec"] = "gru4rec"
    max_length: int = Field(50, ge=1, le=100_000, description="clicks seen at once, the latest ones")
    layers: int = Field(1, ge=1, le=1_000)
    hidden: int | None = Field(
        None, ge=1, le=65_536, description="width of the state; the item vectors' when null"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="of the input and of each layer's states")
    click_dropout: float = Field(0.0, ge=0, lt=1, description="share of clicks that training hides whole")

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.gru4rec import GRU4Rec

        return GRU4Rec(self, width)


class LoRAConfig(Config):
    """Low-rank adapters on a frozen decoder (Hu et al. 2022)."""

    r: int = Field(8, ge=1, le=65_536)
    alpha: int = Field(16, ge=1, le=1_000_000)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class LLMConfig(Config):
    """A Hugging Face decoder that reads item vectors through ``inputs_embeds``."""

    type: Literal["llm"] = "llm"
    weights: str = Field("package:smollm2-135m", description="local path, package:NAME, hub name, or random")
    layers: int | None = Field(None, ge=1, le=1_000, description="keep only the first n layers")
    max_length: int = Field(50, ge=1, le=100_000, description="clicks seen at once, the latest ones")
    lora: LoRAConfig | None = Field(LoRAConfig(), description="null trains all of the decoder's weights")
    prompt: str | None = Field(None, description="text before the items")
    dropout: float = Field(0.1, ge=0, lt=1, description="of the item vectors on their way in")

    def check(self, cache_dir: Path) -> None:
        """Refuses what :meth:`build` would, from the decoder's settings alone.

        Raises:
            InputError: weights can't be had, or there are fewer layers than are asked for.
        """
        from crossrec.sequence.llm import check_decoder

        check_decoder(self, cache_dir)

    def build(self, width: int, cache_dir: Path) -> SequenceModel:
        """A model over item vectors of this width."""
        from crossrec.sequence.llm import LLMSequenceModel

        return LLMSequenceModel(self, width, cache_dir)


SequenceConfig = Annotated[
    SASRecConfig | ESASRecConfig | BERT4RecConfig | HSTUConfig | GRU4RecConfig | LLMConfig, UnionFamily()
]
