"""LightGCN: vectors averaged over neighbours in the click graph."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.baselines.base import Baseline, history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.fold_in import UserRegression
from crossrec.baselines.graph_config import LightGCNConfig
from crossrec.baselines.neural.graph import ClickGraph
from crossrec.baselines.neural.pairs import (
    PairModule,
    half_squares,
    normal_embedding,
    ranking_loss,
    train_pairs,
    training_device,
)
from crossrec.types import Sequences


class LightGCN(Baseline):
    """Learns a vector a user and item, spreads them over the click graph, and ranks by dot products.

    A history is a user outside the graph. Its layers 1 to K are exactly what a user with these items would
    receive from the items' layers 0 to K - 1 of the training graph, with its own number of distinct
    items as its degree; its layer 0, which training would have learned, is estimated by ridge regression
    on what it receives from the items' layer 0 (:class:`UserRegression`). What a training user does to
    its items' vectors stays in them; a new history does nothing to them.

    An empty history gets the mean user. Items without training clicks score -inf: nothing is known.

    Args:
        context: the catalogue.
        config: width, layers, training.

    Source:
        He et al. 2020, "LightGCN: simplifying and powering graph convolution network for recommendation",
        equations 3, 4 and 15, layers weighing 1 / (K + 1) each. The paper has no users outside the graph.
    """

    def __init__(self, context: BaselineContext, config: LightGCNConfig) -> None:
        super().__init__(context.n_items, "LightGCN")
        self.config = config

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0])
        device = training_device()
        graph = ClickGraph(known_UN, device)
        module = LightGCNModule(graph, known_UN.shape, self.config).to(device)
        train_pairs(module, known_UN, self.config)
        users, items = ([layer.detach().cpu() for layer in layers] for layers in module.layers())
        self._graph = graph
        self._item_layers = [layer.numpy() for layer in items]
        self._items_ND = torch.stack(items).mean(0)
        received_UD = graph.of_histories(known_UN) @ self._item_layers[0]
        self._own_layer = UserRegression.fit(received_UD, users[0].numpy(), self.config.ridge)
        self._cold_N = torch.from_numpy(graph.item_scale_N == 0)

    def _score(self, histories: Sequences) -> Tensor:
        edges_BN = self._graph.of_histories(history_matrix(histories, self.n_items))
        received = [edges_BN @ layer for layer in self._item_layers]
        total_BD = self._own_layer(received[0])
        for layer_BD in received[:-1]:
            total_BD = total_BD + layer_BD
        users_BD = torch.from_numpy(total_BD / len(received))
        return (users_BD @ self._items_ND.T).masked_fill_(self._cold_N, -torch.inf)


class LightGCNModule(PairModule):
    """The vectors that are learned, and their propagation.

    Args:
        graph: of the training clicks.
        shape: U, N.
        config: width, layers, regularisation, seed.
    """

    def __init__(self, graph: ClickGraph, shape: tuple[int, int], config: LightGCNConfig) -> None:
        super().__init__()
        self.graph, self.config = graph, config
        generator = torch.Generator().manual_seed(config.seed)
        self.users_UD = normal_embedding(shape[0], config.width, 0.1, generator)
        self.items_ND = normal_embedding(shape[1], config.width, 0.1, generator)

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Users' (U, D) and items' (N, D) vectors in layers 0 to K."""
        users: list[Tensor] = [self.users_UD]
        items: list[Tensor] = [self.items_ND]
        for _ in range(self.config.layers):
            user_UD, item_ND = users[-1], items[-1]
            users.append(self.graph.to_users(item_ND))
            items.append(self.graph.to_items(user_UD))
        return users, items

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """Ranking loss of the averaged layers, and the squares of layer 0 of the batch's vectors."""
        users, items = self.layers()
        user_UD, item_ND = torch.stack(users).mean(0), torch.stack(items).mean(0)
        user_BD, clicked_BD, unclicked_BD = user_UD[users_B], item_ND[clicked_B], item_ND[unclicked_B]
        ranking = ranking_loss((user_BD * clicked_BD).sum(1), (user_BD * unclicked_BD).sum(1))
        own = (self.users_UD[users_B], self.items_ND[clicked_B], self.items_ND[unclicked_B])
        return ranking + self.config.regularization * half_squares(*own)
