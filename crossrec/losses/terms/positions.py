"""Positions of a step that diversity terms look at: the sample, its soft lists, and the sampler."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import ComponentOptions
from crossrec.data.item_table import MODEL, ItemTable
from crossrec.losses.terms.soft_list import soft_top_k
from crossrec.types import ABSENT, InputError

MAX_PLACES = 2**26
"""Positions times items that lists may take: 256 MiB in fp32, held several times over by each k."""


@dataclass
class PositionSample:
    """Some positions of a step, and the soft lists that the model would recommend there.

    Numbers are those of the ranking loss. Lists may be over a part of the training items only.

    Args:
        queries_BD: queries whose dot products with item vectors are the logits.
        positives_BD: vector of each position's target.
        targets_B: int64 number of each target.
        windows_B: int64, equal for positions of the same history.
        seen_BL: int64 numbers of the clicks that each query has read; ``ABSENT`` in empty places.
        n_items: N of all training items.
        items_ND: vectors of the items that lists are made of; None if no term needs lists.
        numbers_N: int64 number of each of those; None for all training items in order.
        tables: space name -> (N of all training items, D) unit rows, for the spaces that terms use.
        exclude_seen: whether lists leave out the clicks of the window that their query has read.
    """

    queries_BD: Tensor
    positives_BD: Tensor
    targets_B: Tensor
    windows_B: Tensor
    seen_BL: Tensor
    n_items: int
    items_ND: Tensor | None = None
    numbers_N: Tensor | None = None
    tables: Mapping[str, Tensor] = field(default_factory=dict)
    exclude_seen: bool = True
    _logits_BN: Tensor | None = None
    _soft: dict[tuple[int, float], Tensor] = field(default_factory=dict)

    def soft(self, k: int, temperature: float) -> Tensor:
        """Return (B, N) how far each item is in each list, see :func:`soft_top_k`; computed once per step."""
        if (k, temperature) not in self._soft:
            self._soft[k, temperature] = soft_top_k(self._logits(), k, temperature)
        return self._soft[k, temperature]

    def top(self, k: int, temperature: float, candidates: int) -> tuple[Tensor, Tensor]:
        """Return the candidates that are furthest in the lists.

        Returns:
            (B, M) how far, and (B, M) int64 places among the items that lists are made of.
        """
        soft_BN = self.soft(k, temperature)
        places_BM = soft_BN.detach().topk(min(candidates, soft_BN.shape[1]), dim=1, sorted=False).indices
        return soft_BN.gather(1, places_BM), places_BM

    def space(self, name: str, *, detach: bool = True) -> Tensor:
        """Return (N, D) unit vectors (zeros where missing) of the items that lists are made of.

        Args:
            name: ``model`` or one of the tables.
            detach: whether no gradient goes into the model's vectors.
        """
        if name == MODEL:
            items_ND = self._items()
            return F.normalize(items_ND.detach() if detach else items_ND, dim=1)
        table_ND = self.tables[name]
        return table_ND if self.numbers_N is None else table_ND[self.numbers_N]

    def at_places(self, name: str, places_BM: Tensor, *, detach: bool = True) -> Tensor:
        """Return (B, M, D) vectors of a space at places among the items that lists are made of.

        No tensor of the catalogue's size is made.

        Args:
            name: ``model`` or one of the tables.
            places_BM: places, as :meth:`top` returns them.
            detach: whether no gradient goes into the model's vectors.
        """
        if name == MODEL:
            items_ND = self._items()
            chosen_BMD = F.embedding(places_BM, items_ND.detach() if detach else items_ND)
            return F.normalize(chosen_BMD, dim=2)
        numbers_BM = places_BM if self.numbers_N is None else self.numbers_N[places_BM]
        return F.embedding(numbers_BM, self.tables[name])

    def _items(self) -> Tensor:
        if self.items_ND is None:
            raise ValueError("this sample was made without item vectors: no term said that it needs lists")
        return self.items_ND

    def _logits(self) -> Tensor:
        if self._logits_BN is None:
            logits_BN = self.queries_BD @ self._items().T
            self._logits_BN = self._without_seen(logits_BN) if self.exclude_seen else logits_BN
        return self._logits_BN

    def _without_seen(self, logits_BN: Tensor) -> Tensor:
        rows, listed = len(logits_BN), logits_BN.shape[1]
        # One more place, for clicks that are not listed.
        place_of = torch.full((self.n_items + 1,), listed, device=logits_BN.device)
        numbers_N = (
            torch.arange(listed, device=logits_BN.device) if self.numbers_N is None else self.numbers_N
        )
        place_of[numbers_N] = torch.arange(listed, device=logits_BN.device)
        seen_BL = self.seen_BL.masked_fill(self.seen_BL == ABSENT, self.n_items)
        hidden_BN = torch.zeros(rows, listed + 1, dtype=torch.bool, device=logits_BN.device)
        hidden_BN.scatter_(1, place_of[seen_BL], True)
        return logits_BN.masked_fill(hidden_BN[:, :listed], -torch.inf)


class PositionSamplerOptions(ComponentOptions):
    """Options of the positions and items that diversity terms look at.

    Args:
        rows: positions of each process's part of a step that terms look at, at most; drawn per part.
        items: training items that lists are made of, drawn again for each part of a step; None for all. A
            list of k out of a share of the items stands for a list of k divided by that share out of all.
        exclude_seen: whether lists leave out the clicks of the window that their query has read.
            Recommending leaves out the whole history, of which a window can be a part.
    """

    rows: int = Field(default=128, ge=1, le=10_000_000)
    items: int | None = Field(default=None, ge=2, le=1_000_000)
    exclude_seen: bool = True


class PositionSampler(nn.Module):
    """Sampler of the positions and items that terms look at, with the unit vectors of the spaces they use.

    Args:
        options: numbers of positions and items.
        items: features of the training items.
        lists: term name -> length of its lists, for terms over lists.
        spaces: names of the spaces in which terms compare items.

    Raises:
        InputError: if a term needs longer lists than there are items, or a space that does not exist, or
            if lists take too much memory together.
    """

    def __init__(
        self,
        options: PositionSamplerOptions,
        items: ItemTable,
        lists: Mapping[str, int],
        spaces: Collection[str],
    ) -> None:
        super().__init__()
        self.rows = options.rows
        self.n_items = len(items)
        self.items = options.items if options.items is not None and options.items < self.n_items else None
        self.exclude_seen = options.exclude_seen
        self.needs_lists = bool(lists)
        self._seed = -1
        self._draws = 0
        self._check(lists)
        self._spaces = sorted(set(spaces) - {MODEL})
        for name in self._spaces:
            items.require(name, "diversity")
            self.register_buffer(f"table_{name}", items.unit(name), persistent=False)

    def _check(self, lists: Mapping[str, int]) -> None:
        choice = self.items or self.n_items
        for name, k in lists.items():
            if k >= choice:
                raise InputError(
                    f"diversity.terms.{name}.k={k} needs more than {k} items to choose from, there "
                    f"are {choice}; lower k or raise diversity.items"
                )
        if lists and self.rows * choice > MAX_PLACES:
            raise InputError(
                f"diversity: lists of diversity.rows={self.rows} positions over {choice} items take more "
                f"than {MAX_PLACES} places; lower diversity.rows, or set diversity.items to at most "
                f"{MAX_PLACES // self.rows}"
            )

    def draw_positions(self, n_positions: int, device: torch.device) -> Tensor:
        """Draw (B,) int64 positions to look at, sorted: all, or ``rows`` of them, others at each call."""
        if n_positions <= self.rows:
            return torch.arange(n_positions, device=device)
        return self._draw(n_positions, self.rows, device)

    def draw_items(self, device: torch.device) -> Tensor | None:
        """Draw (N,) int64 numbers of the items of lists, sorted, others at each call; None for all."""
        return None if self.items is None else self._draw(self.n_items, self.items, device)

    def _draw(self, n: int, size: int, device: torch.device) -> Tensor:
        """Draw numbers below n, a function of torch's seed and of the number of draws since it was set.

        Torch's own generators do not suit: on an accelerator nothing else in a step advances that of the
        CPU, and the others must not be advanced by a term that only measures.
        """
        if self._seed != torch.initial_seed():
            self._seed, self._draws = torch.initial_seed(), 0
        self._draws += 1
        generator = torch.Generator().manual_seed(hash((self._seed, self._draws)) % 2**63)
        return torch.randperm(n, generator=generator)[:size].sort().values.to(device)

    def tables(self) -> dict[str, Tensor]:
        """Return space name -> (N, D) unit rows, for the spaces that terms use."""
        return {name: cast(Tensor, getattr(self, f"table_{name}")) for name in self._spaces}
