"""Effects of modalities and clicks on a score: leave-one-out and integrated gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.explain.explanation import ClickEffects, ModalityEffects
from crossrec.explain.score import STEPS, Pair, check_question, integrated_gradients
from crossrec.types import InputError, Recommender, Sequences


def modality_leave_one_out(pair: Pair) -> ModalityEffects:
    """Return the drop of the score when a modality is hidden: in the scored item, in all clicks, and in both.

    The fusion's mask hides the modality, as if the items lacked it. An item with no other modality is then
    an item without features. A model that never saw an item without the modality
    (``model.modality_dropout=0`` and a complete catalogue) extrapolates.

    Args:
        pair: history and item.

    Source:
        Occlusion, after Zeiler and Fergus 2014, section 2.1 (of parts of a picture there).
    """
    n_modalities = len(pair.names)
    hidden_V2M = np.zeros((1 + 3 * n_modalities, 2, n_modalities), bool)
    for modality in range(n_modalities):
        row = 1 + 3 * modality
        hidden_V2M[row, 0, modality] = hidden_V2M[row + 1, 1, modality] = True
        hidden_V2M[row + 2, :, modality] = True
    scores_V = _scores(pair, ~hidden_V2M)
    effects_M3 = (scores_V[0] - scores_V[1:]).reshape(n_modalities, 3)
    return ModalityEffects(
        "modality_leave_one_out", pair.names, effects_M3[:, 0], effects_M3[:, 1], effects_M3[:, 2]
    )


def modality_gradients(pair: Pair, mean_MD: Tensor, steps: int = STEPS) -> ModalityEffects:
    """Return integrated gradients over the projected features, summed by modality.

    The baseline is an average item in place of the scored item and of each click. Zeros are not a valid
    baseline: fused and normalised, they have no direction, and a weighted fusion's score does not even change
    along the path from there. Masks stay unchanged, and missing modalities get exactly 0.

    Args:
        pair: history and item.
        mean_MD: mean features, from :func:`crossrec.explain.score.mean_features`.
        steps: number of points of the quadrature.

    Source:
        Sundararajan et al. 2017; on the choice of baselines Sturmfels, Lundberg, Lee: Visualizing the impact
        of feature attribution baselines (Distill 2020).
    """
    baseline_KMD = torch.where(pair.present_KM.unsqueeze(-1), mean_MD, 0)

    def scores(features_BKMD: Tensor) -> Tensor:
        return pair.scores(features_BKMD, pair.present_KM.expand(len(features_BKMD), -1, -1))

    found = integrated_gradients(scores, pair.features_KMD, baseline_KMD, steps)
    by_item_KM = found.values.sum(2).double().cpu().numpy()
    item_M, history_M = by_item_KM[-1], by_item_KM[:-1].sum(0)
    return ModalityEffects(
        "modality_gradients", pair.names, item_M, history_M, item_M + history_M, found.completeness
    )


def scores_with_modalities(pair: Pair, kept_VM: np.ndarray) -> np.ndarray:
    """Return (V,) scores with some modalities hidden in item and clicks.

    Args:
        pair: history and item.
        kept_VM: (V, M) bool.
    """
    return _scores(pair, np.repeat(kept_VM[:, None], 2, axis=1))


@torch.no_grad()
def _scores(pair: Pair, kept_V2M: np.ndarray) -> np.ndarray:
    """Return (V,) float64 scores for concatenated masks of the item's and the clicks' modalities."""
    kept = torch.from_numpy(kept_V2M).to(pair.present_KM.device)
    length = len(pair.clicks_L)
    kept_VKM = torch.cat([kept[:, 1:].expand(-1, length, -1), kept[:, :1]], dim=1)
    features_VKMD = pair.features_KMD.expand(len(kept), -1, -1, -1)
    return pair.scores(features_VKMD, pair.present_KM & kept_VKM).double().cpu().numpy()


def click_leave_one_out(recommender: Recommender, histories: Sequences, item: int) -> ClickEffects:
    """Return the drop of the score when a click is removed; works with any recommender.

    All variants are scored in one call. Two clicks on the same item can substitute for each other, so that
    each alone may seem to matter little.

    Args:
        recommender: any recommender.
        histories: one row of L clicks. For a model that reads only the latest clicks, pass only these: else
            an older click takes the place of the removed one.
        item: catalogue index.

    Raises:
        InputError: if there is not one history, it is empty, or the recommender gives the item no score.

    Source:
        Counterfactual removal of a user's actions: Tran, Ghazimatin, Saha Roy: Counterfactual
        explanations for neural recommenders (SIGIR 2021), who search for a minimal set; here one at a time.
    """
    check_question(recommender.n_items, histories, item)
    length = int(histories.lengths[0])
    kept_VL = np.concatenate([np.ones((1, length), bool), ~np.eye(length, dtype=bool)])
    scores_V = scores_with_clicks(recommender, histories, item, kept_VL)
    if not np.isfinite(scores_V).all():
        raise InputError(
            f"the recommender gives item {item} no finite score, with all clicks or without one of them: "
            "it has no features of the item, or must not recommend it"
        )
    return ClickEffects("click_leave_one_out", scores_V[0] - scores_V[1:])


def click_gradients(pair: Pair, mean_D: Tensor, steps: int = STEPS) -> ClickEffects:
    """Return integrated gradients over the clicks' item vectors, summed by click.

    Args:
        pair: history and item.
        mean_D: baseline of each click, the catalogue's mean item vector.
        steps: number of points of the quadrature.

    Source:
        Sundararajan et al. 2017.
    """
    clicks_LD = pair.vectors_KD[:-1]
    found = integrated_gradients(pair.scores_of_clicks, clicks_LD, mean_D.expand_as(clicks_LD), steps)
    return ClickEffects("click_gradients", found.values.sum(1).double().cpu().numpy(), found.completeness)


def scores_with_clicks(
    recommender: Recommender, histories: Sequences, item: int, kept_VL: np.ndarray
) -> np.ndarray:
    """Return (V,) float64 scores of an item after parts of a history.

    Args:
        recommender: any recommender.
        histories: one row of L clicks.
        item: catalogue index.
        kept_VL: (V, L) bool, which clicks each variant keeps.
    """
    clicks = histories.take(np.zeros(len(kept_VL), np.int64))
    offsets = np.concatenate([[0], np.cumsum(kept_VL.sum(1))]).astype(np.int64)
    variants = clicks.at(kept_VL.ravel(), offsets)
    scores_V1 = recommender.score(variants, np.full((len(kept_VL), 1), item))
    return scores_V1[:, 0].double().cpu().numpy()
