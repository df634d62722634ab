"""Model and loss as one unit, so that one wrapper parallelises both."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from crossrec.model.network import SequentialNetwork
from crossrec.training.windows import Batch


class FullObjective(Protocol):
    """A loss over the whole set of training items."""

    def __call__(self, queries_TD: Tensor, items_ND: Tensor, targets_T: Tensor) -> Tensor:
        """(T,) losses."""
        ...


class SampledObjective(Protocol):
    """A loss over sampled negatives."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """(K,) negatives."""
        ...

    def __call__(
        self,
        queries_TD: Tensor,
        positives_TD: Tensor,
        negatives_KD: Tensor,
        targets_T: Tensor,
        negative_ids_K: Tensor,
    ) -> Tensor:
        """(T,) losses."""
        ...


class NextItemTask(nn.Module):
    """Predicts each click from those before it.

    Args:
        network: the model.
        objective: a loss of ``crossrec.objectives`` over the training items, which it numbers from 0;
            ``objective.samples_negatives`` tells its kind.
        train_items: (N',) catalogue indices of the training items: all targets and all negatives.
    """

    train_items: Tensor
    position_of: Tensor

    def __init__(self, network: SequentialNetwork, objective: nn.Module, train_items: Tensor) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.samples_negatives = bool(objective.samples_negatives)
        position_of = torch.full((network.n_items,), -1)
        position_of[train_items] = torch.arange(len(train_items))
        self.register_buffer("train_items", train_items, persistent=False)
        self.register_buffer("position_of", position_of, persistent=False)

    def sample_negatives(self, seed: int) -> Tensor | None:
        """Negatives of one step as positions in ``train_items``, the same on every process.

        None for a full softmax.
        """
        if not self.samples_negatives:
            return None
        sampled = cast(SampledObjective, self.objective).sample(torch.Generator().manual_seed(seed))
        return sampled.to(self.train_items.device)

    def forward(self, batch: Batch, negatives_K: Tensor | None) -> dict[str, Tensor]:
        """Named losses, summed over the batch's targets."""
        losses_T = self._full(batch) if negatives_K is None else self._sampled(batch, negatives_K)
        return {"next_item": losses_T.sum()}

    def _full(self, batch: Batch) -> Tensor:
        vectors_ND = self.network.item_vectors(self.train_items)
        queries_TD = self._queries(vectors_ND[self.position_of[batch.items_BL]], batch)
        objective = cast(FullObjective, self.objective)
        return objective(queries_TD, vectors_ND, self.position_of[batch.targets_T])

    def _sampled(self, batch: Batch, negatives_K: Tensor) -> Tensor:
        n_clicks = batch.items_BL.numel()
        negatives = self.train_items[negatives_K]
        everything = torch.cat([batch.items_BL.flatten(), batch.targets_T, negatives])
        needed, where = everything.unique(return_inverse=True)
        vectors = self.network.item_vectors(needed)
        history = vectors[where[:n_clicks]].view(*batch.items_BL.shape, -1)
        split = n_clicks + len(batch.targets_T)
        return cast(SampledObjective, self.objective)(
            self._queries(history, batch),
            vectors[where[n_clicks:split]],
            vectors[where[split:]],
            self.position_of[batch.targets_T],
            negatives_K,
        )

    def _queries(self, history_BLD: Tensor, batch: Batch) -> Tensor:
        hidden = self.network.hidden(history_BLD).flatten(0, 1)
        return self.network.queries(hidden[batch.positions_T])
