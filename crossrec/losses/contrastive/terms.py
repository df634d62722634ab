"""All contrastive terms of a training, and how they weigh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from crossrec.losses.contrastive.base import ContrastiveTerm, ContrastSample
from crossrec.losses.diversity.weighting import RANKING, Weighting


class ContrastiveTerms(nn.Module):
    """Named terms that a task adds to its ranking loss.

    Args:
        terms: by name, in the order in which logs show them.
        weighting: makes losses of their values; leaves the ranking loss as it is.
    """

    def __init__(self, terms: Mapping[str, ContrastiveTerm], weighting: Weighting) -> None:
        super().__init__()
        self.names = list(terms)
        # A list, since the names of a ModuleDict must not be those of its methods.
        self.terms = nn.ModuleList(terms.values())
        self.weighting = weighting
        self.needs_views = any(term.needs_views for term in terms.values())
        self.needs_items = max((term.needs_items for term in terms.values()), default=0)

    def forward(self, sample: ContrastSample, progress: float) -> dict[str, Tensor]:
        """Name -> () value of each term that the sample has something for, without its weight.

        Args:
            sample: of a step.
            progress: share of the training done; terms that don't weigh anything yet are only measured.
        """
        values = {}
        for name, term in self._seeing(sample):
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.weighting.active(name, progress)):
                values[name] = term(sample)
        return values

    def _seeing(self, sample: ContrastSample) -> Iterator[tuple[str, ContrastiveTerm]]:
        for name, term in zip(self.names, self.terms, strict=True):
            found = cast(ContrastiveTerm, term)
            if found.can_see(sample):
                yield name, found

    def active(self, progress: float) -> bool:
        """Whether any term takes part in the loss."""
        return any(self.weighting.active(name, progress) for name in self.names)

    def weigh(self, values: Mapping[str, Tensor], clicks: int, progress: float) -> dict[str, Tensor]:
        """Losses to be added to a ranking loss; terms that are only measured are left out.

        Args:
            values: name -> () value, a mean.
            clicks: that the loss is of, so that a weight means the same as a click's loss.
            progress: share of the training done.
        """
        weighed: dict[str, Tensor] = self.weighting(torch.zeros(()), values, clicks, progress)
        return {name: loss for name, loss in weighed.items() if name != RANKING}
