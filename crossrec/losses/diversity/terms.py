"""All diversity terms of a training: what they look at, and how they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from crossrec.losses.diversity.base import MODEL, DiversityTerm, ItemInfo, StepSample
from crossrec.losses.diversity.weighting import Weighting
from crossrec.types import InputError

MAX_PLACES = 2**26
"""Positions times items that lists may take: 256 MiB in fp32, held several times over by each k."""


class DiversityTerms(nn.Module):
    """Named terms that a task adds to its ranking loss.

    Args:
        terms: by name, in the order in which logs show them.
        weighting: makes one loss of all.
        info: of the training items.
        rows: positions of a process's part of a step that terms look at, at most.
        items: training items that lists are made of, drawn for each part of a step; None for all.
        exclude_seen: whether lists leave out the clicks of the window that their query knows.

    Raises:
        InputError: a term wants longer lists than there are items, a space that there isn't, or lists that
            are too large together.
    """

    def __init__(
        self,
        terms: Mapping[str, DiversityTerm],
        weighting: Weighting,
        info: ItemInfo,
        *,
        rows: int,
        items: int | None,
        exclude_seen: bool,
    ) -> None:
        super().__init__()
        self.names = list(terms)
        # A list, since the names of a ModuleDict must not be those of its methods.
        self.terms = nn.ModuleList(terms.values())
        self.weighting = weighting
        self.rows = rows
        self.n_items = len(info)
        self.items = items if items is not None and items < self.n_items else None
        self.exclude_seen = exclude_seen
        self.needs_lists = any(term.k is not None for term in terms.values())
        self._seed = -1
        self._draws = 0
        self._check(terms, info)
        used = {term.space for term in terms.values()} - {None, MODEL}
        self._spaces = sorted(cast(set[str], used))
        for name in self._spaces:
            self.register_buffer(f"table_{name}", info.table(name), persistent=False)

    def _check(self, terms: Mapping[str, DiversityTerm], info: ItemInfo) -> None:
        choice = self.items or self.n_items
        for name, term in terms.items():
            if term.k is not None and term.k >= choice:
                raise InputError(
                    f"diversity.terms.{name}.k={term.k} needs more than {term.k} items to choose from, there "
                    f"are {choice}; lower k or raise diversity.items"
                )
            if term.space is not None:
                info.require(term.space)
        if self.needs_lists and self.rows * choice > MAX_PLACES:
            raise InputError(
                f"diversity: lists of diversity.rows={self.rows} positions over {choice} items take more "
                f"than {MAX_PLACES} places; lower diversity.rows, or set diversity.items to at most "
                f"{MAX_PLACES // self.rows}"
            )

    def draw_positions(self, n_positions: int, device: torch.device) -> Tensor:
        """(B,) int64 positions to look at, sorted: all, or ``rows`` of them, others at each call."""
        if n_positions <= self.rows:
            return torch.arange(n_positions, device=device)
        return self._draw(n_positions, self.rows, device)

    def draw_items(self, device: torch.device) -> Tensor | None:
        """(N,) int64 numbers of the items to make lists of, sorted, others at each call; None for all."""
        return None if self.items is None else self._draw(self.n_items, self.items, device)

    def _draw(self, n: int, size: int, device: torch.device) -> Tensor:
        """Numbers below n, a function of torch's seed and of how many draws were made since it was set.

        Torch's own generators are no help: on an accelerator nothing else in a step moves that of the
        processor, and the others must not be moved by a term that only measures.
        """
        if self._seed != torch.initial_seed():
            self._seed, self._draws = torch.initial_seed(), 0
        self._draws += 1
        generator = torch.Generator().manual_seed(hash((self._seed, self._draws)) % 2**63)
        return torch.randperm(n, generator=generator)[:size].sort().values.to(device)

    def tables(self) -> dict[str, Tensor]:
        """Space name -> (N, D) unit rows, of the spaces that terms use."""
        return {name: cast(Tensor, getattr(self, f"table_{name}")) for name in self._spaces}

    def forward(self, sample: StepSample, progress: float) -> dict[str, Tensor]:
        """Name -> () value of each term, without its weight.

        Args:
            sample: positions of a step, at least one.
            progress: share of the training done; terms that don't weigh anything yet are only measured.
        """
        terms = dict(zip(self.names, self.terms, strict=True))
        active = [name for name in self.names if self.weighting.active(name, progress)]
        values = {name: terms[name](sample) for name in active}
        # After the others: what they keep in the sample has a gradient.
        with torch.no_grad():
            values |= {name: term(sample) for name, term in terms.items() if name not in values}
        return {name: values[name] for name in self.names}
