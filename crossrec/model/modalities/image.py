"""Pictures, one per item, read by an image encoder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Self, cast

from pydantic import Field, model_validator

from crossrec.data.catalog import Catalog
from crossrec.encoders.adaptation import ItemInputs
from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import Features
from crossrec.encoders.image import ImageEncoder
from crossrec.model.encoded_catalog import EncodedCatalog, FeatureKey, feature_key
from crossrec.model.modalities.adapted import Adapt, AdaptedEncoder, check_adapt
from crossrec.model.modalities.base import ContentVectors, ItemModality, ModalityInputs
from crossrec.model.modalities.layers import AdaptedFeatures, FrozenFeatures, Modality, TrainableEncoder
from crossrec.model.variants import image_with_variants


class Image(ItemModality):
    """A picture per item: the catalogue's own, or a further column of paths or encoded pictures."""

    class Options(ImageEncoder.Options):
        """A picture per item, read by any model of ``timm``."""

        positional = ("weights",)

        column: str | None = Field(
            None,
            min_length=1,
            description="column of the item table with paths or encoded pictures; null for the catalogue's "
            "own pictures",
        )
        adapt: Adapt = None

        @model_validator(mode="after")
        def _can_adapt(self) -> Self:
            check_adapt(self.adapt, self.training)
            return self

        def encoder_options(self) -> ImageEncoder.Options:
            """Return the options of the encoder alone."""
            return ImageEncoder.Options(
                **{key: getattr(self, key) for key in ImageEncoder.Options.model_fields}
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
        """Check model, weights and size of the encoder."""
        self.encoder.check(cache_dir)

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Check that some item has a picture, by the first bytes of each.

        Raises:
            InputError: if none has, or the column holds no pictures.
        """
        content.need_pictures(content.pictures(self.column).has_N, self.key, self.column)

    @property
    def key(self) -> str:
        """Key of the configuration."""
        return f"model.{self.name}" if self.name == "image" else f"model.modalities.{self.name}"

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return frozen or adapted features, with variants in training, or a trainable encoder."""
        content, variants, column = inputs.content, inputs.variants, self.column
        if self.adapted is not None:
            return self.adapted.network(inputs)
        frozen = self.encoder.training is Tuning.FROZEN
        readable_N = (
            content.image_features(self.encoder, column).present_N
            if frozen
            else content.readable_pictures(column)
        )
        content.need_pictures(readable_N, self.key, column)
        if variants is not None and variants.augment.image is not None:
            return image_with_variants(
                content, self.encoder, inputs.whiten, variants, variants.augment.image, self.name, column
            )
        if frozen:
            features = content.image_features(self.encoder, column)
            return FrozenFeatures(features.vectors_ND, features.present_N, components=inputs.whiten)
        encoder: ImageEncoder = self.encoder.build(content.cache_dir)
        return TrainableEncoder(
            encoder, lambda rows: content.pixels(encoder, rows, column), readable_N, encoder.width
        )

    def features(self, content: EncodedCatalog) -> Features | None:
        """Return the encoder's output; None for an encoder in the training step."""
        if self.adapted is not None:
            return self.adapted.features(content)
        if self.encoder.training is not Tuning.FROZEN:
            return None
        return content.image_features(self.encoder, self.column)

    def set_features(self, content: EncodedCatalog, features: Features) -> None:
        """Set the encoder's output, and with it which items have a readable picture."""
        content.set_features(self._key, features)
        content.set_readable(features.present_N, self.column)

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Encode the pictures of new items."""
        if self.adapted is not None and isinstance(modality, AdaptedFeatures):
            return self.adapted.encoded(content, modality)
        if not isinstance(modality, TrainableEncoder):
            return super().encode(content, modality)
        encoder = cast("ImageEncoder", modality.encoder)
        present_K = content.readable_pictures(self.column)
        vectors_KW = modality.encode(present_K, lambda rows: content.pixels(encoder, rows, self.column))
        return ContentVectors(present_K, vectors_KW)

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the column of the pictures."""
        return ("image" if self.column is None else self.column,)

    @property
    def _key(self) -> FeatureKey:
        options = self.encoder if self.options.adapt is None else self.options
        return feature_key(options, self.column)

    def _inputs(self, content: EncodedCatalog, encoder: ImageEncoder) -> ItemInputs:
        readable_N = content.readable_pictures(self.column)
        content.need_pictures(readable_N, self.key, self.column)
        return ItemInputs(
            content.catalog.item_ids,
            content.image_keys(self.column),
            readable_N,
            lambda rows: content.pixels(encoder, rows, self.column),
        )

    def _encoded(self, content: EncodedCatalog, encoder: ImageEncoder) -> Features:
        return content.encode_images(encoder, self.column)
