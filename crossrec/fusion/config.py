"""Configurations of the fusions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossrec.config import Config, Family

if TYPE_CHECKING:
    from crossrec.fusion.base import Fusion


class ConcatConfig(Config):
    """Concatenation of all modalities, then a linear map."""

    type: Literal["concat"] = "concat"

    def build(self, n_modalities: int, width: int) -> Fusion:
        """A fusion of (B, M, D) features."""
        from crossrec.fusion.concat import ConcatFusion

        return ConcatFusion(n_modalities, width)


class WeightedConfig(Config):
    """One learned weight a modality, normalised over those present."""

    type: Literal["weighted"] = "weighted"

    def build(self, n_modalities: int, width: int) -> Fusion:
        """A fusion of (B, M, D) features."""
        from crossrec.fusion.weighted import WeightedFusion

        return WeightedFusion(n_modalities, width)


class AttentionConfig(Config):
    """Cross-modal attention among modality tokens."""

    type: Literal["attention"] = "attention"
    heads: int = Field(2, ge=1, le=1_024)
    layers: int = Field(1, ge=1, le=1_000)
    dropout: float = Field(0.1, ge=0, lt=1)

    def build(self, n_modalities: int, width: int) -> Fusion:
        """A fusion of (B, M, D) features."""
        from crossrec.fusion.attention import AttentionFusion

        return AttentionFusion(
            n_modalities, width, heads=self.heads, layers=self.layers, dropout=self.dropout
        )


class GatedConfig(Config):
    """Gated multimodal unit: each dimension chooses among the modalities, item by item."""

    type: Literal["gated"] = "gated"

    def build(self, n_modalities: int, width: int) -> Fusion:
        """A fusion of (B, M, D) features."""
        from crossrec.fusion.gated import GatedFusion

        return GatedFusion(n_modalities, width)


FusionConfig = Annotated[ConcatConfig | WeightedConfig | AttentionConfig | GatedConfig, Family()]
