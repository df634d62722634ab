"""Weighted ensembles of recommenders, which are recommenders again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.config import Config
from crossrec.ensemble import ListFusionOptions
from crossrec.ensemble.base import Missing, fuse
from crossrec.ensemble.candidates import Candidates, as_lists, union_of_lists, whole_catalogue
from crossrec.ensemble.list_fusion import ScoreFusion
from crossrec.runtime.ranking.search import pick_candidates
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK


class EnsembleConfig(Config):
    """Options of a weighted ensemble.

    Args:
        fusion: fusion of the members' lists.
        candidates: number of candidates from each member, C; null for the whole catalogue.
        missing: meaning of -inf from a member. ``lowest``: the item counts as the worst of the member's list,
            and is excluded only if no member lists it. ``veto``: the item is excluded.
    """

    fusion: ListFusionOptions = ScoreFusion.Options()
    candidates: int | None = Field(100, ge=1, le=100_000)
    missing: Missing = "lowest"


SCORES_AT_ONCE = 1 << 24
"""Maximum number of scores of one member in memory (64 MB), unless one history needs more."""


MOST_ROWS = 1024


class Ensemble:
    """Weighted ensemble of recommenders over their candidates.

    Statistics of a member's scores are those of its list of C candidates without excluded items: excluding
    items may change more of a list than these items.

    Args:
        members: name -> recommender of the same catalogue, or a model from Python that holds one.
        weights: name -> weight of 0 or more, divided by their sum; equal if None.
        config: fusion and candidates.
        name: name in tables; members and weights if None.

    Raises:
        InputError: if there are no members, catalogues differ, or weights don't fit the members.
    """

    def __init__(
        self,
        members: Mapping[str, Any],
        weights: Mapping[str, float] | None = None,
        config: EnsembleConfig | None = None,
        name: str | None = None,
    ) -> None:
        self.members: dict[str, Recommender] = {
            name: getattr(member, "recommender", member) for name, member in members.items()
        }
        _check_members(self.members)
        self.weights = _checked_weights(list(self.members), weights)
        self.config = config or EnsembleConfig()
        self._active = {m: r for m, r in self.members.items() if self.weights[m] > 0}
        self.name = name or self.description

    @property
    def n_items(self) -> int:
        """Number of items, N."""
        return next(iter(self.members.values())).n_items

    @property
    def description(self) -> str:
        """Members with their weights, the fusion, and the candidates."""
        parts = " + ".join(f"{self.weights[name]:.2f} {name}" for name in self._active)
        pool = self.config.candidates
        of = "the whole catalogue" if pool is None else f"{pool} candidates each"
        return f"ensemble: {parts} ({self.config.fusion.label}, {of})"

    def fit(self, train: Sequences) -> Self:
        """Fit every member; weights are learned separately, on validation."""
        for member in self.members.values():
            member.fit(train)
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return fused scores; -inf outside the members' lists.

        Args:
            histories: B rows.
            candidates: (B, K), ``ABSENT`` scores -inf; the whole catalogue when None.

        Returns:
            (B, N) float32, or (B, K) for candidates: an item's score doesn't depend on other candidates.
        """
        scores_BN = torch.full((len(histories), self.n_items), -torch.inf)
        for rows in self._blocks(len(histories)):
            found = self.candidates(histories.take(rows), None, self.config.candidates)
            fused_BP = self._fused(found, self.config.candidates)
            row, column = np.nonzero(found.ids_BP != ABSENT)
            scores_BN[rows[row], found.ids_BP[row, column]] = fused_BP[row, column].float()
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k of the members' candidates, ties broken by the lower item index."""
        ids = np.full((len(histories), k), ABSENT, np.int64)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        places = None if self.config.candidates is None else max(self.config.candidates, k)
        for rows in self._blocks(len(histories)):
            excluded = None if exclude is None else exclude.take(rows)
            found = self.candidates(histories.take(rows), excluded, places)
            lists = as_lists(found.ids_BP, self._fused(found, places), k)
            ids[rows], scores[rows] = lists.ids, lists.scores
        return TopK(ids, scores)

    def candidates(self, histories: Sequences, exclude: Sequences | None, places: int | None) -> Candidates:
        """Return the candidates and scores of members with a weight, in one go; memory grows with B.

        Args:
            histories: B rows.
            exclude: B rows of items that must not appear.
            places: C, length of each member's list; None for the whole catalogue.
        """
        active = list(self._active.values())
        if places is None:
            return whole_catalogue(active, histories, exclude)
        ask_beyond = self.config.fusion.scores_unlisted and len(active) > 1
        return union_of_lists(active, histories, exclude, places, ask_beyond=ask_beyond)

    def _fused(self, found: Candidates, places: int | None) -> Tensor:
        rule = self.config.fusion.build(min(places or self.n_items, self.n_items))
        weights = [self.weights[name] for name in self._active]
        return fuse([rule(said) for said in found.said], found.said, weights, self.config.missing)

    def _blocks(self, n_rows: int) -> Iterator[np.ndarray]:
        step = max(min(SCORES_AT_ONCE // max(self.n_items, 1), MOST_ROWS), 1)
        for start in range(0, n_rows, step):
            yield np.arange(start, min(start + step, n_rows))


def _check_members(members: Mapping[str, Recommender]) -> None:
    if not members:
        raise InputError("an ensemble needs at least one member")
    sizes = {name: member.n_items for name, member in members.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(f"members of an ensemble must share one catalogue; they have {sizes} items")


def _checked_weights(names: list[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(names, 1 / len(names))
    if set(weights) != set(names):
        raise InputError(f"weights are for {sorted(weights)}, but the members are {sorted(names)}")
    wrong = [name for name, weight in weights.items() if not (math.isfinite(weight) and weight >= 0)]
    if wrong:
        raise InputError(
            f"the weight of '{wrong[0]}' is {weights[wrong[0]]}; weights are numbers of 0 or more"
        )
    total = sum(weights.values())
    if total <= 0:
        raise InputError("all weights are 0; give at least one member a weight above 0")
    return {name: weights[name] / total for name in names}
