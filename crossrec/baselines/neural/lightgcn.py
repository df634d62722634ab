"""LightGCN: vectors averaged over neighbours in the click graph."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.baselines.base import history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.graph_config import LightGCNConfig
from crossrec.baselines.neural.graph import ClickGraph
from crossrec.baselines.neural.graph_baseline import GraphBaseline, GraphModule
from crossrec.types import Sequences


class LightGCN(GraphBaseline):
    """Graph convolution without weights: a node's vector is the mean of its layers.

    Layers 1 to K of a history are exactly what a user with these items would receive from the items' layers
    0 to K - 1 of the training graph.

    Args:
        context: the catalogue.
        config: width, layers, training.

    Source:
        He et al. 2020, "LightGCN: simplifying and powering graph convolution network for recommendation",
        equations 3, 4 and 15, layers weighing 1 / (K + 1) each.
    """

    def __init__(self, context: BaselineContext, config: LightGCNConfig) -> None:
        super().__init__(context.n_items, "LightGCN")
        self.config: LightGCNConfig = config

    def _module(self, graph: ClickGraph, shape: tuple[int, int]) -> GraphModule:
        return LightGCNModule(graph, shape, self.config)

    def _score(self, histories: Sequences) -> Tensor:
        edges_BN = self._graph.of_histories(history_matrix(histories, self.n_items))
        received = [edges_BN @ layer for layer in self._item_layers]
        total_BD = self._own_layer(received[0])
        for layer_BD in received[:-1]:
            total_BD = total_BD + layer_BD
        items_ND = torch.from_numpy(sum(self._item_layers) / len(received))
        users_BD = torch.from_numpy(total_BD / len(received))
        return (users_BD @ items_ND.T).masked_fill_(self._cold_N, -torch.inf)


class LightGCNModule(GraphModule):
    """The vectors that are learned, and their propagation.

    Args:
        graph: of the training clicks.
        shape: U, N.
        config: width, layers, regularisation, seed.
    """

    config: LightGCNConfig

    def __init__(self, graph: ClickGraph, shape: tuple[int, int], config: LightGCNConfig) -> None:
        super().__init__(graph, shape, config, torch.Generator().manual_seed(config.seed))

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Users' (U, D) and items' (N, D) vectors in layers 0 to K."""
        users: list[Tensor] = [self.users_UD]
        items: list[Tensor] = [self.items_ND]
        for _ in range(self.config.layers):
            user_UD, item_ND = users[-1], items[-1]
            users.append(self.graph.to_users(item_ND))
            items.append(self.graph.to_items(user_UD))
        return users, items

    def join(self, layers: list[Tensor]) -> Tensor:
        """The mean of the layers."""
        return torch.stack(layers).mean(0)
