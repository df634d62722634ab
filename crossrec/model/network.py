"""Sequential recommender as one module: item encoder, sequence model, similarity."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.fusion.base import Fusion
from crossrec.model.modalities.layers import AdaptedFeatures, Modality, TrainableEncoder
from crossrec.model.neighbours import NeighbourScores
from crossrec.model.sequence.base import History, SequenceModel
from crossrec.model.variant_modalities import VariantChoice
from crossrec.runtime.dropout import Dropout

if TYPE_CHECKING:
    from peft import PeftModel


class SequentialNetwork(nn.Module):
    """Network that scores the next item by the similarity of a hidden state with item vectors.

    Args:
        items: encoder of items.
        sequence: sequence model that reads histories.
        n_items: N.
        similarity: ``cosine``, divided by the temperature, or ``dot``, the dot product times ``dot_scale``.
        temperature: temperature of the cosine.
        dot_scale: factor of the dot product; one over the square root of D when None, which suits vectors
            with entries of unit size.
        history_scale: factor of item vectors as input of the sequence model, which expects entries of about
            unit size.
    """

    def __init__(
        self,
        items: ItemEncoder,
        sequence: SequenceModel,
        n_items: int,
        *,
        similarity: Literal["cosine", "dot"],
        temperature: float,
        dot_scale: float | None = None,
        history_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.items = items
        self.sequence = sequence
        self.n_items = n_items
        self.normalise = similarity == "cosine"
        self.temperature = temperature
        self.dot_scale = dot_scale
        self.history_scale = history_scale
        self.neighbours: NeighbourScores | None = None
        """Item-kNN's scores, added to the similarity once the network is trained."""

    def adapters(self) -> dict[str, PeftModel]:
        """LoRA adapters by folder name: ``adapter`` of a decoder, ``adapter-text`` of an encoder."""
        found = {"adapter": self.sequence.adapter()}
        for name, modality in self.items.modalities.items():
            if isinstance(modality, TrainableEncoder | AdaptedFeatures):
                found[f"adapter-{name}"] = modality.adapter()
        return {name: adapter for name, adapter in found.items() if adapter is not None}

    def set_progress(self, progress: float) -> None:
        """Pass the finished share of the training, 0 to 1, to all parts that depend on it."""
        for module in self.modules():
            if isinstance(module, VariantChoice):
                module.set_progress(progress)

    def item_vectors(self, items_K: Tensor, shown: Collection[str] | None = None) -> Tensor:
        """Return (K, D) vectors for comparison: of unit length for the cosine.

        Args:
            items_K: catalogue indices.
            shown: names of the modalities to read; all when None.
        """
        vectors_KD = self.items(items_K, shown)
        return F.normalize(vectors_KD.float(), dim=-1) if self.normalise else vectors_KD

    def queries(self, hidden: Tensor) -> Tensor:
        """Return hidden states (..., D), scaled so that their dot product with item vectors is the score."""
        if self.normalise:
            return F.normalize(hidden.float(), dim=-1) / self.temperature
        return hidden * (hidden.shape[-1] ** -0.5 if self.dot_scale is None else self.dot_scale)

    def grow(self, count: int) -> None:
        """Count items that have been appended to the modalities."""
        self.n_items += count

    @property
    def history_length(self) -> int:
        """Maximum number of clicks of a query: a bidirectional model reserves one position for the mask."""
        return self.sequence.max_length - (self.sequence.mask_share is not None)

    def hidden(self, history: History) -> Tensor:
        """Return (B, L, D) hidden states."""
        return self.sequence(self._readable(history))

    def _readable(self, history: History) -> History:
        # A unit vector's entries have a size of about 1 / sqrt(D).
        scale = history.vectors_BLD.shape[-1] ** 0.5 if self.normalise else self.history_scale
        return replace(history, vectors_BLD=history.vectors_BLD * scale)

    def forward(self, history: History) -> Tensor:
        """Return (B, D) queries for the click after each history of at most ``history_length`` clicks.

        A row of length 0 gives zeros.
        """
        known_B = history.lengths_B > 0
        history = replace(history, lengths_B=history.lengths_B.clamp(min=1))
        if self.sequence.mask_share is not None:
            history = history.append_mask()
        hidden_BD = self.sequence.last(self._readable(history))
        return self.queries(hidden_BD) * known_B.unsqueeze(1)

    def along(self, history: History, rows_P: Tensor, ends_P: Tensor) -> Tensor:
        """Return (P, D) queries after beginnings of the histories, which a causal model reads in one pass.

        Args:
            history: B histories.
            rows_P: row of each query.
            ends_P: number of clicks before each query; 0 gives zeros.
        """
        hidden_BLD = self.hidden(replace(history, lengths_B=history.lengths_B.clamp(min=1)))
        return self.queries(hidden_BLD[rows_P, (ends_P - 1).clamp(min=0)]) * (ends_P > 0).unsqueeze(1)


class ItemEncoder(nn.Module):
    """Item vectors from the modalities that are present.

    Args:
        modalities: name, such as "text" -> modality.
        fusion: fusion of (B, M, D), in the order of ``modalities``.
        width: D.
        dropout: dropout rate of projected features.
        modality_dropout: probability that training hides a modality of an item that has others.
    """

    def __init__(
        self,
        modalities: dict[str, Modality],
        fusion: Fusion,
        width: int,
        *,
        dropout: float,
        modality_dropout: float,
    ) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict(modalities)
        self.project = nn.ModuleDict({name: _projection(m, width) for name, m in modalities.items()})
        self.fusion = fusion
        self.dropout = Dropout(dropout)
        self.modality_dropout = modality_dropout

    def forward(self, items_K: Tensor, shown: Collection[str] | None = None) -> Tensor:
        """Return (K, D) vectors of catalogue indices (K,).

        Args:
            items_K: catalogue indices.
            shown: names of the modalities to read, the others counting as missing; all when None.
        """
        features = [self.project[name](source(items_K)) for name, source in self.modalities.items()]
        dtype = features[0].dtype
        features_KMD = torch.stack([self.dropout(f).to(dtype) for f in features], dim=1)
        mask_KM = self.mask(items_K)
        if shown is not None:
            mask_KM = mask_KM & self._among(shown).to(mask_KM.device)
        return self.fusion(features_KMD, mask_KM)

    def _among(self, shown: Collection[str]) -> Tensor:
        """Return (M,) bool, modalities that are named."""
        return torch.tensor([name in shown for name in self.modalities])

    def present(self, items_K: Tensor, names: Collection[str]) -> Tensor:
        """Return (K,) bool, items that have at least one of the named modalities."""
        present = [self.modalities[name].get_buffer("present")[items_K] for name in names]
        return torch.stack(present).any(0)

    def projected(self, items_K: Tensor) -> tuple[Tensor, Tensor]:
        """Return (K, M, D) features of each modality before fusion, and (K, M) bool, which are present."""
        features = [self.project[name](source(items_K)) for name, source in self.modalities.items()]
        dtype = features[0].dtype
        present_KM = torch.stack([m.get_buffer("present")[items_K] for m in self.modalities.values()], dim=1)
        return torch.stack([f.to(dtype) for f in features], dim=1), present_KM

    def mask(self, items_K: Tensor) -> Tensor:
        """Return (K, M) bool, which modalities are used: present, and not hidden by modality dropout."""
        present_KM = torch.stack([m.get_buffer("present")[items_K] for m in self.modalities.values()], dim=1)
        if not self.training or self.modality_dropout == 0:
            return present_KM
        kept_KM = present_KM & (torch.rand(present_KM.shape, device=items_K.device) >= self.modality_dropout)
        return torch.where(kept_KM.any(1, keepdim=True), kept_KM, present_KM)


def _projection(modality: Modality, width: int) -> nn.Module:
    if modality.learned:
        return nn.Identity() if modality.width == width else nn.Linear(modality.width, width)
    return nn.Sequential(nn.Linear(modality.width, width), nn.LayerNorm(width))
