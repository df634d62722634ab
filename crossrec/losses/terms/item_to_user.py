"""Item-to-user softmax: which query does a clicked item belong to?"""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.item_table import ItemTable
from crossrec.losses.terms.base import Term, TermOptions
from crossrec.losses.terms.positions import PositionSample


class ItemToUserTerm(Term[PositionSample]):
    """Softmax over the sampled queries for each target item: ``-log(e^{q_i v_i} / sum_j e^{q_j v_i})``.

    Popular items are the targets of many queries, so scores that all queries give them cost here: the loss
    works against popularity. Queries of the same history, and those with the same target, are no negatives.

    Source:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision", the
        symmetric loss: its second half; Yao et al. 2021, "Self-supervised learning for large-scale item
        recommendations", for in-batch softmaxes of two towers.
    """

    class Options(TermOptions):
        """Softmax over the sampled queries for each target."""

    def __init__(self, options: Options, items: ItemTable, width: int) -> None:
        super().__init__()

    def forward(self, part: PositionSample) -> Tensor:
        """Compute the () mean over targets, in nats."""
        logits_BB = part.positives_BD @ part.queries_BD.T
        own_BB = torch.eye(len(logits_BB), dtype=torch.bool, device=logits_BB.device)
        same_BB = (part.windows_B[:, None] == part.windows_B) | (part.targets_B[:, None] == part.targets_B)
        negatives_BB = logits_BB.masked_fill(same_BB & ~own_BB, -torch.inf)
        return (negatives_BB.logsumexp(1) - logits_BB.diagonal()).mean()
