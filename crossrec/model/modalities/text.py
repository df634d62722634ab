"""Texts of one column, read by a text encoder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import cast

import numpy as np
from pydantic import Field

from crossrec.data.catalog import Catalog
from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import Features
from crossrec.encoders.text import TextEncoder
from crossrec.model.encoded_catalog import TEXT_COLUMN, EncodedCatalog, feature_key
from crossrec.model.modalities.base import ContentVectors, ItemModality, ModalityInputs
from crossrec.model.modalities.layers import FrozenFeatures, Modality, TrainableEncoder
from crossrec.model.variants import text_with_variants


class Text(ItemModality):
    """A text per item: any string column of the item table, read by a text encoder."""

    class Options(TextEncoder.Options):
        """A text per item, read by any encoder of ``transformers``."""

        positional = ("weights",)

        column: str = Field(TEXT_COLUMN, min_length=1, description="column of the item table with the texts")

        def encoder_options(self) -> TextEncoder.Options:
            """Return the options of the encoder alone."""
            return TextEncoder.Options(
                **{key: getattr(self, key) for key in TextEncoder.Options.model_fields}
            )

    options: Options

    def __init__(self, options: Options, name: str) -> None:
        super().__init__(options, name)
        self.encoder, self.column = options.encoder_options(), options.column

    def check(self, cache_dir: Path) -> None:
        """Check weights and length of the encoder."""
        self.encoder.check(cache_dir)

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Check that the column exists and holds texts."""
        content.has_text(self.column)

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return frozen features, with variants in training, or an encoder in the training step."""
        content, variants = inputs.content, inputs.variants
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
        """Return the encoder's output; None for a trainable encoder."""
        if self.encoder.training is not Tuning.FROZEN:
            return None
        return content.text_features(self.encoder, self.column)

    def set_features(self, content: EncodedCatalog, features: Features) -> None:
        """Set the encoder's output."""
        content.set_features(feature_key(self.encoder, self.column), features)

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Encode the texts of new items."""
        if not isinstance(modality, TrainableEncoder):
            return super().encode(content, modality)
        encoder = cast("TextEncoder", modality.encoder)
        present_K = content.has_text(self.column)
        vectors_KW = modality.encode(present_K, lambda rows: content.tokens(encoder, rows, self.column))
        return ContentVectors(np.asarray(present_K), vectors_KW)

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the column of the texts."""
        return (self.column,)
