"""Contrastive terms (InfoNCE): views of one history, and modalities of one item."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from crossrec.losses.terms.base import ItemSample, Term, TermOptions, ViewSample


class ContrastiveTermOptions(TermOptions):
    """Options of every contrastive term."""

    weight: float = Field(
        0.1, ge=0, le=1_000_000, description="factor beside the ranking loss's 1; 0 only measures the term"
    )
    temperature: float = Field(0.1, gt=0, le=10_000, description="temperature of the cosines")


class SequenceViewsTerm(Term[ViewSample]):
    """InfoNCE of two augmented views of one history, among all views of the step.

    For each of the 2 B views: ``-log(e^{s(v, v')/t} / (e^{s(v, v')/t} + sum_n e^{s(v, n)/t}))`` with the
    other view v' of the same history, the views n of all other users' histories, and the cosine s.

    Source:
        Xie et al. 2022, "Contrastive learning for sequential recommendation" (CL4SRec), equation 3, whose
        s is a plain dot product without temperature and whose batch has no user twice: ours has windows
        of long histories, and those of the same user are no negatives. The normalized form is that of
        Chen et al. 2020, "A simple framework for contrastive learning of visual representations", equation 1.
    """

    class Options(ContrastiveTermOptions):
        """Two views of one history, made by the augmenters of ``augment.sequence``."""

        temperature: float = Field(0.5, gt=0, le=10_000, description="temperature of the cosines")

    sees = "views"

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.temperature = options.temperature

    def forward(self, part: ViewSample) -> Tensor:
        """Compute the () mean over the 2 B views."""
        views_VD = F.normalize(torch.cat([part.first_BD, part.second_BD]), dim=1)
        n = len(part.first_BD)
        logits_VV = views_VD @ views_VD.T / self.temperature
        users_V = part.users_B.repeat(2)
        positive_V = torch.arange(2 * n, device=views_VD.device).roll(n)
        hidden_VV = users_V[:, None] == users_V
        hidden_VV.scatter_(1, positive_V[:, None], False)
        return F.cross_entropy(logits_VV.masked_fill(hidden_VV, -torch.inf), positive_V)


class CrossModalTerm(Term[ItemSample]):
    """InfoNCE of text, picture and id of one item, among those of the step's items.

    For each pair of modalities, over the items that have both: the mean of the cross-entropies of finding the
    item's one vector by the other, in both directions. The value is the mean over the pairs of modalities
    that at least two items have.

    Source:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision",
        figure 3, for one pair; there the temperature is learned.
    """

    class Options(ContrastiveTermOptions):
        """Text, picture and id of one item."""

        items: int = Field(
            512, ge=2, le=1_000_000, description="items of a part of a step that are compared, at most"
        )

    sees = "items"

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.temperature = options.temperature
        self.most_items = options.items

    def forward(self, part: ItemSample) -> Tensor:
        """Compute the () mean over pairs of modalities; 0 if no pair has two items."""
        features_KMD, present_KM = F.normalize(part.features_KMD, dim=2), part.present_KM
        n_modalities = present_KM.shape[1]
        found = []
        for one in range(n_modalities):
            for other in range(one + 1, n_modalities):
                both_K = present_KM[:, one] & present_KM[:, other]
                if int(both_K.sum()) >= 2:
                    found.append(self._pair(features_KMD[both_K, one], features_KMD[both_K, other]))
        return torch.stack(found).mean() if found else features_KMD.new_zeros(())

    def _pair(self, one_KD: Tensor, other_KD: Tensor) -> Tensor:
        logits_KK = one_KD @ other_KD.T / self.temperature
        own_K = torch.arange(len(logits_KK), device=logits_KK.device)
        return (F.cross_entropy(logits_KK, own_K) + F.cross_entropy(logits_KK.T, own_K)) / 2
