"""LightGCN: vectors averaged over neighbours in the click graph."""

from __future__ import annotations

from itertools import product
from typing import Self

import torch
from torch import Tensor

from crossrec.baselines.base import history_matrix
from crossrec.baselines.neural.base import ClickGraph, GraphBaseline, GraphModule, GraphOptions
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences


class LightGCN(GraphBaseline):
    """Graph convolution without weights: a node's vector is the mean of its layers.

    Layers 1 to K of a history are exactly what a user with these items would receive from the items' layers
    0 to K - 1 of the training graph.

    Args:
        options: width, layers, training.
        context: the catalogue.

    Source:
        He et al. 2020, "LightGCN: simplifying and powering graph convolution network for recommendation",
        equations 3, 4 and 15, with layer weights of 1 / (K + 1).
    """

    class Options(GraphOptions):
        """Graph convolution without weights: vectors are averaged over neighbours in the click graph."""

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all with this width and seed."""
            return [
                self.model_copy(update={"layers": layers, "regularization": regularization, "epochs": epochs})
                for layers, regularization, epochs in product((1, 2, 3), (1e-4, 1e-3, 1e-2), (30, 60))
            ]

    options: Options

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, "LightGCN")
        self.options = options

    def _module(self, graph: ClickGraph, shape: tuple[int, int]) -> GraphModule:
        return LightGCNModule(graph, shape, self.options)

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
    """Learned vectors of users and items, and their propagation.

    Args:
        graph: graph of the training clicks.
        shape: (U, N).
        options: width, layers, regularisation, seed.
    """

    options: LightGCN.Options

    def __init__(self, graph: ClickGraph, shape: tuple[int, int], options: LightGCN.Options) -> None:
        super().__init__(graph, shape, options, torch.Generator().manual_seed(options.seed))

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return users' (U, D) and items' (N, D) vectors in layers 0 to K."""
        users: list[Tensor] = [self.users_UD]
        items: list[Tensor] = [self.items_ND]
        for _ in range(self.options.layers):
            user_UD, item_ND = users[-1], items[-1]
            users.append(self.graph.to_users(item_ND))
            items.append(self.graph.to_items(user_UD))
        return users, items

    def join(self, layers: list[Tensor]) -> Tensor:
        """Return the mean of the layers."""
        return torch.stack(layers).mean(0)
