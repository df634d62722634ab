"""What encoders made of a catalogue, as one file of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossrec.encoders.cache import Features
from crossrec.model.growth import IMAGE, TEXT, content_features, encoder_config
from crossrec.model.modalities import FrozenFeatures, TrainableEncoder

if TYPE_CHECKING:
    from crossrec.encoders.image import ImageEncoder
    from crossrec.encoders.text import TextEncoder
    from crossrec.experiment.config import ExperimentConfig
    from crossrec.model.encoded_catalog import EncodedCatalog
    from crossrec.model.growth import ContentEncoders
    from crossrec.serving.items import ServedItems
    from crossrec.serving.model import ServedModel

COUNTS = "train_counts"
MODEL, SPACE = "model", "space"


def gather(model: ServedModel, items: ServedItems) -> dict[str, np.ndarray]:
    """Tensors of all items: training clicks, what the model reads, and what items are compared by.

    Args:
        model: the network in use.
        items: what is known of the items.
    """
    tensors = {COUNTS: np.asarray(items.train_counts, dtype=np.int64)}
    for name, modality in model.recommender.network.items.modalities.items():
        if isinstance(modality, TrainableEncoder):
            vectors = modality.get_buffer("remembered").cpu().numpy()
            found = Features(vectors, modality.present.cpu().numpy(), [])
        elif isinstance(modality, FrozenFeatures):
            found = _joined(name, model.config, model.contents)
        else:
            continue
        _put(tensors, f"{MODEL}.{name}", found)
    for name in items.spaces.single:
        if not _model_reads(name, encoder_config(name, items.spaces.config), model):
            _put(tensors, f"{SPACE}.{name}", _joined(name, items.spaces.config, model.contents))
    return tensors


def hand_out(
    tensors: Mapping[str, np.ndarray], config: ExperimentConfig, content: EncodedCatalog, rows: slice
) -> None:
    """Tells a content what encoders made of its items.

    Args:
        tensors: from :func:`gather`.
        config: of the experiment.
        content: of some items.
        rows: which of all items these are.
    """
    for name, own, of_space in (
        (TEXT, config.model.text, config.spaces.text),
        (IMAGE, config.model.image, config.spaces.image),
    ):
        # The space last: where only it has features of its own, an equal configuration means them.
        for part, encoder in ((MODEL, own), (SPACE, of_space)):
            if encoder is not None and f"{part}.{name}.vectors" in tensors:
                content.set_features(encoder, take(tensors, f"{part}.{name}", rows))
    if f"{MODEL}.{IMAGE}.present" in tensors:
        content.set_readable(tensors[f"{MODEL}.{IMAGE}.present"][rows])


def take(tensors: Mapping[str, np.ndarray], key: str, rows: slice) -> Features:
    """What stands under a key for some items."""
    return Features(tensors[f"{key}.vectors"][rows], tensors[f"{key}.present"][rows], [])


def write(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the tensors."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads them again."""
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(path)
    return found


def _put(tensors: dict[str, np.ndarray], key: str, features: Features) -> None:
    tensors[f"{key}.vectors"], tensors[f"{key}.present"] = features.vectors_ND, features.present_N


def _joined(name: str, config: ContentEncoders, contents: list[EncodedCatalog]) -> Features:
    parts = [content_features(name, config, content) for content in contents]
    return Features(
        np.concatenate([part.vectors_ND for part in parts]),
        np.concatenate([part.present_N for part in parts]),
        [],
    )


def _model_reads(name: str, config: TextEncoder.Options | ImageEncoder.Options, model: ServedModel) -> bool:
    """Whether the model reads the very features that a space's encoder gives."""
    modalities = dict(model.recommender.network.items.modalities.items())
    return isinstance(modalities.get(name), FrozenFeatures) and encoder_config(name, model.config) == config
