"""Intermediate values of a score for explanations, integrated gradients, copies that share weights."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.explain.explanation import Completeness, Unavailable
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.base import History
from crossrec.types import InputError, Sequences

MEAN_ITEMS = 256
"""Number of items in the mean features: a trained encoder has to read them all."""


@dataclass(frozen=True)
class Pair:
    """A history and an item as network input: K = L + 1 items, the clicks followed by the scored item.

    Args:
        network: network in evaluation mode.
        clicks_L: catalogue indices of the clicks that the network reads, oldest first.
        item: catalogue index of the scored item.
        times_1L: times of the clicks, seconds; None if the network does not read them.
        features_KMD: projected features of each modality, before fusion; 0 where missing.
        present_KM: bool, available modalities of each item.
    """

    network: SequentialNetwork
    clicks_L: np.ndarray
    item: int
    times_1L: Tensor | None
    features_KMD: Tensor
    present_KM: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, recommender: NeuralRecommender, histories: Sequences, item: int) -> Pair:
        """Look up the network's features of the clicks and the item.

        Args:
            recommender: a trained network.
            histories: one row.
            item: catalogue index.

        Raises:
            InputError: if there is not one history, it is empty, or the item is not in the catalogue.
        """
        check_question(recommender.n_items, histories, item)
        network = recommender.network.eval()
        recent = histories.tail(network.history_length)
        rows_K = torch.from_numpy(np.append(recent.items, item).astype(np.int64)).to(recommender.device)
        features_KMD, present_KM = network.items.projected(rows_K)
        if recommender.shown is not None:
            shown_M = [name in recommender.shown for name in network.items.modalities]
            present_KM = present_KM & torch.tensor(shown_M, device=present_KM.device)
        times_1L = None
        if network.sequence.reads_times and recent.times is not None:
            times_1L = torch.from_numpy(np.asarray(recent.times, np.int64))[None].to(recommender.device)
        clean_KMD = torch.where(present_KM.unsqueeze(-1), features_KMD, 0)
        return cls(network, np.asarray(recent.items, np.int64), item, times_1L, clean_KMD, present_KM)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the M modalities."""
        return tuple(self.network.items.modalities)

    @cached_property
    def vectors_KD(self) -> Tensor:
        """(K, D) item vectors as they are compared."""
        with torch.no_grad():
            return self.item_vectors(self.features_KMD, self.present_KM)

    @cached_property
    def query_D(self) -> Tensor:
        """(D,) query of the history: its dot product with an item vector is the score."""
        with torch.no_grad():
            return self.network(self.history(self.vectors_KD[None, :-1]))[0].float()

    @cached_property
    def score(self) -> float:
        """Score of the item after the history."""
        return float(self.query_D @ self.vectors_KD[-1])

    def item_vectors(self, features_KMD: Tensor, mask_KM: Tensor) -> Tensor:
        """Return (K, D) vectors as they are compared, of items with these features."""
        vectors_KD = self.network.items.fusion(features_KMD, mask_KM).float()
        return F.normalize(vectors_KD, dim=-1) if self.network.normalise else vectors_KD

    def history(self, vectors_BLD: Tensor) -> History:
        """Replace the clicks' vectors in B variants of the history."""
        batch, length, _ = vectors_BLD.shape
        lengths_B = torch.full((batch,), length, device=vectors_BLD.device)
        times_BL = None if self.times_1L is None else self.times_1L.expand(batch, -1)
        return History(vectors_BLD, lengths_B, times_BL)

    def scores(self, features_BKMD: Tensor, mask_BKM: Tensor) -> Tensor:
        """Return (B,) scores with other features of clicks and item."""
        batch, count = mask_BKM.shape[:2]
        vectors_BKD = self.item_vectors(features_BKMD.flatten(0, 1), mask_BKM.flatten(0, 1)).view(
            batch, count, -1
        )
        queries_BD = self.network(self.history(vectors_BKD[:, :-1])).float()
        return (queries_BD * vectors_BKD[:, -1]).sum(1)

    def scores_of_clicks(self, vectors_BLD: Tensor) -> Tensor:
        """Return (B,) scores with other vectors of the clicks."""
        return self.network(self.history(vectors_BLD)).float() @ self.vectors_KD[-1]

    def scores_of_item(self, features_BMD: Tensor) -> Tensor:
        """Return (B,) scores with other features of the scored item; the history stays as it is."""
        mask_BM = self.present_KM[-1].expand(len(features_BMD), -1)
        return self.item_vectors(features_BMD, mask_BM) @ self.query_D


def check_question(n_items: int, histories: Sequences, item: int) -> None:
    """Check that a score can be explained.

    Args:
        n_items: N.
        histories: must be one row with clicks.
        item: must be a catalogue index.

    Raises:
        InputError: if it can't be explained.
    """
    if len(histories) != 1:
        raise InputError(f"an explanation needs one history, and {len(histories)} were given")
    if not histories.lengths[0]:
        raise InputError("the history is empty: an explanation needs clicks")
    if not 0 <= item < n_items:
        raise InputError(f"item {item} is not in the catalogue, whose rows go from 0 to {n_items - 1}")


@torch.no_grad()
def mean_features(network: SequentialNetwork) -> Tensor:
    """Return the average item: (M, D) mean projected feature of each modality over items that have it.

    Of a large catalogue, ``MEAN_ITEMS`` equally spaced rows are read.
    """
    network.eval()
    count = min(network.n_items, MEAN_ITEMS)
    device = next(network.parameters()).device
    rows_K = torch.linspace(0, network.n_items - 1, count, dtype=torch.float64).round().long().to(device)
    features_KMD, present_KM = network.items.projected(rows_K)
    clean_KMD = torch.where(present_KM.unsqueeze(-1), features_KMD, 0)
    return clean_KMD.sum(0) / present_KM.sum(0).clamp(min=1).unsqueeze(-1)


STEPS = 64
BATCH = 32
"""Number of points of the path computed at once."""


@dataclass(frozen=True)
class Attribution:
    """Integrated gradients of one input.

    Args:
        values: values of the input's shape, in units of the score.
        completeness: sum of the values and its error.
    """

    values: Tensor
    completeness: Completeness


def integrated_gradients(
    scores: Callable[[Tensor], Tensor], given: Tensor, baseline: Tensor, steps: int = STEPS
) -> Attribution:
    """Return integrated gradients: contributions of an input's entries to a score, relative to a baseline.

    They are (x_i - x'_i) times the integral over a from 0 to 1 of dF / dx_i at x' + a (x - x'), by
    Gauss-Legendre quadrature. Their sum is F(x) - F(x') (completeness); its error is reported.

    Args:
        scores: function F from (B, ...) inputs to (B,) scores.
        given: x.
        baseline: x', of the same shape.
        steps: points of the quadrature.

    Raises:
        Unavailable: if captum is not installed.

    Source:
        Sundararajan, Taly, Yan: Axiomatic attribution for deep networks (ICML 2017), equation 1; computed
        by captum (Kokhlikyan et al. 2020).
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise Unavailable("integrated gradients need captum: pip install 'crossrec[explain]'") from error
    with torch.enable_grad(), warnings.catch_warnings():
        # captum uses a call of autograd that newer PyTorch deprecates.
        warnings.filterwarnings("ignore", category=UserWarning, module="captum")
        values, _ = IntegratedGradients(scores).attribute(
            given.detach()[None].float(),
            baselines=baseline.detach()[None].float(),
            n_steps=steps,
            internal_batch_size=BATCH,
            return_convergence_delta=True,
        )
    with torch.no_grad():
        ends_2 = scores(torch.stack([given, baseline]).float()).double()
    difference = float(ends_2[0] - ends_2[1])
    return Attribution(values[0], Completeness(difference, float(values.double().sum()) - difference))


AnyModule = TypeVar("AnyModule", bound=nn.Module)


def sharing_copy(module: AnyModule, *also: object) -> AnyModule:
    """Return a copy whose parameters and buffers are those of the original, not copies of them.

    Args:
        module: module with the weights.
        also: other objects referenced by the module that are shared with the copy.
    """
    shared = [*module.parameters(), *module.buffers(), *also]
    return copy.deepcopy(module, {id(thing): thing for thing in shared})
