"""Encoders that are tuned on training clicks before the sequence model is trained, and frozen then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from crossrec.config import ComponentOptions
from crossrec.encoders.adaptation import AdaptOptions, ItemInputs, adapt, load_tuned
from crossrec.encoders.base import Encoder, Tuning
from crossrec.encoders.cache import Features
from crossrec.model.encoded_catalog import EncodedCatalog, FeatureKey
from crossrec.model.modalities.base import ContentVectors, ModalityInputs
from crossrec.model.modalities.layers import AdaptedFeatures, Modality
from crossrec.types import InputError

Adapt = Annotated[
    AdaptOptions | None,
    Field(
        description="tuning on co-clicks, once, before the sequence model is trained; the vectors are frozen "
        "then. Null for an encoder that is frozen or tuned in the training step"
    ),
]
ENCODER = "encoder."
"""Prefix of the encoder's weights among those of a saved modality."""


def check_adapt(options: AdaptOptions | None, training: Tuning) -> None:
    """Check that there are parameters to tune.

    Raises:
        ValueError: if the encoder is frozen.
    """
    if options is not None and training is Tuning.FROZEN:
        raise ValueError(
            "adapt tunes the encoder before the sequence model is trained, but training: frozen leaves "
            "nothing to tune; set training: lora or training: finetune"
        )


@dataclass(frozen=True)
class AdaptedEncoder:
    """The part of a modality of texts or pictures whose encoder is tuned before the training.

    Args:
        name: name of the modality.
        options: options of the encoder.
        adapt: options of the tuning.
        key: key of the features in an encoded catalogue.
        inputs: function from a catalogue and the encoder to its raw inputs.
        encode: function from a catalogue and the encoder to the features, which are cached on disk.
    """

    name: str
    options: ComponentOptions
    adapt: AdaptOptions
    key: FeatureKey
    inputs: Callable[[EncodedCatalog, Any], ItemInputs]
    encode: Callable[[EncodedCatalog, Any], Features]

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return the features, from the encoder that was saved with a trained network, or from a tuned one.

        Raises:
            InputError: if content is augmented, or there is nothing to tune on.
        """
        augment = None if inputs.variants is None else inputs.variants.augment
        if augment is not None and (augment.text is not None or augment.image is not None):
            raise InputError(
                f"model.modalities.{self.name}.adapt: variants of texts and pictures are not made for an "
                "encoder that is tuned before the training; set augment.text=null and augment.image=null, or "
                "adapt=null"
            )
        content = inputs.content
        weights = {
            name.removeprefix(ENCODER): value
            for name, value in inputs.saved.items()
            if name.startswith(ENCODER)
        }
        encoder = self._loaded(content, weights) if weights else content.tuned(self.key, self._tuned(content))
        features = content.remembered(self.key, lambda: self.encode(content, encoder))
        return AdaptedFeatures(encoder, features.vectors_ND, features.present_N, components=inputs.whiten)

    def features(self, content: EncodedCatalog) -> Features:
        """Return the output of the encoder, which is tuned first if there are no features yet."""
        return content.remembered(
            self.key, lambda: self.encode(content, content.tuned(self.key, self._tuned(content)))
        )

    def encoded(self, content: EncodedCatalog, modality: AdaptedFeatures) -> ContentVectors:
        """Return the output of a trained network's encoder for new items."""
        return ContentVectors.of(content.remembered(self.key, lambda: self.encode(content, modality.encoder)))

    def _tuned(self, content: EncodedCatalog) -> Callable[[], Encoder]:
        def make() -> Encoder:
            encoder = self._built(content)
            if content.train is None:
                raise InputError(
                    f"model.modalities.{self.name}.adapt: the encoder is tuned on training clicks, and there "
                    "are none here: train the model first"
                )
            folder = content.cache_dir / "features" / "tuned"
            found = self.inputs(content, encoder)
            adapt(encoder, self.adapt, found, content.train, folder, name=self.name)
            return encoder

        return make

    def _loaded(self, content: EncodedCatalog, weights: Mapping[str, Tensor]) -> Encoder:
        encoder = self._built(content)
        load_tuned(encoder, weights)
        return encoder

    def _built(self, content: EncodedCatalog) -> Encoder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.adapt.seed)  # of the adapters
            encoder: Encoder = self.options.build(content.cache_dir)
        return encoder
