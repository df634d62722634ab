"""A small catalogue of lamps whose texts and pictures may have views, and networks over it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from crossrec.augment.content.variants import ImageVariantsConfig, TextVariantsConfig
from crossrec.data.catalog import Catalog
from crossrec.encoders.base import EncoderPrecision
from crossrec.encoders.image import ImageEncoder
from crossrec.model.build import build_network
from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities.base import ModalityInputs
from crossrec.model.modalities.image import Image as ImageModality
from crossrec.model.modalities.layers import Modality
from crossrec.model.network import SequentialNetwork
from crossrec.model.sequence.sasrec import SASRec
from crossrec.model.variant_modalities import VariantEncoder, VariantFeatures
from crossrec.model.variants import TrainingVariants


@dataclass(frozen=True)
class Augment:
    """What an experiment's augmentation says of texts and pictures."""

    image: ImageVariantsConfig | None = None
    text: TextVariantsConfig | None = None


def picture(row: int) -> Image.Image:
    rng = np.random.default_rng(row)
    return Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).resize((40, 48))


def as_bytes(shown: Image.Image) -> bytes:
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()


class Lamps:
    """Content, configurations and networks of the lamps."""

    n, views = 14, 3
    plain, broken, missing, cold = 3, 5, 7, 9
    """Items whose picture no flip changes, can't be read, is missing; an item without a training click."""
    counts = np.where(np.arange(14) == cold, 0, 4)
    encoder = ImageEncoder.Options(
        model="test_resnet", weights="random", image_size=32, precision=EncoderPrecision.FP32
    )

    def __init__(self, cache_dir: Path) -> None:
        self.content = EncodedCatalog(self.catalogue(), cache_dir)

    @property
    def without_views(self) -> tuple[int, ...]:
        """Items whose picture has none."""
        return self.plain, self.broken, self.missing, self.cold

    def catalogue(self) -> Catalog:
        pictures: list[bytes | None] = [as_bytes(picture(row)) for row in range(self.n)]
        pictures[self.plain] = as_bytes(Image.new("RGB", (40, 48), "teal"))
        pictures[self.broken] = b"no picture"
        pictures[self.missing] = None
        texts: list[str | None] = [f"a wide lamp of brass and glass number {row}" for row in range(self.n)]
        texts[self.plain], texts[self.missing] = "12 34", None
        return Catalog.from_columns(
            {
                "item_id": [f"i{row}" for row in range(self.n)],
                "text": texts,
                "image_bytes": pictures,
                "categories": [["lamp"]] * self.n,
            }
        )

    def augment(
        self, image: ImageVariantsConfig | None = None, text: TextVariantsConfig | None = None
    ) -> Augment:
        return Augment(image, text)

    def image_views(self, share: float = 0.5, **settings: object) -> ImageVariantsConfig:
        augmenters = [{"type": "crop", "probability": 1}, {"type": "flip"}]
        fields = {"augmenters": augmenters, "views": self.views, "share": share, **settings}
        return ImageVariantsConfig.model_validate(fields)

    def text_views(self, share: float = 0.5) -> TextVariantsConfig:
        augmenters = [{"type": "character_noise", "rate": 0.3}]
        return TextVariantsConfig.model_validate(
            {"augmenters": augmenters, "views": self.views, "share": share}
        )

    def plan(self, image: ImageVariantsConfig, seed: int = 0) -> TrainingVariants:
        return TrainingVariants(Augment(image), self.counts > 0, seed)

    def image_modality(
        self,
        plan: TrainingVariants,
        encoder: ImageEncoder.Options | None = None,
        whiten: int | None = 4,
        content: EncodedCatalog | None = None,
    ) -> Modality:
        options = ImageModality.Options(**(encoder or self.encoder).model_dump())
        inputs = ModalityInputs(content or self.content, 8, self.counts > 0, whiten=whiten, variants=plan)
        return ImageModality(options, "image").network(inputs)

    def pictures(self, image: ImageVariantsConfig, content: EncodedCatalog | None = None) -> VariantFeatures:
        found = self.image_modality(self.plan(image), content=content)
        assert isinstance(found, VariantFeatures)
        return found

    def model(self, **settings: object) -> ModelConfig:
        fields = {"text": None, "image": self.encoder, "width": 8, "sequence": SASRec.Options(max_length=4)}
        return ModelConfig.model_validate({**fields, "whiten": 4, "item_dropout": 0, **settings})

    def network(self, augment: Augment | None = None, config: ModelConfig | None = None) -> SequentialNetwork:
        return build_network(config or self.model(), self.content, self.counts, 0, augment)

    def at_each_progress(
        self, modality: VariantFeatures | VariantEncoder, items: Tensor, steps: int
    ) -> Iterator[Tensor]:
        """What lookups give in the steps of a training."""
        for step in range(steps):
            modality.choice.set_progress(step / steps)
            yield modality(items)


@pytest.fixture
def lamps(tmp_path: Path) -> Lamps:
    return Lamps(tmp_path)
