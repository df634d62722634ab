"""All diversity terms of a training: what they look at, and how they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from crossrec.objectives.diversity.base import DiversityTerm, ItemInfo, StepSample
from crossrec.objectives.diversity.weighting import Weighting
from crossrec.types import InputError


class DiversityTerms(nn.Module):
    """Named terms that a task adds to its ranking loss.

    Args:
        terms: by name, in the order in which logs show them.
        weighting: makes one loss of all.
        info: of the training items.
        rows: positions of a process's part of a step that terms look at, at most.
        items: training items that lists are made of, drawn for each part of a step; None for all.
        exclude_seen: whether lists leave out the clicks that their query knows.

    Raises:
        InputError: a term wants longer lists than there are items, or a space that there isn't.
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
        self._check(terms, info)
        self._spaces: list[str] = []
        for name, table_ND in info.tables().items():
            if any(term.space == name for term in terms.values()):
                self._spaces.append(name)
                self.register_buffer(f"table_{name}", table_ND, persistent=False)

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

    def draw_positions(self, n_positions: int, device: torch.device) -> Tensor:
        """(B,) int64 positions to look at, sorted: all, or ``rows`` of them by torch's CPU generator."""
        if n_positions <= self.rows:
            return torch.arange(n_positions, device=device)
        return torch.randperm(n_positions)[: self.rows].sort().values.to(device)

    def draw_items(self, device: torch.device) -> Tensor | None:
        """(N,) int64 numbers of the items to make lists of, sorted; None for all."""
        if self.items is None:
            return None
        return torch.randperm(self.n_items)[: self.items].sort().values.to(device)

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
