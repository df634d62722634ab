"""Items as sets of aspects: categories, or head and tail."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.types import Sequences


class Aspects:
    """Aspects of each item, of G in total (categories, or head and tail), as short lists of M places.

    Few items have many aspects, so that lists cost far less than rows of G. Places beyond an item's aspects
    hold G, a column that every table of aspects has and that is never used.

    Args:
        member_NG: (N, G), above 0 where the item has the aspect.
    """

    def __init__(self, member_NG: Tensor) -> None:
        n_items, self.n_aspects = member_NG.shape
        item_P, aspect_P = torch.nonzero(member_NG > 0, as_tuple=True)
        # One row more than there are items: what -1, an absent candidate, indexes.
        count_N = torch.bincount(item_P, minlength=n_items + 1)
        place_P = torch.arange(len(item_P), device=item_P.device) - (count_N.cumsum(0) - count_N)[item_P]
        width = int(count_N.max().clamp(min=1))
        self._lists_NM = torch.full(
            (n_items + 1, width), self.n_aspects, dtype=torch.int64, device=item_P.device
        )
        self._lists_NM[item_P, place_P] = aspect_P
        self._share_N = torch.where(count_N > 0, 1 / count_N.clamp(min=1), 0)
        self._lists_on_host, self._share_on_host = self._lists_NM.cpu().numpy(), self._share_N.cpu().numpy()

    def of(self, ids_BC: Tensor) -> Tensor:
        """Return the (B, C, M) aspects of items, padded with G."""
        return self._lists_NM[ids_BC]

    def share(self, ids_BC: Tensor) -> Tensor:
        """Return (B, C) float32, one over the number of an item's aspects; 0 without aspects or if absent."""
        return self._share_N[ids_BC]

    def of_clicks(self, histories: Sequences) -> np.ndarray:
        """Return the (T, M) aspects of each click's item, padded with G."""
        return self._lists_on_host[histories.items]

    def mass(self, histories: Sequences) -> Tensor:
        """Return (B, G + 1) clicks per aspect, each spread evenly over its item's aspects; column G is 0."""
        # On the host: sums in the order of the clicks, the same on every device and for any B.
        row_T = histories.row_of_click
        flat_TM = row_T[:, None] * (self.n_aspects + 1) + self.of_clicks(histories)
        weight_TM = np.broadcast_to(self._share_on_host[histories.items][:, None], flat_TM.shape)
        shape = (len(histories), self.n_aspects + 1)
        mass = np.bincount(flat_TM.ravel(), weight_TM.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        mass[:, -1] = 0
        return torch.from_numpy(mass).to(self._share_N)

    def clicks(self, counts_N: np.ndarray) -> Tensor:
        """Return (G + 1,) total clicks per aspect, each spread evenly over its item's aspects; column G is 0.

        Args:
            counts_N: (N,) clicks per item.
        """
        weight_NM = np.broadcast_to(
            (self._share_on_host[:-1] * counts_N)[:, None], self._lists_on_host[:-1].shape
        )
        mass = np.bincount(self._lists_on_host[:-1].ravel(), weight_NM.ravel(), minlength=self.n_aspects + 1)
        mass[-1] = 0
        return torch.from_numpy(mass).to(self._share_N)


def gathered(table_BG: Tensor, lists_BCM: Tensor) -> Tensor:
    """Return the (B, C, M) entries of each row's table at the aspects of its candidates."""
    return table_BG.gather(1, lists_BCM.flatten(1)).view(lists_BCM.shape)


def category_aspects(items: ItemTable, reranker: str) -> Aspects:
    """Return the categories as aspects.

    Args:
        items: features of the catalogue's items.
        reranker: name of the reranker, for the error.

    Raises:
        InputError: if there are no categories.
    """
    items.require(CATEGORY, f"rerank: {reranker}")
    return Aspects(items.categories_NG)
