"""Item ids: one learned embedding per item, optionally smoothed among similar items."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import ComponentOptions, Config
from crossrec.data.neighbours import ItemSimilarity, Neighbours
from crossrec.model.modalities.base import ItemModality, ModalityInputs
from crossrec.model.modalities.layers import BLOCK, FrozenFeatures, Modality
from crossrec.model.whitening import Whitening
from crossrec.types import ABSENT, InputError


class SmoothingConfig(Config):
    """ID-embedding smoothing: each id embedding is mixed with those of the most similar items.

    Source:
        Zhu et al. 2021, "Graph-based embedding smoothing for sequential recommendation" (GES), who run graph
        convolutions over transitions and attributes; ours is one step over the k most similar items.
    """

    neighbours: int = Field(10, ge=1, le=100_000, description="number of most similar items to mix in")
    share: float = Field(0.4, gt=0, lt=1, description="weight of the neighbours, divided by similarity")
    similarity: ItemSimilarity = Field(
        "clicks", description="similarity by common users, by text and picture vectors, or the larger of both"
    )


class ItemId(ItemModality):
    """One learned embedding per item with a training click.

    Source:
        Of ``start`` and ``bound``: Volodkevich et al. 2025, "Let it go? Not quite: addressing item cold start
        in sequential recommendations with content-based initialization".
    """

    learned = seeded = True

    class Options(ComponentOptions):
        """One learned embedding per item with a training click."""

        smoothing: SmoothingConfig | None = Field(
            None, description="smoothing of the embeddings among similar items"
        )
        std: float | None = Field(
            None,
            gt=0,
            le=1_000,
            description="standard deviation of the initial entries; null for 0.02 with similarity: dot and "
            "one over the square root of the width with cosine",
        )
        start: str | None = Field(
            None,
            min_length=1,
            description="modality with frozen features from whose first whitened dimensions the embeddings "
            "start; null for random values",
        )
        bound: float | None = Field(
            None,
            gt=0,
            le=1_000,
            description="largest distance of an embedding from its start, in lengths of a start; null for "
            "no bound",
        )

        @model_validator(mode="after")
        def _bound_of_start(self) -> Self:
            if self.bound is not None and self.start is None:
                raise ValueError(
                    "bound limits the distance from a start: name the modality in start, such as text"
                )
            if self.bound is not None and self.smoothing is not None:
                raise ValueError("bound and smoothing exclude each other: set one of them to null")
            return self

    options: Options

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return the embeddings.

        Raises:
            InputError: if they start from a modality without frozen features.
            ValueError: if ids are smoothed, and the neighbours are not given.
        """
        options, std = self.options, inputs.id_std if self.options.std is None else self.options.std
        if options.smoothing is None:
            made = ItemIdEmbedding(inputs.trained_N, inputs.width, std)
        elif inputs.neighbours is None:
            raise ValueError("model.smoothing needs the items' neighbours")
        else:
            made = SmoothedIdEmbedding(
                inputs.trained_N, inputs.width, std, inputs.neighbours, options.smoothing.share
            )
        if options.start is not None:
            made.start_at(self._start(inputs, options.start), options.bound)
        return made

    def _start(self, inputs: ModalityInputs, name: str) -> Tensor:
        """Return (N, D) first whitened dimensions of a modality's features; NaN for items without it."""
        source = inputs.modules.get(name)
        if not isinstance(source, FrozenFeatures):
            fit = [name for name, made in inputs.modules.items() if isinstance(made, FrozenFeatures)]
            raise InputError(
                f"model.modalities.{self.name}.start: '{name}' is no modality with frozen features; "
                f"there are {', '.join(fit) or 'none'}"
            )
        present_N = source.present
        start_ND = torch.full((len(present_N), inputs.width), torch.nan)
        width = min(source.width, inputs.width)
        for rows in torch.arange(len(present_N)).split(BLOCK):
            start_ND[rows, :width] = source(rows)[:, :width]
        start_ND[:, width:] = 0
        start_ND[~present_N] = torch.nan
        return start_ND

    def parameters(self, width: int, whiten: Whitening, n_items: int) -> int:
        """Return the size of the table."""
        return n_items * width


class ItemIdEmbedding(Modality):
    """One learned embedding per item; items without a training click, and those added later, have none.

    Args:
        present: (N,) bool, which items have an embedding.
        width: D.
        std: standard deviation of the initial entries; None for vectors of about unit length.
        rows: number of rows of the table; N when None.
    """

    learned = True
    trained: Tensor

    def __init__(
        self, present: np.ndarray, width: int, std: float | None = None, rows: int | None = None
    ) -> None:
        super().__init__(present, width)
        # Saved with the model: later clicks on an item don't train its embedding.
        self.register_buffer("trained", torch.from_numpy(np.array(present, dtype=bool)))
        self.embedding = nn.Embedding(len(present) if rows is None else rows, width)
        self.std = width**-0.5 if std is None else std
        self.bound: float | None = None
        nn.init.normal_(self.embedding.weight, std=self.std)

    @torch.no_grad()
    def start_at(self, start_ND: Tensor, bound: float | None) -> None:
        """Replace the initial embeddings, scaled to entries of the same standard deviation.

        Args:
            start_ND: new values; NaN for an item that keeps its random ones.
            bound: largest distance of an embedding from its start, in lengths of a start; None for no bound.
        """
        known_N = ~start_ND.isnan().any(1)
        table_ND = self.embedding.weight
        if known_N.any():
            scale = start_ND[known_N].pow(2).mean().sqrt().clamp(min=1e-12)
            table_ND[known_N] = start_ND[known_N] * (self.std / scale)
        if bound is not None:
            # Saved with the model: the trained table holds the distances from the start.
            self.register_buffer("start", table_ND.clone())
            self.bound = bound * self.std * self.width**0.5
            table_ND.zero_()

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width)."""
        # Added items have no row, and none is read: they are masked.
        rows_K = items_K.clamp(max=self.embedding.num_embeddings - 1)
        own_KD = self.embedding(rows_K)
        if self.bound is None:
            return own_KD
        length_K1 = own_KD.pow(2).sum(-1, keepdim=True).add(1e-12).sqrt()
        return self.get_buffer("start")[rows_K] + own_KD * (self.bound / length_K1).clamp(max=1)


class SmoothedIdEmbedding(ItemIdEmbedding):
    """ID embeddings mixed with those of the most similar items; an item without neighbours keeps its own.

    Source: :class:`SmoothingConfig`.

    Args:
        present, width, std: as in :class:`ItemIdEmbedding`.
        neighbours: K neighbours of each item, weighted by similarity.
        share: share of the neighbours in the sum, 0 to 1.
    """

    mixed: Tensor
    shares: Tensor

    def __init__(
        self, present: np.ndarray, width: int, std: float | None, neighbours: Neighbours, share: float
    ) -> None:
        super().__init__(present, width, std)
        own = np.arange(len(present))[:, None]
        total = neighbours.similarities_NK.sum(1, keepdims=True)
        shares = share * neighbours.similarities_NK / np.where(total > 0, total, 1)
        # Saved with the model, which may be used without the clicks that determine the neighbours.
        items = np.where(neighbours.ids_NK == ABSENT, own, neighbours.ids_NK)
        self.register_buffer("mixed", torch.from_numpy(np.hstack([own, items])))
        shares = np.hstack([1 - shares.sum(1, keepdims=True), shares]).astype(np.float32)
        self.register_buffer("shares", torch.from_numpy(shares))

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width)."""
        rows = items_K.clamp(max=len(self.mixed) - 1)
        weights = self.embedding.weight
        shares = self.shares[rows].to(weights.dtype)
        return F.embedding_bag(self.mixed[rows], weights, per_sample_weights=shares, mode="sum")
