"""InfoNCE: which of many does each row belong to?"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from crossrec.losses.contrastive.base import ContrastiveTerm, ContrastSample, ItemSample, ViewSample


class SequenceViewsTerm(ContrastiveTerm):
    """Two augmented views of one history, among all views of the step.

    For each of the 2 B views: ``-log(e^{s(v, v')/t} / (e^{s(v, v')/t} + sum_n e^{s(v, n)/t}))`` with the
    other view v' of the same history, the views n of all other users' histories, and the cosine s.

    Args:
        temperature: t.

    Source:
        Xie et al. 2022, "Contrastive learning for sequential recommendation" (CL4SRec), equation 3, whose
        s is a plain dot product without temperature and whose batch has no user twice: ours has windows
        of long histories, and those of the same user are no negatives. The normalised form is that of
        Chen et al. 2020, "A simple framework for contrastive learning of visual representations", equation 1.
    """

    needs_views = True

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, sample: ContrastSample) -> Tensor:
        """() mean over the 2 B views."""
        views = cast(ViewSample, sample.views)
        views_VD = F.normalize(torch.cat([views.first_BD, views.second_BD]), dim=1)
        n = len(views.first_BD)
        logits_VV = views_VD @ views_VD.T / self.temperature
        users_V = views.users_B.repeat(2)
        positive_V = torch.arange(2 * n, device=views_VD.device).roll(n)
        hidden_VV = users_V[:, None] == users_V
        hidden_VV.scatter_(1, positive_V[:, None], False)
        return F.cross_entropy(logits_VV.masked_fill(hidden_VV, -torch.inf), positive_V)


class CrossModalTerm(ContrastiveTerm):
    """Text, picture and id of one item, among those of the step's items.

    For each pair of modalities, over the items that have both: the mean of the cross-entropies of finding the
    item's one vector by the other, in both directions. The value is the mean over the pairs of modalities
    that at least two items have.

    Args:
        temperature: of the cosines.
        items: of a step that are compared, at most.

    Source:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision",
        figure 3, for one pair; there the temperature is learned.
    """

    def __init__(self, temperature: float, items: int) -> None:
        super().__init__()
        self.temperature = temperature
        self.needs_items = items

    def forward(self, sample: ContrastSample) -> Tensor:
        """() mean over pairs of modalities; 0 where no pair has two items."""
        items = cast(ItemSample, sample.items)
        features_KMD, present_KM = F.normalize(items.features_KMD, dim=2), items.present_KM
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
