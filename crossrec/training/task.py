"""Model and loss as one unit, so that one wrapper parallelises both."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.network import SequentialNetwork
from crossrec.objectives.base import FullObjective, Objective, SampledObjective
from crossrec.sequence.base import History
from crossrec.training.windows import Batch

ONLY_LAST_MASKED = 1 / 11
"""Share of rows in which training masks the last click alone, as recommending does (BERT4Rec's own code)."""


class ClickTask(nn.Module):
    """Predicts clicks: each from those before it, or masked ones from those around them.

    Args:
        network: the model; a bidirectional one learns by masking.
        objective: a loss over the training items, which it numbers from 0.
        train_items: (N',) catalogue indices of the training items: all targets and all negatives.
    """

    train_items: Tensor
    position_of: Tensor

    def __init__(self, network: SequentialNetwork, objective: Objective, train_items: Tensor) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        position_of = torch.full((network.n_items,), -1)
        position_of[train_items] = torch.arange(len(train_items))
        self.register_buffer("train_items", train_items, persistent=False)
        self.register_buffer("position_of", position_of, persistent=False)

    def sample_negatives(self, seed: int, step_targets: np.ndarray) -> Tensor | None:
        """Negatives of one step as positions in ``train_items``; None for a loss over the whole catalogue.

        Args:
            seed: the same on every process, which then draws the same.
            step_targets: (G,) catalogue indices, targets of the step over all processes.

        Returns:
            (K,) shared by all targets, or (G, K) with own ones for each.
        """
        if self.objective.sampler is None:
            return None
        targets_G = self.position_of.cpu()[torch.from_numpy(step_targets)]
        sampled = self.objective.sampler.sample(torch.Generator().manual_seed(seed), targets_G)
        return sampled.to(self.train_items.device)

    def forward(self, batch: Batch, negatives: Tensor | None) -> dict[str, Tensor]:
        """Named losses, summed over the batch's targets.

        Where clicks are masked, the sum over those masked is scaled up to stand for all of them.
        """
        masked_BL, scale = None, 1.0
        if self.network.sequence.mask_share is not None:
            n_all = len(batch.targets_T)
            batch, masked_BL = _mask(batch, self.network.sequence.mask_share)
            scale = n_all / max(len(batch.targets_T), 1)
        losses_T = (
            self._full(batch, masked_BL) if negatives is None else self._sampled(batch, masked_BL, negatives)
        )
        return {"next_item": losses_T.sum() * scale}

    def _full(self, batch: Batch, masked_BL: Tensor | None) -> Tensor:
        vectors_ND = self.network.item_vectors(self.train_items)
        history_BLD = F.embedding(self.position_of[batch.items_BL].clamp(min=0), vectors_ND)
        objective = cast(FullObjective, self.objective)
        targets_T = self.position_of[batch.targets_T]
        return objective(self._queries(history_BLD, batch, masked_BL), vectors_ND, targets_T)

    def _sampled(self, batch: Batch, masked_BL: Tensor | None, negatives: Tensor) -> Tensor:
        if negatives.ndim == 2:
            negatives = negatives[batch.places_T]
        n_clicks, n_targets = batch.items_BL.numel(), len(batch.targets_T)
        everything = torch.cat(
            [batch.items_BL.flatten(), batch.targets_T, self.train_items[negatives].flatten()]
        )
        needed, where = everything.unique(return_inverse=True)
        # Looked up as an embedding, whose backward is much faster than that of indexing.
        vectors = F.embedding(where, self.network.item_vectors(needed))
        history_BLD, positives_TD, negative_vectors = vectors.split([n_clicks, n_targets, negatives.numel()])
        objective = cast(SampledObjective, self.objective)
        return objective(
            self._queries(history_BLD.view(*batch.items_BL.shape, -1), batch, masked_BL),
            positives_TD,
            negative_vectors.view(*negatives.shape, vectors.shape[-1]),
            self.position_of[batch.targets_T],
            negatives,
        )

    def _queries(self, history_BLD: Tensor, batch: Batch, masked_BL: Tensor | None) -> Tensor:
        hidden_BLD = self.network.hidden(History(history_BLD, batch.lengths_B, batch.times_BL, masked_BL))
        return self.network.queries(hidden_BLD.flatten(0, 1)[batch.positions_T])


def _mask(batch: Batch, share: float) -> tuple[Batch, Tensor]:
    """The batch with only masked clicks as targets, and (B, L) where they are.

    Source: Sun et al. 2019, BERT4Rec, section 3.6.
    """
    shape = batch.items_BL.shape
    device = batch.items_BL.device
    drawn_BL = torch.rand(shape, device=device) < share
    last_BL = torch.arange(shape[1], device=device) == batch.lengths_B[:, None] - 1
    only_last_B = torch.rand(shape[0], device=device) < ONLY_LAST_MASKED
    drawn_BL = torch.where(only_last_B[:, None], last_BL, drawn_BL)
    chosen_T = drawn_BL.flatten()[batch.positions_T]
    batch = batch.only(chosen_T)
    masked_BL = torch.zeros(shape, dtype=torch.bool, device=device)
    masked_BL.view(-1)[batch.positions_T] = True
    return batch, masked_BL
