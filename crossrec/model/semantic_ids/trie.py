"""Prefix tree of the codes of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Depth:
    """Nodes of one depth, which are prefixes of that many codes, in lexicographic order.

    Args:
        paths_PD: codes of each prefix.
        first_P1: (P + 1,) number of the first child of each node, at the next depth; its children are
            contiguous. Empty at the last depth.
        trained_P: bool, prefixes of items with training clicks.
        branches_P: bool, whether there is a trained child and another one, trained or not: only there has the
            decoder to say how likely a child is.
        node_N: node of each item.
        shares_N: weight of each item in the vector of its node: one over the number of trained items; without
            any, 1 for the first item.
    """

    paths_PD: Tensor
    first_P1: Tensor
    trained_P: Tensor
    branches_P: Tensor
    node_N: Tensor
    shares_N: Tensor

    def __len__(self) -> int:
        return len(self.paths_PD)


@dataclass(frozen=True)
class Trie:
    """Prefix tree of the codes of all items.

    Args:
        depths: C + 1 depths, from the root.
        leaf_first: (P + 1,) place of each leaf's first item in ``leaf_items``.
        leaf_items: (N,) catalogue indices by leaf, ascending within each.
    """

    depths: tuple[Depth, ...]
    leaf_first: Tensor
    leaf_items: Tensor

    @classmethod
    def of(cls, codes_NC: np.ndarray, trained_N: np.ndarray) -> Self:
        """Build the tree.

        Args:
            codes_NC: codes of the items.
            trained_N: bool, items with training clicks.
        """
        nodes = [np.zeros(len(codes_NC), np.int64)]
        for column_N in codes_NC.T:
            pairs = np.column_stack([nodes[-1], column_N])
            nodes.append(np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1))
        sizes = [int(node_N.max(initial=0)) + 1 for node_N in nodes]
        trained = [
            np.bincount(node_N, trained_N, size) > 0 for node_N, size in zip(nodes, sizes, strict=True)
        ]
        depths = []
        for depth, (node_N, size) in enumerate(zip(nodes, sizes, strict=True)):
            first, branches = np.zeros(0, np.int64), np.zeros(size, bool)
            example = _first_items(node_N, size)
            if depth < len(nodes) - 1:
                parents = np.zeros(sizes[depth + 1], np.int64)
                parents[nodes[depth + 1]] = node_N
                counts = np.bincount(parents, minlength=size)
                first = np.concatenate([[0], np.cumsum(counts)])
                branches = trained[depth] & (counts > 1)
            n_trained = np.bincount(node_N, trained_N, size)[node_N]
            alone = (n_trained == 0) & (example[node_N] == np.arange(len(node_N)))
            shares_N = np.where(trained_N, 1 / np.maximum(n_trained, 1), alone).astype(np.float32)
            arrays = (codes_NC[example, :depth], first, trained[depth], branches, node_N, shares_N)
            depths.append(Depth(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)))
        leaf = nodes[-1]
        counts = np.bincount(leaf, minlength=sizes[-1])
        leaf_first = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        return cls(tuple(depths), leaf_first, torch.from_numpy(np.argsort(leaf, kind="stable")))

    def to(self, device: torch.device) -> Trie:
        """Return the tree on a device."""
        depths = tuple(
            Depth(*(getattr(depth, name).to(device) for name in Depth.__dataclass_fields__))
            for depth in self.depths
        )
        return Trie(depths, self.leaf_first.to(device), self.leaf_items.to(device))

    def children(self, depth: int, nodes_M: Tensor) -> tuple[Tensor, Tensor]:
        """Return the children of nodes, node by node.

        Args:
            depth: depth of the nodes.
            nodes_M: numbers of the nodes.

        Returns:
            (R,) the place of each child's parent among the M, and (R,) its number at the next depth.
        """
        return ragged(self.depths[depth].first_P1, nodes_M)

    def items(self, leaves_M: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items of leaves: (R,) places among the M, and (R,) catalogue indices."""
        rows_R, places_R = ragged(self.leaf_first, leaves_M)
        return rows_R, self.leaf_items[places_R]


def _first_items(node_N: np.ndarray, size: int) -> np.ndarray:
    """Return (P,) the lowest item of each node."""
    found = np.zeros(size, np.int64)
    found[node_N[::-1]] = np.arange(len(node_N))[::-1]
    return found


def ragged(first: Tensor, nodes_M: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entries ``first[node]`` to ``first[node + 1] - 1`` of each node, and whose they are.

    Returns:
        (R,) place of the node among the M, and (R,) entry.
    """
    starts_M = first[nodes_M]
    counts_M = first[nodes_M + 1] - starts_M
    rows_R = torch.repeat_interleave(torch.arange(len(nodes_M), device=nodes_M.device), counts_M)
    before_M = counts_M.cumsum(0) - counts_M
    return rows_R, torch.arange(len(rows_R), device=rows_R.device) + (starts_M - before_M)[rows_R]
