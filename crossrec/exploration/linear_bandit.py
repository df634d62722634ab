"""UCB and Thompson sampling on a recommender's last layer."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from crossrec.config import ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.exploration.base import Finish, LearningExplorer, PolicyLists, as_they_are
from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT, InputError, Recommender, Sequences, VectorRecommender


class BanditOptions(ComponentOptions):
    """Options of bandits on the last layer.

    Args:
        slope: prior mean of a click's probability per unit of the recommender's score.
        base_rate: prior mean of a click's probability at a score of 0.
        precision: prior precision of every weight, in observations with unit features.
        kept: share of the observations that is kept when the recommender is retrained.
        position_bias: assumed exponent of examination, place ** -position_bias.
    """

    slope: float = Field(default=0.05, gt=0)
    base_rate: float = Field(default=0.1, ge=0, le=1)
    precision: float = Field(default=10.0, gt=0)
    kept: float = Field(default=0.5, ge=0, le=1)
    position_bias: float = Field(default=0.5, ge=0)


USERS_AT_ONCE = 256


class LastLayer(LearningExplorer):
    """Linear bandit on a recommender's last layer: Bayesian linear regression of clicks, shared by all users.

    The features of user u and item i are 1 and the products q_ud * z_id of the query's and the item vector's
    entries, whose sum is the recommender's score; what a recommender adds to the dot product, such as scores
    of neighbours, is one more feature. The prior mean is ``slope`` for each product, so that
    before any click all ranks are the recommender's. Clicks teach how much each dimension counts; items that
    depend on rarely shown dimensions are uncertain. When the recommender is retrained, its dimensions change
    their meaning: a share of the observations is forgotten.

    A click at place r is divided by the examination probability of that place and weighted by it.

    Source:
        Riquelme, Tucker, Snoek: Deep Bayesian bandits showdown (ICLR 2018), section 3, NeuralLinear. There
        the posterior is computed from all data after each training; here old observations fade, as the
        queries of past lists are not kept.

    Args:
        options: prior, forgetting, examination.
        items: not used.
    """

    def __init__(self, options: BanditOptions, items: ItemTable) -> None:
        self._options = options
        self._recommender: VectorRecommender | None = None
        self._posterior: LinearPosterior | None = None

    def attach(self, recommender: Recommender) -> None:
        """Set the recommender, whose width may not change later.

        Raises:
            InputError: if it has no item vectors and queries.
        """
        if not isinstance(recommender, VectorRecommender):
            raise InputError(
                f"exploration on the last layer needs item vectors and queries, which "
                f"{type(recommender).__name__} has not; use epsilon_greedy, softmax or dpp_sampling there"
            )
        if self._posterior is None:
            width = recommender.item_vectors().shape[1] + _adds(recommender)
            mean = np.concatenate([[self._options.base_rate], np.full(width, self._options.slope)])
            self._posterior = LinearPosterior(mean, self._options.precision)
        else:
            self._posterior.forget(self._options.kept)
        self._recommender = recommender

    @property
    def posterior(self) -> LinearPosterior:
        """Posterior of the weights.

        Raises:
            RuntimeError: if no recommender has been attached.
        """
        if self._posterior is None:
            raise RuntimeError("attach(recommender) comes first")
        return self._posterior

    def features(self, ids_BK: torch.Tensor, histories: Sequences) -> np.ndarray:
        """Return (B, K, 1 + D) float64 features, or one more; arbitrary for absent items."""
        if self._recommender is None:
            raise RuntimeError("attach(recommender) comes first")
        queries_BD = self._recommender.queries(histories)
        vectors_ND = self._recommender.item_vectors()
        width = vectors_ND.shape[1]
        features_BKD = np.ones((*ids_BK.shape, 1 + width + _adds(self._recommender)))
        # Some users at a time, so that no second table of this size is ever held.
        for start in range(0, len(ids_BK), USERS_AT_ONCE):
            rows = slice(start, start + USERS_AT_ONCE)
            vectors_BKD = vectors_ND[ids_BK[rows].clamp(min=0).to(vectors_ND.device)]
            products_BKD = (queries_BD[rows, None] * vectors_BKD).double().cpu().numpy()
            features_BKD[rows, :, 1 : 1 + width] = products_BKD
        if _adds(self._recommender):
            scores_BK = self._recommender.score(histories, np.maximum(ids_BK.cpu().numpy(), 0))
            products_BK = features_BKD[:, :, 1 : 1 + width].sum(2)
            features_BKD[:, :, -1] = scores_BK.double().cpu().numpy() - products_BK
        return features_BKD

    def learn(self, shown: Pool, clicked_BK: np.ndarray) -> None:
        """Update the posterior by the clicks on lists."""
        features_BKD = self.features(shown.ids_BC, shown.histories)
        there_BK = (shown.ids_BC != ABSENT).cpu().numpy()
        places_K = np.arange(1, clicked_BK.shape[1] + 1)
        seen_BK = np.broadcast_to(places_K**-self._options.position_bias, clicked_BK.shape)
        self.posterior.observe(
            features_BKD[there_BK], (clicked_BK / seen_BK)[there_BK], np.asarray(seen_BK[there_BK])
        )


def _adds(recommender: Recommender) -> bool:
    """Return whether the recommender adds scores of neighbours to the dot product."""
    return getattr(recommender, "neighbours", None) is not None


class UCB(LastLayer):
    """LinUCB: highest upper confidence bounds, mean + width * standard deviation. Nothing is random.

    Source:
        Li et al.: A contextual-bandit approach to personalized news article recommendation (WWW 2010),
        LinUCB.

    Args:
        options: prior, forgetting, examination and width.
        items: not used.
    """

    class Options(BanditOptions):
        """LinUCB: upper confidence bounds on the last layer.

        Args:
            width: standard deviations above the mean.
        """

        width: float = Field(default=0.5, ge=0, le=65_536)

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(options, items)
        self._width = options.width

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, rng: CounterRng, finish: Finish | None = None
    ) -> PolicyLists:
        """Return lists by upper bounds, then reranked; see :class:`crossrec.exploration.base.Explorer`."""
        features_BCD = self.features(pool.ids_BC, pool.histories)
        bound_BC = features_BCD @ self.posterior.mean + self._width * self.posterior.deviation(features_BCD)
        return PolicyLists.certain((finish or as_they_are)(_rescored(pool, bound_BC), k))


class ThompsonSampling(LastLayer):
    """Thompson sampling: for each list, the best items by weights drawn from the posterior.

    Probabilities have no closed form; they are estimated from ``samples`` more draws and the shown list,
    so that none is 0: ``(1 + hits) / (1 + samples)``. With ``samples`` 0 they are unknown.

    Source:
        Chapelle, Li: An empirical evaluation of Thompson sampling (NeurIPS 2011), algorithm 2.

    Args:
        options: prior, forgetting, examination, noise and samples.
        items: not used.
    """

    class Options(BanditOptions):
        """Thompson sampling on the last layer.

        Args:
            noise: standard deviation of a click around its probability.
            samples: number of draws that estimate the probabilities of shown items; unknown with 0.
        """

        noise: float = Field(default=0.3, ge=0)
        samples: int = Field(default=0, ge=0)

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(options, items)
        self._noise, self._samples = options.noise, options.samples

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, rng: CounterRng, finish: Finish | None = None
    ) -> PolicyLists:
        """Return lists by random weights, then reranked; see :class:`crossrec.exploration.base.Explorer`."""
        features_BCD = self.features(pool.ids_BC, pool.histories)
        order = finish or as_they_are

        def drawn(number: int) -> Pool:
            index = np.arange(features_BCD.shape[2]) + number * features_BCD.shape[2]
            weights_BD = self.posterior.sample(rng.normal(Stream.POSTERIOR, users_B, index), self._noise)
            return order(_rescored(pool, np.einsum("bcd,bd->bc", features_BCD, weights_BD)), k)

        shown = drawn(0)
        if not self._samples:
            return PolicyLists(shown, None, None, None)
        inclusion_BK, placement_BK = np.ones(shown.ids_BC.shape), np.ones(shown.ids_BC.shape)
        for number in range(1, self._samples + 1):
            other_BK = drawn(number).ids_BC
            placement_BK += (other_BK == shown.ids_BC).cpu().numpy()
            inclusion_BK += (other_BK[:, None, :] == shown.ids_BC[:, :, None]).any(2).cpu().numpy()
        return PolicyLists(
            shown, inclusion_BK / (1 + self._samples), placement_BK / (1 + self._samples), None
        )


def _rescored(pool: Pool, scores_BC: np.ndarray) -> Pool:
    scores = torch.from_numpy(scores_BC).to(pool.scores_BC)
    return pool.reordered(scores, pool.ids_BC.shape[1])


class LinearPosterior:
    """Normal posterior of the weights w of a linear model, y = w . x + noise, with forgetting.

    Observations add x x^T to the precision and x y to the moment. Forgetting draws both towards the prior, as
    if earlier observations counted less.

    Source:
        Bishop: Pattern Recognition and Machine Learning (2006), section 3.3.1; Li et al.: A contextual-bandit
        approach to personalized news article recommendation (WWW 2010), algorithm 1, is the same regression.

    Args:
        mean: (D,) prior mean.
        precision: prior precision of every weight, in units of the noise's.
    """

    def __init__(self, mean: np.ndarray, precision: float) -> None:
        self._prior_precision = precision * np.eye(len(mean))
        self._prior_moment = precision * np.asarray(mean, float)
        self._precision, self._moment = self._prior_precision.copy(), self._prior_moment.copy()

    def observe(self, features_TD: np.ndarray, targets_T: np.ndarray, weights_T: np.ndarray) -> None:
        """Add observations.

        Args:
            features_TD: one row per observation.
            targets_T: observed values.
            weights_T: precision of each observation, in units of the noise's.
        """
        weighted_TD = features_TD * weights_T[:, None]
        self._precision += weighted_TD.T @ features_TD
        self._moment += weighted_TD.T @ targets_T

    def forget(self, kept: float) -> None:
        """Keep only this share of the observations."""
        self._precision = kept * self._precision + (1 - kept) * self._prior_precision
        self._moment = kept * self._moment + (1 - kept) * self._prior_moment

    @property
    def mean(self) -> np.ndarray:
        """(D,) posterior mean."""
        return np.linalg.solve(self._precision, self._moment)

    def deviation(self, features: np.ndarray) -> np.ndarray:
        """Return the (...,) standard deviation of w . x in units of the noise's, for features (..., D)."""
        # |L^-1 x| with L L^T the precision.
        half = np.linalg.inv(np.linalg.cholesky(self._precision))
        return np.linalg.norm(features @ half.T, axis=-1)

    def sample(self, normal_BD: np.ndarray, scale: float) -> np.ndarray:
        """Return (B, D) weights from standard normal numbers; ``scale`` is the noise's standard deviation."""
        half = np.linalg.inv(np.linalg.cholesky(self._precision))
        return self.mean + scale * normal_BD @ half
