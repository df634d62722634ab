"""The other direction of a click: which query does an item belong to?"""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.losses.diversity.base import DiversityTerm, StepSample


class ItemToUserTerm(DiversityTerm):
    """Softmax over the sampled queries for each target item: ``-log(e^{q_i v_i} / sum_j e^{q_j v_i})``.

    Popular items are the targets of many queries, so scores that all queries give them cost here: the loss
    works against popularity. Queries of the same history, and those with the same target, are no negatives.

    Source:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision", the
        symmetric loss: its second half; Yao et al. 2021, "Self-supervised learning for large-scale item
        recommendations", for in-batch softmaxes of two towers.
    """

    def forward(self, sample: StepSample) -> Tensor:
        """() mean over targets, in nats."""
        logits_BB = sample.positives_BD @ sample.queries_BD.T
        own_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
        same_BB = (sample.windows_B[:, None] == sample.windows_B) | (
            sample.targets_B[:, None] == sample.targets_B
        )
        negatives_BB = logits_BB.masked_fill(same_BB & ~own_BB, -torch.inf)
        return (negatives_BB.logsumexp(1) - logits_BB.diagonal()).mean()
