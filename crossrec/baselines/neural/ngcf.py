"""NGCF: graph convolution with weights, and with products of users' and items' vectors."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from crossrec.baselines.base import Baseline, history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.fold_in import UserRegression
from crossrec.baselines.graph_config import NGCFConfig
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

SLOPE = 0.2
"""Of the leaky rectifier below 0, as in the authors' code; the paper does not say."""


class NGCF(Baseline):
    """Learns a vector a user and item, passes messages over the click graph, and ranks by dot products.

    A history is a user outside the graph. Its layer 0, which training would have learned, is estimated by
    ridge regression on what it receives from the items' layer 0 (:class:`UserRegression`); its other
    layers follow from the paper's equations with the items' layers of the training graph and its own
    number of distinct items as its degree.

    An empty history gets the mean user. Items without training clicks score -inf: nothing is known.

    Args:
        context: the catalogue.
        config: width, layers, training.

    Source:
        Wang et al. 2019, "Neural graph collaborative filtering", equations 3 to 10, message dropout
        alone. The paper has no users outside the graph.
    """

    def __init__(self, context: BaselineContext, config: NGCFConfig) -> None:
        super().__init__(context.n_items, "NGCF")
        self.config = config

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0])
        device = training_device()
        graph = ClickGraph(known_UN, device)
        module = NGCFModule(graph, known_UN.shape, self.config).to(device)
        train_pairs(module, known_UN, self.config)
        users, items = ([layer.detach().cpu() for layer in layers] for layers in module.layers())
        self._graph, self._layers = graph, module.cpu().convolutions
        self._item_layers = items
        received_UD = graph.of_histories(known_UN) @ self._item_layers[0].numpy()
        self._own_layer = UserRegression.fit(received_UD, users[0].numpy(), self.config.ridge)
        self._cold_N = torch.from_numpy(graph.item_scale_N == 0)

    @torch.no_grad()
    def _score(self, histories: Sequences) -> Tensor:
        edges_BN = self._graph.of_histories(history_matrix(histories, self.n_items))
        received = [torch.from_numpy(edges_BN @ layer.numpy()) for layer in self._item_layers]
        user_BD = torch.from_numpy(self._own_layer(received[0].numpy()))
        scores_BN = user_BD @ self._item_layers[0].T
        for convolution, received_BD, items_ND in zip(
            self._layers, received[:-1], self._item_layers[1:], strict=True
        ):
            user_BD = convolution(user_BD, received_BD)
            scores_BN.addmm_(user_BD, items_ND.T)
        return scores_BN.masked_fill_(self._cold_N, -torch.inf)


class Convolution(nn.Module):
    """One layer: LeakyReLU((own + received) W1 + (own * received) W2).

    Args:
        width: D.
        generator: of the initial weights.

    Source:
        Wang et al. 2019, equations 3 to 7. The edges' weights don't depend on the vectors, so that the
        sum over neighbours may be taken before the products.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.sum_DD, self.product_DD = (_xavier(width, generator) for _ in range(2))

    def forward(self, own_BD: Tensor, received_BD: Tensor) -> Tensor:
        """(B, D) next layer of B nodes from their own vectors and what their neighbours send (B, D)."""
        messages_BD = (own_BD + received_BD) @ self.sum_DD + (own_BD * received_BD) @ self.product_DD
        return nn.functional.leaky_relu(messages_BD, SLOPE)


class NGCFModule(PairModule):
    """The vectors and weights that are learned, and their propagation.

    Args:
        graph: of the training clicks.
        shape: U, N.
        config: width, layers, dropout, regularisation, seed.
    """

    def __init__(self, graph: ClickGraph, shape: tuple[int, int], config: NGCFConfig) -> None:
        super().__init__()
        self.graph, self.config = graph, config
        generator = torch.Generator().manual_seed(config.seed)
        self.users_UD = normal_embedding(shape[0], config.width, 0.1, generator)
        self.items_ND = normal_embedding(shape[1], config.width, 0.1, generator)
        self.convolutions = nn.ModuleList(Convolution(config.width, generator) for _ in range(config.layers))

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Users' (U, D) and items' (N, D) vectors in layers 0 to K."""
        users: list[Tensor] = [self.users_UD]
        items: list[Tensor] = [self.items_ND]
        for convolution in self.convolutions:
            user_UD = convolution(users[-1], self.graph.to_users(items[-1]))
            item_ND = convolution(items[-1], self.graph.to_items(users[-1]))
            users.append(nn.functional.dropout(user_UD, self.config.dropout, self.training))
            items.append(nn.functional.dropout(item_ND, self.config.dropout, self.training))
        return users, items

    def loss(self, users_B: Tensor, clicked_B: Tensor, unclicked_B: Tensor) -> Tensor:
        """Ranking loss of the layers side by side, and the squares of layer 0 of the batch's vectors."""
        users, items = self.layers()
        user_UE, item_NE = torch.cat(users, 1), torch.cat(items, 1)
        user_BE, clicked_BE, unclicked_BE = user_UE[users_B], item_NE[clicked_B], item_NE[unclicked_B]
        ranking = ranking_loss((user_BE * clicked_BE).sum(1), (user_BE * unclicked_BE).sum(1))
        own = (self.users_UD[users_B], self.items_ND[clicked_B], self.items_ND[unclicked_B])
        return ranking + self.config.regularization * half_squares(*own)


def _xavier(width: int, generator: torch.Generator) -> nn.Parameter:
    weights_DD = torch.empty(width, width)
    return nn.Parameter(nn.init.xavier_uniform_(weights_DD, generator=generator))
