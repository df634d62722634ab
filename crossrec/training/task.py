"""Training task: model and losses as one module, so that one wrapper parallelizes both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.losses.base import CandidateVectors, RankingLoss
from crossrec.losses.distillation import DistillationLoss, SoftTargets
from crossrec.losses.terms.base import TermInputs
from crossrec.losses.terms.positions import PositionSample
from crossrec.losses.terms.term_set import DiversitySet, TermSet
from crossrec.losses.terms.weighting import RANKING
from crossrec.model.network import SequentialNetwork
from crossrec.model.semantic_ids.network import GenerativeNetwork
from crossrec.model.sequence.base import History
from crossrec.training.config import DistillationConfig
from crossrec.training.contrast import Contrast, check_terms, compute_item_vectors, contrast
from crossrec.training.windows import Batch
from crossrec.types import ABSENT, InputError

DISTILLATION = "distillation"
"""Name of the distillation loss among a task's losses."""

ONLY_LAST_MASKED = 1 / 11
"""Share of rows in which training masks the last click only, as in inference (BERT4Rec's own code)."""


@dataclass(frozen=True)
class TeacherItems:
    """Items of a teacher's lists.

    Args:
        vectors_MD: the student's item vectors.
        soft: lists, numbered by the rows of ``vectors_MD``.
    """

    vectors_MD: Tensor
    soft: SoftTargets


class ItemPredictionTask(nn.Module):
    """Prediction of clicks, each from those before it, or masked ones from those around them.

    Args:
        network: the model; a bidirectional one learns by masking.
        objective: ranking loss over the training items, which it numbers from 0.
        train_items: (N',) catalogue indices of the training items: all targets and all negatives.
        terms: diversity terms to add to the ranking loss; None for none.
        contrastive: contrastive terms to add to it; None for none.
        distillation: weight and temperature of a teacher's lists, which batches then hold; None without a
            teacher.

    Attributes:
        progress: share of the training done, 0 to 1, for weights that change; set by the training loop.
    """

    train_items: Tensor
    position_of: Tensor

    def __init__(
        self,
        network: SequentialNetwork,
        objective: RankingLoss,
        train_items: Tensor,
        terms: DiversitySet | None = None,
        contrastive: TermSet | None = None,
        distillation: DistillationConfig | None = None,
    ) -> None:
        super().__init__()
        if contrastive is not None:
            check_terms(contrastive, network)
            _check_names(contrastive, terms)
        self.network = network
        self.objective = objective
        self.terms = terms
        self.contrastive = contrastive
        self.distillation = distillation
        self.distillation_loss = None if distillation is None else DistillationLoss(distillation.temperature)
        self.progress = 0.0
        self._measured: dict[str, float] = {}
        position_of = torch.full((network.n_items,), -1)
        position_of[train_items] = torch.arange(len(train_items))
        self.register_buffer("train_items", train_items, persistent=False)
        self.register_buffer("position_of", position_of, persistent=False)

    def sample_negatives(self, seed: int, step_targets: np.ndarray) -> Tensor | None:
        """Draw the negatives of one step, as positions in ``train_items``; None for a loss over all items.

        Args:
            seed: the same on every process, which then draws the same.
            step_targets: (G,) catalogue indices, targets of the step over all processes.

        Returns:
            (K,) shared by all targets, or (G, K), one set per target.
        """
        if self.objective.sampler is None:
            return None
        targets_G = self.position_of.cpu()[torch.from_numpy(step_targets)]
        sampled = self.objective.sampler.sample(torch.Generator().manual_seed(seed), targets_G)
        return sampled.to(self.train_items.device)

    def forward(self, batch: Batch, negatives: Tensor | None) -> dict[str, Tensor]:
        """Compute named losses, weighted and summed over the batch's targets; their sum is to be minimized.

        If clicks are masked, the sum over the masked ones is scaled up to stand for all. A term is
        a mean over some of the positions, times the number of targets. A contrastive term is that of all
        processes' parts, with a gradient into this process's share of it.
        """
        masked_BL, scale = None, 1.0
        n_all = len(batch.targets_T)
        if self.network.sequence.mask_share is not None:
            batch, masked_BL = _mask(batch, self.network.sequence.mask_share)
            scale = n_all / max(len(batch.targets_T), 1)
        history_BLD, candidates, listed = self._item_vectors(batch, negatives)
        queries_TD = self._queries(history_BLD, batch, masked_BL)
        targets_T = self.position_of[batch.targets_T]
        if isinstance(self.network, GenerativeNetwork):
            losses_T = self.network.losses(
                queries_TD, batch.targets_T, cast(Tensor, candidates.items_ND), self.train_items
            )
            losses_T = self.objective.balance(losses_T, targets_T)
        else:
            losses_T = self.objective.loss(queries_TD, targets_T, candidates)
        if batch.weights_T is not None:
            losses_T = losses_T * batch.weights_T
        ranking = losses_T.sum() * scale
        sums = {RANKING: ranking}
        losses: dict[str, Tensor] = {}
        if self.distillation is not None:
            weight = self.distillation.weight
            distilled_T, taught_T = self._distilled(queries_TD, batch, listed)
            sums[DISTILLATION] = distilled_T.sum() * scale
            losses[DISTILLATION] = weight * sums[DISTILLATION]
            # Clicks without a list, such as those of augmented copies, keep their ranking loss whole.
            ranking = (losses_T * (1 - weight * taught_T.to(losses_T.dtype))).sum() * scale
        values = self._term_values(batch, masked_BL, queries_TD, candidates)
        found_contrast = self._contrast(batch, candidates, n_all)
        means = {**values, **found_contrast.values}
        self._measure({**sums, **{name: value * n_all for name, value in means.items()}})
        losses[RANKING] = ranking
        if self.terms is not None:
            losses |= self.terms.weighting(ranking, values, n_all, self.progress)
        if self.contrastive is not None:
            losses |= self.contrastive.weighting(
                losses[RANKING], found_contrast.values, found_contrast.clicks, self.progress
            )
        return losses

    def _contrast(self, batch: Batch, candidates: CandidateVectors, n_clicks: int) -> Contrast:
        """Return the values of the contrastive terms; none if there are no such terms."""
        if self.contrastive is None:
            return Contrast({}, 0)

        def vectors_of(items_BL: Tensor) -> Tensor:
            if candidates.items_ND is None:
                return compute_item_vectors(items_BL, self.network)
            return F.embedding(self.position_of[items_BL].clamp(min=0), candidates.items_ND)

        return contrast(self.network, self.contrastive, batch, vectors_of, n_clicks, self.progress)

    def take_measured(self) -> dict[str, float]:
        """Return the ranking loss and all terms without weights, summed over targets since the last call."""
        measured, self._measured = self._measured, {}
        return measured

    def _measure(self, sums: dict[str, Tensor]) -> None:
        figures = torch.stack([value.detach() for value in sums.values()]).tolist()
        for name, figure in zip(sums, figures, strict=True):
            self._measured[name] = self._measured.get(name, 0.0) + figure

    def _distilled(
        self, queries_TD: Tensor, batch: Batch, listed: TeacherItems | None
    ) -> tuple[Tensor, Tensor]:
        """Compute (T,) weighted distillation losses, and (T,) bool, which clicks have a list.

        Raises:
            ValueError: if the batch comes without a teacher's lists.
        """
        if self.distillation_loss is None or listed is None:
            raise ValueError("the task distils a teacher, but the batches hold no lists of one")
        losses_T: Tensor = self.distillation_loss(
            self.objective.scaled(queries_TD),
            listed.vectors_MD,
            listed.soft,
            over_list=self.objective.sampler is not None,
        )
        if batch.weights_T is not None:
            losses_T = losses_T * batch.weights_T
        return losses_T, listed.soft.taught_T

    def _item_vectors(
        self, batch: Batch, negatives: Tensor | None
    ) -> tuple[Tensor, CandidateVectors, TeacherItems | None]:
        """Compute (B, L, D) vectors of the histories, and those of the losses' candidates, once per item.

        Args:
            batch: histories and targets, and a teacher's lists or None.
            negatives: positions in ``train_items``; None for all training items.

        Returns:
            Vectors of the histories, candidates of the ranking loss, and items of the teacher's lists.
        """
        soft = None if batch.soft is None else batch.soft.numbered(self.position_of)
        if negatives is None:
            items_ND = self.network.item_vectors(self.train_items)
            history_BLD = F.embedding(self.position_of[batch.items_BL].clamp(min=0), items_ND)
            listed = None if soft is None else TeacherItems(items_ND, soft)
            return history_BLD, CandidateVectors(items_ND), listed
        if negatives.ndim == 2:
            negatives = negatives[batch.places_T]
        n_clicks, n_targets = batch.items_BL.numel(), len(batch.targets_T)
        parts = [batch.items_BL.flatten(), batch.targets_T, self.train_items[negatives].flatten()]
        if soft is not None:
            parts.append(self.train_items[soft.ids_TK.clamp(min=0)].flatten())
        needed, where = torch.cat(parts).unique(return_inverse=True)
        needed_MD = self.network.item_vectors(needed)
        listed = None
        if soft is not None:
            where, of_lists = where.split([len(where) - soft.ids_TK.numel(), soft.ids_TK.numel()])
            listed = TeacherItems(needed_MD, replace(soft, ids_TK=of_lists.view_as(soft.ids_TK)))
        # Looked up as an embedding, whose backward is much faster than that of indexing.
        vectors = F.embedding(where, needed_MD)
        history_BLD, positives_TD, negative_vectors = vectors.split([n_clicks, n_targets, negatives.numel()])
        candidates = CandidateVectors(
            positives_TD=positives_TD,
            negatives=negative_vectors.view(*negatives.shape, vectors.shape[-1]),
            negative_ids=negatives,
        )
        return history_BLD.view(*batch.items_BL.shape, -1), candidates, listed

    def _term_values(
        self, batch: Batch, masked_BL: Tensor | None, queries_TD: Tensor, candidates: CandidateVectors
    ) -> dict[str, Tensor]:
        """Return name -> value of each diversity term; none for a part of a step without targets."""
        if self.terms is None or not len(batch.targets_T):
            return {}
        device = batch.items_BL.device
        sampler = self.terms.positions
        # Generators are left as they were, so that a term that only measures changes no dropout; what is
        # drawn comes from the sampler's own.
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
        ):
            chosen_B = sampler.draw_positions(len(batch.targets_T), device)
            chosen = batch.only(chosen_B)
            items_ND, numbers_N = None, None
            if sampler.needs_lists:
                numbers_N = sampler.draw_items(device)
                items_ND = self._listed(candidates.items_ND, numbers_N)
            windows_B = chosen.positions_T // chosen.items_BL.shape[1]
            targets_B = self.position_of[chosen.targets_T]
            sample = PositionSample(
                queries_BD=self.objective.scaled(F.embedding(chosen_B, queries_TD).float()),
                positives_BD=candidates.positives(chosen_B, targets_B).float(),
                targets_B=targets_B,
                windows_B=windows_B,
                seen_BL=self._seen(chosen, masked_BL, windows_B),
                n_items=len(self.train_items),
                items_ND=items_ND,
                numbers_N=numbers_N,
                tables=sampler.tables(),
                exclude_seen=sampler.exclude_seen,
            )
            values: dict[str, Tensor] = self.terms(TermInputs(positions=sample), self.progress)
        return values

    def _listed(self, items_ND: Tensor | None, numbers_N: Tensor | None) -> Tensor:
        """Return vectors of the items that lists are made of, computed here if the loss did not need them."""
        if items_ND is None:
            rows = self.train_items if numbers_N is None else self.train_items[numbers_N]
            return self.network.item_vectors(rows).float()
        return (items_ND if numbers_N is None else F.embedding(numbers_N, items_ND)).float()

    def _seen(self, batch: Batch, masked_BL: Tensor | None, windows_B: Tensor) -> Tensor:
        """Return (B, L) positions in ``train_items`` of the clicks that each query has read, else -1."""
        length = batch.items_BL.shape[1]
        steps_L = torch.arange(length, device=windows_B.device)
        if masked_BL is None:
            known_BL = steps_L <= (batch.positions_T % length)[:, None]
        else:
            known_BL = (steps_L < batch.lengths_B[windows_B, None]) & ~masked_BL[windows_B]
        return self.position_of[batch.items_BL[windows_B]].masked_fill(~known_BL, ABSENT)

    def _queries(self, history_BLD: Tensor, batch: Batch, masked_BL: Tensor | None) -> Tensor:
        hidden_BLD = self.network.hidden(History(history_BLD, batch.lengths_B, batch.times_BL, masked_BL))
        return self.network.queries(hidden_BLD.flatten(0, 1)[batch.positions_T])


def _check_names(contrastive: TermSet, terms: TermSet | None) -> None:
    twice = set(contrastive.names) & set(terms.names if terms is not None else ())
    if twice:
        raise InputError(
            f"diversity and contrastive both have a term named {sorted(twice)[0]}; rename one, as the log "
            "could not tell them apart"
        )


def _mask(batch: Batch, share: float) -> tuple[Batch, Tensor]:
    """Return the batch with only masked clicks as targets, and (B, L) where they are.

    Source: Sun et al. 2019, BERT4Rec, section 3.6.
    """
    shape = batch.items_BL.shape
    device = batch.items_BL.device
    drawn_BL = torch.rand(shape, device=device) < share
    last_BL = torch.arange(shape[1], device=device) == batch.lengths_B[:, None] - 1
    only_last_B = torch.rand(shape[0], device=device) < ONLY_LAST_MASKED
    drawn_BL = torch.where(only_last_B[:, None], last_BL, drawn_BL)
    chosen_T = drawn_BL.flatten()[batch.positions_T]
    batch = batch.only(chosen_T)
    masked_BL = torch.zeros(shape, dtype=torch.bool, device=device)
    masked_BL.view(-1)[batch.positions_T] = True
    return batch, masked_BL
