"""What the deletion check deletes for each method."""

from __future__ import annotations

from functools import partial

import numpy as np

from crossrec.explain.clicks import scores_with_clicks
from crossrec.explain.explainer import Found, Question
from crossrec.explain.explanation import (
    ClickEffects,
    HistoryAttention,
    Method,
    ModalityEffects,
    WordWeights,
)
from crossrec.explain.faithfulness import Deletion
from crossrec.explain.modalities import scores_with_modalities
from crossrec.explain.picture.heat import patch_weights, scores_with_patches
from crossrec.explain.words import scores_with_words


def deletion_of(question: Question, method: Method) -> Deletion:
    """Explains a score by one method, and says how to delete what that names.

    Clicks are taken out of the history, modalities hidden in item and clicks, patches of the picture painted
    over in its mean colour, words taken out of the text.

    Args:
        question: a score.
        method: how to explain it.

    Raises:
        Unavailable: this recommender or item does not have it.
    """
    return deletion_of_found(question, question.answer(method))


def deletion_of_found(question: Question, found: Found) -> Deletion:
    """The same for an explanation that is there already."""
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
