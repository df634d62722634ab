"""The sequential recommender as one module: item encoder, sequence model, similarity."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.item_encoder import ItemEncoder
from crossrec.model.modalities import TrainedEncoder
from crossrec.model.sequence.base import History, SequenceModel
from crossrec.model.views import ViewChoice

if TYPE_CHECKING:
    from peft import PeftModel


class SequentialNetwork(nn.Module):
    """Scores the next item: similarity of a hidden state with item vectors.

    Args:
        items: makes item vectors.
        sequence: reads histories.
        n_items: N.
        similarity: ``cosine`` divides by the temperature, ``dot`` takes the dot product times ``dot_scale``.
        temperature: of the cosine.
        dot_scale: of the dot product; one over the square root of D when None, which suits vectors whose
            entries are of unit size.
        history_scale: brings item vectors that are compared by dot products to entries of about unit size
            where they are read as clicks, which is what sequence models expect.
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

    def adapters(self) -> dict[str, PeftModel]:
        """LoRA adapters by folder name: ``adapter`` of a decoder, ``adapter-text`` of an encoder."""
        found = {"adapter": self.sequence.adapter()}
        for name, modality in self.items.modalities.items():
            if isinstance(modality, TrainedEncoder):
                found[f"adapter-{name}"] = modality.adapter()
        return {name: adapter for name, adapter in found.items() if adapter is not None}

    def set_progress(self, progress: float) -> None:
        """Tells all parts that change with it the share of the training that is done, 0 to 1."""
        for module in self.modules():
            if isinstance(module, ViewChoice):
                module.set_progress(progress)

    def item_vectors(self, items_K: Tensor, shown: Collection[str] | None = None) -> Tensor:
        """(K, D) vectors as they are compared: of unit length for the cosine.

        Args:
            items_K: catalogue indices.
            shown: names of the modalities that may be looked at; all when None.
        """
        vectors_KD = self.items(items_K, shown)
        return F.normalize(vectors_KD.float(), dim=-1) if self.normalise else vectors_KD

    def queries(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., D), scaled so that a plain dot product with item vectors is the score."""
        if self.normalise:
            return F.normalize(hidden.float(), dim=-1) / self.temperature
        return hidden * (hidden.shape[-1] ** -0.5 if self.dot_scale is None else self.dot_scale)

    @property
    def history_length(self) -> int:
        """Clicks that a query is made from: a bidirectional model keeps one place for its guess."""
        return self.sequence.max_length - (self.sequence.mask_share is not None)

    def hidden(self, history: History) -> Tensor:
        """(B, L, D) hidden states."""
        return self.sequence(self._readable(history))

    def _readable(self, history: History) -> History:
        # A unit vector's entries are of the size of 1 / sqrt(D).
        scale = history.vectors_BLD.shape[-1] ** 0.5 if self.normalise else self.history_scale
        return replace(history, vectors_BLD=history.vectors_BLD * scale)

    def forward(self, history: History) -> Tensor:
        """(B, D) queries for the click after each history of at most ``history_length`` clicks.

        A row of length 0 gives zeros.
        """
        known_B = history.lengths_B > 0
        history = replace(history, lengths_B=history.lengths_B.clamp(min=1))
        if self.sequence.mask_share is not None:
            history = history.ask_next()
        hidden_BD = self.sequence.last(self._readable(history))
        return self.queries(hidden_BD) * known_B.unsqueeze(1)
