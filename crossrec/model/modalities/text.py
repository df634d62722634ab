"""Texts of one column, read by a text encoder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Self, cast

import numpy as np
from pydantic import Field, model_validator

from crossrec.data.catalog import Catalog
from crossrec.encoders.adaptation import ItemInputs
from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import Features
from crossrec.encoders.text import TextEncoder
from crossrec.model.encoded_catalog import TEXT_COLUMN, EncodedCatalog, FeatureKey, feature_key
from crossrec.model.modalities.adapted import Adapt, AdaptedEncoder, check_adapt
from crossrec.model.modalities.base import ContentVectors, ItemModality, ModalityInputs
from crossrec.model.modalities.layers import AdaptedFeatures, FrozenFeatures, Modality, TrainableEncoder
from crossrec.model.variants import text_with_variants


class Text(ItemModality):
    """A text per item: any string column of the item table, read by a text encoder."""

    class Options(TextEncoder.Options):
        """A text per item, read by any encoder of ``transformers``."""

        positional = ("weights",)

        column: str = Field(TEXT_COLUMN, min_length=1, description="column of the item table with the texts")
        adapt: Adapt = None

        @model_validator(mode="after")
        def _can_adapt(self) -> Self:
            check_adapt(self.adapt, self.training)
            return self

        def encoder_options(self) -> TextEncoder.Options:
            """Return the options of the encoder alone."""
            return TextEncoder.Options(
                **{key: getattr(self, key) for key in TextEncoder.Options.model_fields}
            )

    options: Options

    def __init__(self, options: Options, name: str) -> None:
        super().__init__(options, name)
        self.encoder, self.column = options.encoder_options(), options.column
        self.adapted: AdaptedEncoder | None = None
        if options.adapt is not None:
            self.adapted = AdaptedEncoder(
                name, self.encoder, options.adapt, self._key, self._inputs, self._encoded
            )

    def check(self, cache_dir: Path) -> None:
        """Check weights and length of the encoder."""
        self.encoder.check(cache_dir)

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Check that the column exists and holds texts."""
        content.has_text(self.column)

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return frozen or adapted features, with variants in training, or a trainable encoder."""
        content, variants = inputs.content, inputs.variants
        if self.adapted is not None:
            return self.adapted.network(inputs)
        if variants is not None and variants.augment.text is not None:
            return text_with_variants(
                content,
                self.encoder,
                inputs.whiten,
                variants,
                variants.augment.text,
                self.name,
                self.column,
            )
        if self.encoder.training is Tuning.FROZEN:
            features = content.text_features(self.encoder, self.column)
            return FrozenFeatures(features.vectors_ND, features.present_N, components=inputs.whiten)
        encoder: TextEncoder = self.encoder.build(content.cache_dir)
        return TrainableEncoder(
            encoder,
            lambda rows: content.tokens(encoder, rows, self.column),
            content.has_text(self.column),
            encoder.width,
        )

    def features(self, content: EncodedCatalog) -> Features | None:
        """Return the encoder's output; None for an encoder in the training step."""
        if self.adapted is not None:
            return self.adapted.features(content)
        if self.encoder.training is not Tuning.FROZEN:
            return None
        return content.text_features(self.encoder, self.column)

    def set_features(self, content: EncodedCatalog, features: Features) -> None:
        """Set the encoder's output."""
        content.set_features(self._key, features)

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Encode the texts of new items."""
        if self.adapted is not None and isinstance(modality, AdaptedFeatures):
            return self.adapted.encoded(content, modality)
        if not isinstance(modality, TrainableEncoder):
            return super().encode(content, modality)
        encoder = cast("TextEncoder", modality.encoder)
        present_K = content.has_text(self.column)
        vectors_KW = modality.encode(present_K, lambda rows: content.tokens(encoder, rows, self.column))
        return ContentVectors(np.asarray(present_K), vectors_KW)

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the column of the texts."""
        return (self.column,)

    @property
    def _key(self) -> FeatureKey:
        options = self.encoder if self.options.adapt is None else self.options
        return feature_key(options, self.column)

    def _inputs(self, content: EncodedCatalog, encoder: TextEncoder) -> ItemInputs:
        return ItemInputs(
            content.catalog.item_ids,
            content.text_keys(self.column),
            content.has_text(self.column),
            lambda rows: content.tokens(encoder, rows, self.column),
        )

    def _encoded(self, content: EncodedCatalog, encoder: TextEncoder) -> Features:
        return content.encode_texts(encoder, self.column)
