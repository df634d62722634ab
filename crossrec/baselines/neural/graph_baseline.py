"""What the graph convolution models share: vectors of users and items, and users outside the graph."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.baselines.base import Baseline
from crossrec.baselines.fold_in import UserRegression
from crossrec.baselines.graph_config import GraphConfig
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

STD = 0.1
"""Of the vectors at the start."""


class GraphModule(PairModule):
    """The vectors that are learned, and their propagation.

    Args:
        graph: of the training clicks.
        shape: U, N.
        config: width, layers, regularisation, seed.
        generator: of the initial vectors, and of a subclass's weights after them.
    """

    def __init__(
        self, graph: ClickGraph, shape: tuple[int, int], config: GraphConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.graph, self.config = graph, config
        self.users_UD = normal_embedding(shape[0], config.width, STD, generator)
        self.items_ND = normal_embedding(shape[1], config.width, STD, generator)

    @abstractmethod
    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Users' (U, D) and items' (N, D) vectors in layers 0 to K."""

    @abstractmethod
    def join(self, layers: list[Tensor]) -> Tensor:
        """One vector of each node from its layers."""

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """Ranking loss of the joined layers, and the squares of layer 0 of the batch's vectors."""
        users, items = self.layers()
        user_UE, item_NE = self.join(users), self.join(items)
        user_BE, clicked_BE, unclicked_BE = user_UE[users_B], item_NE[clicked_B], item_NE[unclicked_B]
        ranking = ranking_loss((user_BE * clicked_BE).sum(1), (user_BE * unclicked_BE).sum(1))
        own = (self.users_UD[users_B], self.items_ND[clicked_B], self.items_ND[unclicked_B])
        return ranking + self.config.regularization * half_squares(*own)


class GraphBaseline(Baseline):
    """Learns a vector a user and item, spreads them over the click graph, and ranks by dot products.

    A history is a user outside the graph. Its layer 0, which training would have learned, is estimated by
    ridge regression on what it receives from the items' layer 0 (:class:`UserRegression`); its other layers
    follow from the model's equations, with the items' layers of the training graph and its own number of
    distinct items as its degree. What a training user does to its items' vectors stays in them; a new
    history does nothing to them. The papers have no users outside the graph.

    An empty history gets the mean user. Items without training clicks score -inf: nothing is known.
    """

    config: GraphConfig

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0])
        device = training_device()
        graph = ClickGraph(known_UN, device)
        module = self._module(graph, known_UN.shape).to(device)
        train_pairs(module, known_UN, self.config, self.name)
        with torch.no_grad():
            users, items = ([layer.detach().cpu() for layer in layers] for layers in module.layers())
        self._module_of_fit = module.cpu()
        self._graph, self._item_layers = graph, [layer.numpy() for layer in items]
        received_UD = graph.of_histories(known_UN) @ self._item_layers[0]
        self._own_layer = UserRegression.fit(received_UD, users[0].numpy(), self.config.ridge)
        self._cold_N = torch.from_numpy(graph.item_scale_N == 0)

    @abstractmethod
    def _module(self, graph: ClickGraph, shape: tuple[int, int]) -> GraphModule:
        """The untrained vectors."""
