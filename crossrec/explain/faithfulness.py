"""Deletion check of explanations: delete the parts that an explanation names, and as many random parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from crossrec.evaluation.bootstrap import Estimate, estimate_difference, estimate_means
from crossrec.evaluation.significance import SIGNIFICANT, p_values
from crossrec.explain.effects import scores_with_clicks, scores_with_modalities
from crossrec.explain.explainer import Found, Question
from crossrec.explain.explanation import (
    ClickEffects,
    HistoryAttention,
    Method,
    ModalityEffects,
    WordWeights,
)
from crossrec.explain.picture import patch_weights, scores_with_patches
from crossrec.explain.words import scores_with_words

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of the parts deleted at each step; at least one part at each step."""


@dataclass(frozen=True)
class Deletion:
    """A score, the explanation's weights of its parts, and a way to delete them.

    Args:
        weights_P: (P,) the explanation's weight of each part; the highest is deleted first.
        scores: function from (V, P) bool, the parts that are kept, to (V,) scores.
        signed: whether a high weight claims to raise the score, so that its drop counts; else any change
            counts, as for attention, which has no sign.
    """

    weights_P: np.ndarray
    scores: Callable[[np.ndarray], np.ndarray]
    signed: bool = True


@dataclass(frozen=True)
class Curves:
    """Drop (or change) of a score as parts are deleted.

    Args:
        explained_S: (S,) in the explanation's order, one value per step of ``SHARES``.
        random_RS: (R, S) in random orders.
    """

    explained_S: np.ndarray
    random_RS: np.ndarray

    @property
    def aopc(self) -> float:
        """Area over the perturbation curve of the explanation: mean drop over all steps.

        Source:
            Samek et al.: Evaluating the visualization of what a deep neural network has learned (TNNLS
            2017), section III, without its first step, which deletes nothing.
        """
        return float(self.explained_S.mean())

    @property
    def random_aopc(self) -> float:
        """Mean AOPC of the random orders."""
        return float(self.random_RS.mean())


@dataclass(frozen=True)
class Faithfulness:
    """Result of the deletion check over P pairs of user and item.

    Args:
        n_pairs: P.
        curve_S: (S,) mean curve of the explanation.
        random_curve_S: (S,) mean curve of random orders.
        aopc: area over the perturbation curve (AOPC) of the explanation.
        random_aopc: AOPC of random orders.
        difference: paired difference of the two.
        p: p-value of Fisher's randomisation test of a zero difference.
    """

    n_pairs: int
    curve_S: np.ndarray
    random_curve_S: np.ndarray
    aopc: Estimate
    random_aopc: Estimate
    difference: Estimate
    p: float

    @property
    def passes(self) -> bool:
        """Whether deleting the named parts changes the score more than random deletion, at 5 %."""
        return self.difference["ci95"][0] > 0 and self.p < SIGNIFICANT


def deletion_curves(deletion: Deletion, n_random: int, seed: int) -> Curves:
    """Delete parts in the explanation's order and in random orders; all variants are scored in one call.

    Args:
        deletion: score, weights and way of deleting.
        n_random: R, number of random orders.
        seed: seed of the orders.

    Source:
        Samek et al. 2017, section III.
    """
    n_parts = len(deletion.weights_P)
    rng = np.random.default_rng(seed)
    orders = [np.argsort(-deletion.weights_P, kind="stable")]
    orders += [rng.permutation(n_parts) for _ in range(n_random)]
    counts_S = np.maximum(1, np.round(np.asarray(SHARES) * n_parts).astype(int))
    ranks_OP = np.argsort(np.stack(orders), axis=1)
    kept_OSP = ranks_OP[:, None, :] >= counts_S[None, :, None]
    kept_VP = np.concatenate([np.ones((1, n_parts), bool), kept_OSP.reshape(-1, n_parts)])
    scores_V = deletion.scores(kept_VP)
    falls_OS = (scores_V[0] - scores_V[1:]).reshape(len(orders), len(counts_S))
    if not deletion.signed:
        falls_OS = np.abs(falls_OS)
    return Curves(falls_OS[0], falls_OS[1:])


def faithfulness(
    deletions: Iterable[Deletion],
    *,
    n_random: int = 10,
    n_resamples: int = 2000,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> Faithfulness:
    """Run the deletion check over many pairs of user and item, one per user.

    The statistic is the difference of the areas over the perturbation curves, the explanation's minus the
    mean of the random orders', paired within each pair, with Student's interval over pairs. Deletion makes
    inputs that the model never saw, so passing is no proof; but an explanation that is no better than random
    is refuted.

    Args:
        deletions: one deletion per pair; those of fewer than two parts are skipped.
        n_random: number of random orders per pair.
        n_resamples: number of resamples of the bootstrap.
        n_permutations: number of permutations of the randomisation test.
        seed: seed of orders, bootstrap and test.

    Source:
        Samek et al. 2017; Hooker et al. 2019 (NeurIPS) on the effect of unseen inputs on such checks.
    """
    usable = (deletion for deletion in deletions if len(deletion.weights_P) > 1)
    curves = [deletion_curves(deletion, n_random, seed + row) for row, deletion in enumerate(usable)]
    own_P = np.asarray([curve.aopc for curve in curves])
    random_P = np.asarray([curve.random_aopc for curve in curves])
    found = estimate_means({"aopc": own_P, "random": random_P}, n_resamples, seed)
    p_1 = p_values("randomisation", (own_P - random_P)[:, None], n_permutations, seed)
    empty = np.full((1, len(SHARES)), np.nan)
    return Faithfulness(
        n_pairs=len(curves),
        curve_S=np.mean([c.explained_S for c in curves] or empty, axis=0),
        random_curve_S=np.mean([c.random_RS.mean(0) for c in curves] or empty, axis=0),
        aopc=found["aopc"],
        random_aopc=found["random"],
        difference=estimate_difference(own_P - random_P),
        p=float(p_1[0]),
    )


def deletion_of(question: Question, method: Method) -> Deletion:
    """Explain a score by one method, and return how to delete the parts that it names.

    Clicks are removed from the history, modalities hidden in item and clicks, patches of the picture
    replaced by its mean colour, words removed from the text.

    Args:
        question: score to explain.
        method: explanation method.

    Raises:
        Unavailable: if this recommender or item does not support it.
    """
    return deletion_of_found(question, question.answer(method))


def deletion_of_found(question: Question, found: Found) -> Deletion:
    """Return the same for an existing explanation."""
    if isinstance(found, ModalityEffects):
        # A modality that neither item nor clicks have has nothing to delete.
        there_M = question.pair.present_KM.any(0).cpu().numpy()
        return Deletion(found.both_M[there_M], partial(_modalities, question, there_M))
    if isinstance(found, ClickEffects | HistoryAttention):
        delete = partial(
            scores_with_clicks, question.explainer.recommender, question.histories, question.item
        )
        if isinstance(found, ClickEffects):
            return Deletion(found.values_L, delete)
        return Deletion(found.rollout_L, delete, signed=False)
    if isinstance(found, WordWeights):
        weights_W = np.asarray([word.weight for word in found.words])
        return Deletion(weights_W, partial(scores_with_words, question.read_text, found.words))
    return Deletion(patch_weights(found), partial(scores_with_patches, question.shown))


def _modalities(question: Question, there_M: np.ndarray, kept_VP: np.ndarray) -> np.ndarray:
    kept_VM = np.ones((len(kept_VP), len(there_M)), bool)
    kept_VM[:, there_M] = kept_VP
    return scores_with_modalities(question.pair, kept_VM)
