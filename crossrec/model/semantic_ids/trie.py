"""Prefix tree of the codes of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from crossrec.types import ABSENT


@dataclass(frozen=True)
class Depth:
    """Nodes of one depth, which are prefixes of that many codes, in lexicographic order.

    Args:
        paths_PD: codes of each prefix.
        first_P1: (P + 1,) number of the first child of each node, at the next depth; its children are
            contiguous. Empty at the last depth.
        trained_P: bool, prefixes of items with training clicks.
        listed_P: bool, prefixes of items of the catalogue.
        branches_P: bool, whether several children were trained, or a listed one was not beside one that was:
            only there has the decoder to say how likely a child is.
        own_P: row of each prefix in the table of prefix embeddings; -1 for one without.
        node_N: node of each item of the catalogue.
    """

    paths_PD: Tensor
    first_P1: Tensor
    trained_P: Tensor
    listed_P: Tensor
    branches_P: Tensor
    own_P: Tensor
    node_N: Tensor

    def __len__(self) -> int:
        return len(self.paths_PD)


@dataclass(frozen=True)
class Trie:
    """Prefix tree of the codes of all items, and of all codes that the decoder was trained on.

    Args:
        depths: C + 1 depths, from the root.
        leaf_first: (P + 1,) place of each leaf's first item in ``leaf_items``.
        leaf_items: (N,) catalogue indices by leaf, ascending within each.
        n_own: number of prefix embeddings: one for each prefix of two or more codes that training items
            have, and which a training item tells apart from another with the same prefix before it. It
            depends on the known codes alone.
    """

    depths: tuple[Depth, ...]
    leaf_first: Tensor
    leaf_items: Tensor
    n_own: int

    @classmethod
    def of(cls, codes_NC: np.ndarray, known_PC: np.ndarray) -> Self:
        """Build the tree.

        Args:
            codes_NC: codes of the catalogue's items.
            known_PC: codes of items with training clicks, which may have left the catalogue.
        """
        n_items, n_codes = codes_NC.shape
        rows = np.concatenate([codes_NC, known_PC])
        nodes = [np.zeros(len(rows), np.int64)]
        for depth in range(n_codes):
            pairs = np.column_stack([nodes[-1], rows[:, depth]])
            nodes.append(np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1))
        sizes = [int(node.max(initial=0)) + 1 for node in nodes]
        listed = [
            np.bincount(node[:n_items], minlength=size) > 0 for node, size in zip(nodes, sizes, strict=True)
        ]
        trained = [
            np.bincount(node[n_items:], minlength=size) > 0 for node, size in zip(nodes, sizes, strict=True)
        ]
        owns = [np.full(1, ABSENT)]
        depths, n_own = [], 0
        for depth, (node, size) in enumerate(zip(nodes, sizes, strict=True)):
            example = np.zeros(size, np.int64)
            example[node] = np.arange(len(rows))
            first, branches = np.zeros(0, np.int64), np.zeros(size, bool)
            if depth < n_codes:
                parents = np.zeros(sizes[depth + 1], np.int64)
                parents[nodes[depth + 1]] = node
                first = np.concatenate([[0], np.cumsum(np.bincount(parents, minlength=size))])
                here, known = listed[depth + 1], trained[depth + 1]
                n_trained = np.bincount(parents, known, minlength=size)
                branches = (n_trained > 1) | (
                    (n_trained > 0) & (np.bincount(parents, here & ~known, size) > 0)
                )
                # The first code's embeddings are those of its prefixes.
                own = known & (n_trained[parents] > 1) & (depth > 0)
                owns.append(np.where(own, n_own + np.cumsum(own) - 1, ABSENT))
                n_own += int(own.sum())
            arrays = (
                rows[example, :depth],
                first,
                trained[depth],
                listed[depth],
                branches,
                owns[depth],
                node[:n_items],
            )
            depths.append(Depth(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)))
        leaf = nodes[-1][:n_items]
        counts = np.bincount(leaf, minlength=sizes[-1])
        leaf_first = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        return cls(tuple(depths), leaf_first, torch.from_numpy(np.argsort(leaf, kind="stable")), n_own)

    def to(self, device: torch.device) -> Trie:
        """Return the tree on a device."""
        depths = tuple(
            Depth(*(getattr(depth, name).to(device) for name in Depth.__dataclass_fields__))
            for depth in self.depths
        )
        return Trie(depths, self.leaf_first.to(device), self.leaf_items.to(device), self.n_own)

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
