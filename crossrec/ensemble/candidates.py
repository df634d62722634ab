"""Candidates of an ensemble: the union of its members' lists, or the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.ensemble.base import MemberScores
from crossrec.runtime.ranking import mask_seen
from crossrec.types import ABSENT, Recommender, Sequences, TopK


@dataclass(frozen=True)
class Candidates:
    """Candidates of B histories and each member's scores of them.

    Args:
        ids_BP: (B, P) int64, ascending in each row, ``ABSENT`` after the last.
        said: scores, one entry per member.
    """

    ids_BP: np.ndarray
    said: tuple[MemberScores, ...]


def union_of_lists(
    members: Sequence[Recommender],
    histories: Sequences,
    exclude: Sequences | None,
    places: int,
    *,
    ask_beyond: bool,
) -> Candidates:
    """Return the union of the members' lists.

    Args:
        members: fitted members.
        histories: B rows.
        exclude: B rows of items that must not appear.
        places: C, length of each member's list.
        ask_beyond: whether members score the others' candidates; else they have no score for them.
    """
    places = min(places, members[0].n_items)
    lists = [member.recommend(histories, places, exclude) for member in members]
    ids_BP = union([found.ids for found in lists])
    said = []
    for member, found in zip(members, lists, strict=True):
        columns_BC = _columns(ids_BP, found.ids)
        ranks_BP = _scattered(columns_BC, np.arange(1.0, places + 1)[None], ids_BP.shape, np.inf)
        scores_BP = torch.from_numpy(_scattered(columns_BC, found.scores, ids_BP.shape, -np.inf))
        present_BP = torch.from_numpy(ids_BP != ABSENT)
        outside_BP = torch.from_numpy(~np.isfinite(ranks_BP)) & present_BP
        # A short list contains all items that the member may recommend.
        refused_BP = outside_BP & torch.from_numpy((found.ids == ABSENT).any(1))[:, None]
        if ask_beyond and bool(outside_BP.any()):
            asked_BP = member.score(histories, np.maximum(ids_BP, 0)).cpu().float()
            scores_BP = torch.where(outside_BP, asked_BP, scores_BP)
            refused_BP = outside_BP & ~asked_BP.isfinite()
        own_BC = torch.from_numpy(np.where(found.ids == ABSENT, np.float32(-np.inf), found.scores))
        said.append(MemberScores(own_BC, scores_BP, torch.from_numpy(ranks_BP), refused_BP))
    return Candidates(ids_BP, tuple(said))


def whole_catalogue(
    members: Sequence[Recommender], histories: Sequences, exclude: Sequences | None
) -> Candidates:
    """Return every item of the catalogue that is not excluded, scored by every member.

    Args:
        members: fitted members.
        histories: B rows.
        exclude: B rows of items that must not appear; they are excluded from all statistics.
    """
    said = []
    for member in members:
        scores_BN = member.score(histories).cpu().float()
        if exclude is not None:
            mask_seen(scores_BN, exclude)
        refused_BN = ~scores_BN.isfinite()
        said.append(MemberScores(scores_BN, scores_BN, _ranks(scores_BN), refused_BN))
    ids_BN = np.broadcast_to(np.arange(members[0].n_items), (len(histories), members[0].n_items))
    return Candidates(ids_BN, tuple(said))


def union(lists_BC: Sequence[np.ndarray]) -> np.ndarray:
    """Return (B, P), the distinct items of each row of lists, ascending, ``ABSENT`` after the last."""
    last = np.iinfo(np.int64).max
    ids = np.concatenate(lists_BC, axis=1).astype(np.int64)
    ids = np.sort(np.where(ids == ABSENT, last, ids), axis=1)
    ids[:, 1:][ids[:, 1:] == ids[:, :-1]] = last
    ids = np.sort(ids, axis=1)
    width = int((ids != last).sum(1).max(initial=0))
    return np.where(ids == last, ABSENT, ids)[:, : max(width, 1)]


def _columns(ids_BP: np.ndarray, wanted_BC: np.ndarray) -> np.ndarray:
    """Return (B, C) columns of ``ids_BP`` with the given items; -1 for ``ABSENT``."""
    stride = int(ids_BP.max(initial=0)) + 2
    rows_B1 = np.arange(len(ids_BP))[:, None] * stride
    keys = (rows_B1 + np.where(ids_BP == ABSENT, stride - 1, ids_BP)).ravel()
    places_BC = np.searchsorted(keys, (rows_B1 + wanted_BC).ravel()).reshape(wanted_BC.shape)
    return np.where(wanted_BC == ABSENT, -1, places_BC - np.arange(len(ids_BP))[:, None] * ids_BP.shape[1])


def _scattered(
    columns_BC: np.ndarray, values: np.ndarray, shape: tuple[int, ...], empty: float
) -> np.ndarray:
    """Return values in their columns, ``empty`` elsewhere."""
    result = np.full(shape, empty, dtype=values.dtype)
    row, place = np.nonzero(columns_BC >= 0)
    result[row, columns_BC[row, place]] = np.broadcast_to(values, columns_BC.shape)[row, place]
    return result


def _ranks(scores_BN: Tensor) -> Tensor:
    """Return (B, N) float64 ranks by descending score, ties to the lower index; inf for a score of -inf."""
    order_BN = scores_BN.sort(stable=True, dim=1, descending=True).indices
    places_BN = torch.arange(1.0, scores_BN.shape[1] + 1, dtype=torch.float64).expand(scores_BN.shape)
    ranks_BN = torch.empty(scores_BN.shape, dtype=torch.float64).scatter_(1, order_BN, places_BN)
    return ranks_BN.masked_fill_(~scores_BN.isfinite(), torch.inf)


def as_lists(ids_BP: np.ndarray, fused_BP: Tensor, k: int) -> TopK:
    """Return the k best candidates, ties to the lower index; -inf is omitted.

    Args:
        ids_BP: (B, P) candidates, ascending in each row.
        fused_BP: (B, P) float64 fused scores.
        k: length of the lists.
    """
    ids = np.full((len(ids_BP), k), ABSENT, np.int64)
    scores = np.full((len(ids_BP), k), -np.inf, np.float32)
    width = min(k, ids_BP.shape[1])
    if not len(ids_BP) or not width:
        return TopK(ids, scores)
    columns_BW = _contenders(fused_BP, width)
    order_BK = fused_BP.gather(1, columns_BW).sort(stable=True, dim=1, descending=True).indices[:, :width]
    columns_BK = columns_BW.gather(1, order_BK)
    found_BK = fused_BP.gather(1, columns_BK).numpy()
    there_BK = found_BK > -np.inf
    ids[:, :width] = np.where(there_BK, np.take_along_axis(ids_BP, columns_BK.numpy(), 1), ABSENT)
    scores[:, :width] = np.where(there_BK, found_BK, -np.inf)
    return TopK(ids, scores)


def _contenders(fused_BP: Tensor, k: int) -> Tensor:
    """Return (B, W) ascending columns of each row's k best and all that tie with the last of them."""
    least_B1 = fused_BP.topk(k, dim=1).values[:, -1:]
    good_BP = fused_BP >= least_B1
    width = int(good_BP.sum(1).max())
    n_columns = fused_BP.shape[1]
    if width == n_columns:
        return torch.arange(n_columns).expand(fused_BP.shape)
    # Keys of contenders decrease from left to right.
    keys_BP = torch.where(good_BP, torch.arange(n_columns, 0, -1), 0)
    return keys_BP.topk(width, dim=1).indices
