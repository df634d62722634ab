"""UCB and Thompson sampling on a recommender's last layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from crossrec.exploration.base import Finish, Shown, VectorRecommender, as_they_are
from crossrec.exploration.draws import Draws, Stream
from crossrec.exploration.posterior import LinearPosterior
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT, InputError, Recommender, Sequences

if TYPE_CHECKING:
    from crossrec.exploration.config import BanditOptions, ThompsonConfig, UCBConfig

USERS_AT_ONCE = 256


class LastLayer:
    """A click predicted linearly from a recommender's last layer, by one posterior that all users share.

    The features of user u and item i are 1 and the products q_ud * z_id of the query's and the item vector's
    entries, whose sum is the recommender's score. The prior mean is ``slope`` for each product, so that
    before any click everything ranks as the recommender does; what is learned is how far each dimension is to
    be trusted, and what is uncertain are items that lean on dimensions seldom shown. When the recommender is
    retrained, its dimensions change their meaning: a share of what was learned is forgotten.

    A click at place r is divided by the examination of that place and counts by it.

    Source:
        Riquelme, Tucker, Snoek: Deep Bayesian bandits showdown (ICLR 2018), section 3, NeuralLinear. There
        the posterior is computed anew from all data after each training; here old observations fade, for the
        queries of past lists are not kept.

    Args:
        options: prior, forgetting, examination.
    """

    def __init__(self, options: BanditOptions) -> None:
        self._options = options
        self._recommender: VectorRecommender | None = None
        self._posterior: LinearPosterior | None = None

    def attach(self, recommender: Recommender) -> None:
        """Takes a recommender, whose width may not change later.

        Raises:
            InputError: it has no item vectors and queries.
        """
        if not isinstance(recommender, VectorRecommender):
            raise InputError(
                f"exploration on the last layer needs item vectors and queries, which "
                f"{type(recommender).__name__} has not; use epsilon_greedy, softmax or dpp_sampling there"
            )
        if self._posterior is None:
            width = recommender.item_vectors().shape[1]
            mean = np.concatenate([[self._options.base_rate], np.full(width, self._options.slope)])
            self._posterior = LinearPosterior(mean, self._options.precision)
        else:
            self._posterior.forget(self._options.kept)
        self._recommender = recommender

    @property
    def posterior(self) -> LinearPosterior:
        """What is believed of the weights.

        Raises:
            RuntimeError: no recommender has been attached.
        """
        if self._posterior is None:
            raise RuntimeError("attach(recommender) comes first")
        return self._posterior

    def features(self, ids_BK: torch.Tensor, histories: Sequences) -> np.ndarray:
        """(B, K, 1 + D) float64; for absent items those of some other one."""
        if self._recommender is None:
            raise RuntimeError("attach(recommender) comes first")
        queries_BD = self._recommender.queries(histories)
        vectors_ND = self._recommender.item_vectors()
        features_BKD = np.ones((*ids_BK.shape, 1 + vectors_ND.shape[1]))
        # Some users at a time, so that no second table of this size is ever held.
        for start in range(0, len(ids_BK), USERS_AT_ONCE):
            rows = slice(start, start + USERS_AT_ONCE)
            vectors_BKD = vectors_ND[ids_BK[rows].clamp(min=0).to(vectors_ND.device)]
            features_BKD[rows, :, 1:] = (queries_BD[rows, None] * vectors_BKD).double().cpu().numpy()
        return features_BKD

    def learn(self, shown: Pool, clicked_BK: np.ndarray) -> None:
        """Takes answered lists into the posterior."""
        features_BKD = self.features(shown.ids_BC, shown.histories)
        there_BK = (shown.ids_BC != ABSENT).cpu().numpy()
        places_K = np.arange(1, clicked_BK.shape[1] + 1)
        seen_BK = np.broadcast_to(places_K**-self._options.position_bias, clicked_BK.shape)
        self.posterior.observe(
            features_BKD[there_BK], (clicked_BK / seen_BK)[there_BK], np.asarray(seen_BK[there_BK])
        )


class UCB(LastLayer):
    """The highest upper confidence bounds: mean + width * standard deviation. Nothing is drawn.

    Source:
        Li et al.: A contextual-bandit approach to personalized news article recommendation (WWW 2010),
        LinUCB.

    Args:
        config: of the bandit.
    """

    def __init__(self, config: UCBConfig) -> None:
        super().__init__(config)
        self._width = config.width

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, draws: Draws, finish: Finish | None = None
    ) -> Shown:
        """Lists by upper bounds, then reranked; see :class:`crossrec.exploration.base.Explorer`."""
        features_BCD = self.features(pool.ids_BC, pool.histories)
        bound_BC = features_BCD @ self.posterior.mean + self._width * self.posterior.deviation(features_BCD)
        return Shown.certain((finish or as_they_are)(_rescored(pool, bound_BC), k))


class ThompsonSampling(LastLayer):
    """For each list the weights are drawn from the posterior, and the best by these weights are shown.

    Chances have no closed form; they are estimated from ``samples`` more draws, the list shown included, so
    that none is 0: ``(1 + hits) / (1 + samples)``. With ``samples`` 0 they are not known.

    Source:
        Chapelle, Li: An empirical evaluation of Thompson sampling (NeurIPS 2011), algorithm 2.

    Args:
        config: of the bandit.
    """

    def __init__(self, config: ThompsonConfig) -> None:
        super().__init__(config)
        self._noise, self._samples = config.noise, config.samples

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, draws: Draws, finish: Finish | None = None
    ) -> Shown:
        """Lists by drawn weights, then reranked; see :class:`crossrec.exploration.base.Explorer`."""
        features_BCD = self.features(pool.ids_BC, pool.histories)
        order = finish or as_they_are

        def drawn(number: int) -> Pool:
            index = np.arange(features_BCD.shape[2]) + number * features_BCD.shape[2]
            weights_BD = self.posterior.sample(draws.normal(Stream.POSTERIOR, users_B, index), self._noise)
            return order(_rescored(pool, np.einsum("bcd,bd->bc", features_BCD, weights_BD)), k)

        shown = drawn(0)
        if not self._samples:
            return Shown(shown, None, None, None)
        inclusion_BK, placement_BK = np.ones(shown.ids_BC.shape), np.ones(shown.ids_BC.shape)
        for number in range(1, self._samples + 1):
            other_BK = drawn(number).ids_BC
            placement_BK += (other_BK == shown.ids_BC).cpu().numpy()
            inclusion_BK += (other_BK[:, None, :] == shown.ids_BC[:, :, None]).any(2).cpu().numpy()
        return Shown(shown, inclusion_BK / (1 + self._samples), placement_BK / (1 + self._samples), None)


def _rescored(pool: Pool, scores_BC: np.ndarray) -> Pool:
    scores = torch.from_numpy(scores_BC).to(pool.scores_BC)
    return pool.reordered(scores, pool.ids_BC.shape[1])
