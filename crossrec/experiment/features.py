"""What the model's frozen encoders make of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossrec.encoders.base import Tuning

if TYPE_CHECKING:
    from crossrec.encoders.cache import Features
    from crossrec.experiment.assembly import Setting


def frozen_features(setting: Setting) -> dict[str, Features]:
    """Space -> features of the model's frozen encoders."""
    model, found = setting.config.model, {}
    if model.text is not None and model.text.training is Tuning.FROZEN:
        found["text"] = setting.content.text_features(model.text)
    if model.image is not None and model.image.training is Tuning.FROZEN:
        found["image"] = setting.content.image_features(model.image)
    return {space: features for space, features in found.items() if features.present_N.any()}


def content_vectors(setting: Setting) -> np.ndarray | None:
    """(N, W) frozen features side by side, each of unit length about their mean in training."""
    trained_N = setting.data.split.train_counts > 0
    parts = []
    for features in frozen_features(setting).values():
        present, vectors = features.present_N, np.asarray(features.vectors_ND, np.float32)
        known = present & trained_N
        centred = np.where(present[:, None], vectors - vectors[known].mean(0), 0) if known.any() else vectors
        parts.append(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))
    return np.concatenate(parts, axis=1) if parts else None
