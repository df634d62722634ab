"""What each click of a history adds to a score: leaving it out, and integrated gradients."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from crossrec.explain.explanation import ClickEffects
from crossrec.explain.gradients import STEPS, integrated_gradients
from crossrec.explain.score import Pair, check_question
from crossrec.types import InputError, Recommender, Sequences


def click_leave_one_out(recommender: Recommender, histories: Sequences, item: int) -> ClickEffects:
    """How much the score falls when a click never happened; works with any recommender.

    All variants are scored in one call. Two clicks on the same item stand in for each other, and each alone
    may then seem to matter little.

    Args:
        recommender: anything that scores.
        histories: one row of L clicks. Of a model that reads only the latest clicks, give these: else an
            older click moves up into the place of the one that is left out.
        item: catalogue index.

    Raises:
        InputError: there is not one history, it is empty, or the recommender gives the item no score.

    Source:
        Removing a user's actions to see what they caused: Tran, Ghazimatin, Saha Roy: Counterfactual
        explanations for neural recommenders (SIGIR 2021), who look for the fewest; here one at a time.
    """
    check_question(recommender.n_items, histories, item)
    length = int(histories.lengths[0])
    kept_VL = np.concatenate([np.ones((1, length), bool), ~np.eye(length, dtype=bool)])
    scores_V = scores_with_clicks(recommender, histories, item, kept_VL)
    if not np.isfinite(scores_V).all():
        raise InputError(
            f"the recommender gives item {item} no finite score, with all clicks or without one of them: "
            "it knows nothing of the item, or must not recommend it"
        )
    return ClickEffects("click_leave_one_out", scores_V[0] - scores_V[1:])


def click_gradients(pair: Pair, mean_D: Tensor, steps: int = STEPS) -> ClickEffects:
    """Integrated gradients over the clicks' item vectors, summed by click.

    Args:
        pair: history and item.
        mean_D: baseline of each click, the catalogue's mean item vector.
        steps: points of the quadrature.

    Source:
        Sundararajan et al. 2017.
    """
    clicks_LD = pair.vectors_KD[:-1]
    found = integrated_gradients(pair.scores_of_clicks, clicks_LD, mean_D.expand_as(clicks_LD), steps)
    return ClickEffects("click_gradients", found.values.sum(1).double().cpu().numpy(), found.completeness)


def scores_with_clicks(
    recommender: Recommender, histories: Sequences, item: int, kept_VL: np.ndarray
) -> np.ndarray:
    """(V,) float64 scores of an item after parts of a history.

    Args:
        recommender: anything that scores.
        histories: one row of L clicks.
        item: catalogue index.
        kept_VL: (V, L) bool, which clicks each variant keeps.
    """
    clicks = histories.take(np.zeros(len(kept_VL), np.int64))
    offsets = np.concatenate([[0], np.cumsum(kept_VL.sum(1))]).astype(np.int64)
    times_T = None if clicks.times is None else clicks.times[kept_VL.ravel()]
    variants = Sequences(offsets, clicks.items[kept_VL.ravel()], times_T)
    scores_V1 = recommender.score(variants, np.full((len(kept_VL), 1), item))
    return scores_V1[:, 0].double().cpu().numpy()
