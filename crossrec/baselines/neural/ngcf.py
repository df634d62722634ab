"""NGCF: graph convolution with weights, and with products of users' and items' vectors."""

from __future__ import annotations

from itertools import product
from typing import Self

import torch
from pydantic import Field
from torch import Tensor, nn

from crossrec.baselines.base import history_matrix
from crossrec.baselines.neural.base import ClickGraph, GraphBaseline, GraphModule, GraphOptions
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences

SLOPE = 0.2
"""Slope of the leaky rectifier below 0, as in the authors' code; the paper has no value."""


class NGCF(GraphBaseline):
    """Graph convolution with weights; a node's vector is the concatenation of its layers.

    Args:
        options: width, layers, training.
        context: the catalogue.

    Source:
        Wang et al. 2019, "Neural graph collaborative filtering", equations 3 to 10, message dropout alone.
    """

    class Options(GraphOptions):
        """Graph convolution with weights, and with products of users' and items' vectors.

        Args:
            dropout: share of messages dropped in training.
        """

        dropout: float = Field(default=0.1, ge=0, lt=1)
        learning_rate: float = Field(default=0.005, gt=0, le=100)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all with this width and seed."""
            return [
                self.model_copy(update={"layers": layers, "regularization": regularization})
                for layers, regularization in product((1, 2, 3), (1e-4, 1e-3, 1e-2))
            ]

    options: Options

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, "NGCF")
        self.options = options

    def _module(self, graph: ClickGraph, shape: tuple[int, int]) -> GraphModule:
        return NGCFModule(graph, shape, self.options)

    @torch.no_grad()
    def _score(self, histories: Sequences) -> Tensor:
        edges_BN = self._graph.of_histories(history_matrix(histories, self.n_items))
        received = [torch.from_numpy(edges_BN @ layer) for layer in self._item_layers]
        items = [torch.from_numpy(layer) for layer in self._item_layers]
        user_BD = torch.from_numpy(self._own_layer(received[0].numpy()))
        scores_BN = user_BD @ items[0].T
        module = self._module_of_fit
        assert isinstance(module, NGCFModule)
        for convolution, received_BD, items_ND in zip(
            module.convolutions, received[:-1], items[1:], strict=True
        ):
            user_BD = convolution(user_BD, received_BD)
            scores_BN.addmm_(user_BD, items_ND.T)
        return scores_BN.masked_fill_(self._cold_N, -torch.inf)


class Convolution(nn.Module):
    """One layer: LeakyReLU((own + received) W1 + (own * received) W2).

    Args:
        width: D.
        generator: generator of the initial weights.

    Source:
        Wang et al. 2019, equations 3 to 7. The edges' weights don't depend on the vectors, so that the
        sum over neighbours may be taken before the products.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.sum_DD, self.product_DD = (_xavier(width, generator) for _ in range(2))

    def forward(self, own_BD: Tensor, received_BD: Tensor) -> Tensor:
        """Return (B, D), the next layer of B nodes, from their own and their neighbours' vectors (B, D)."""
        messages_BD = (own_BD + received_BD) @ self.sum_DD + (own_BD * received_BD) @ self.product_DD
        return nn.functional.leaky_relu(messages_BD, SLOPE)


class NGCFModule(GraphModule):
    """Learned vectors and weights, and their propagation.

    Args:
        graph: graph of the training clicks.
        shape: (U, N).
        options: width, layers, dropout, regularisation, seed.
    """

    options: NGCF.Options

    def __init__(self, graph: ClickGraph, shape: tuple[int, int], options: NGCF.Options) -> None:
        generator = torch.Generator().manual_seed(options.seed)
        super().__init__(graph, shape, options, generator)
        self.convolutions = nn.ModuleList(
            Convolution(options.width, generator) for _ in range(options.layers)
        )

    def layers(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return users' (U, D) and items' (N, D) vectors in layers 0 to K."""
        users: list[Tensor] = [self.users_UD]
        items: list[Tensor] = [self.items_ND]
        for convolution in self.convolutions:
            user_UD = convolution(users[-1], self.graph.to_users(items[-1]))
            item_ND = convolution(items[-1], self.graph.to_items(users[-1]))
            users.append(nn.functional.dropout(user_UD, self.options.dropout, self.training))
            items.append(nn.functional.dropout(item_ND, self.options.dropout, self.training))
        return users, items

    def join(self, layers: list[Tensor]) -> Tensor:
        """Return the concatenated layers."""
        return torch.cat(layers, 1)


def _xavier(width: int, generator: torch.Generator) -> nn.Parameter:
    weights_DD = torch.empty(width, width)
    return nn.Parameter(nn.init.xavier_uniform_(weights_DD, generator=generator))
