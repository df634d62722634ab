"""Making views of pictures: from training items alone, each once, with an account of those that have none."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crossrec.data.catalog import Catalog
from crossrec.encoders.base import Tuning
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.variant_modalities import VariantEncoder, VariantFeatures
from crossrec.types import InputError


def test_a_view_is_made_and_encoded_once(lamps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = ImageEncoder.encode

    def counted(self: ImageEncoder, images: list[Image.Image]) -> np.ndarray:
        encoded.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(ImageEncoder, "encode", counted)
    usable = lamps.n - 4
    first = lamps.pictures(lamps.image_views())
    assert sum(encoded) == (lamps.n - 2) + usable * lamps.views
    encoded.clear()
    again = lamps.pictures(
        lamps.image_views(share=0.9), EncodedCatalog(lamps.catalogue(), lamps.content.cache_dir)
    )
    assert sum(encoded) == 0
    assert torch.equal(again.get_buffer("view_vectors"), first.get_buffer("view_vectors"))
    lamps.pictures(lamps.image_views(views=lamps.views + 1))
    assert sum(encoded) == usable
    encoded.clear()
    rows = np.arange(lamps.n)[::-1].copy()
    turned = EncodedCatalog(lamps.content.catalog.select(rows), lamps.content.cache_dir)
    plan = replace(lamps.plan(lamps.image_views()), trained_N=(lamps.counts > 0)[rows])
    back = lamps.image_modality(plan, content=turned)
    assert sum(encoded) == 0
    assert torch.equal(back.get_buffer("counts"), first.counts.flip(0))
    lamps.image_modality(lamps.plan(lamps.image_views(), seed=1))
    assert sum(encoded) == usable * lamps.views


def test_what_has_no_view_is_counted(lamps: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crossrec.model.variants"):
        modality = lamps.pictures(lamps.image_views())
    assert modality.counts.tolist() == [
        0 if item in lamps.without_views else lamps.views for item in range(lamps.n)
    ]
    (line,) = [r.getMessage() for r in caplog.records if r.name == "crossrec.model.variants"]
    assert "variants of the picture: 10 of 13 training items have 3.0 variants" in line
    assert "2 have no readable picture, 1 came back unchanged in every variant" in line
    assert "crop/kept 30, crop/looks the same 3" in line


def test_pictures_are_hashed_once(lamps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    image_bytes = Catalog.image_bytes

    def noted(self: Catalog, row: int) -> bytes | None:
        hashed.append(int(row))
        return image_bytes(self, row)

    monkeypatch.setattr(Catalog, "image_bytes", noted)
    keys = lamps.content.image_keys()
    assert hashed == [row for row in range(lamps.n) if row not in (lamps.missing, lamps.broken)]
    assert lamps.content.image_keys() == keys
    assert len(hashed) == lamps.n - 2


def test_mixing_takes_training_pictures_alone(lamps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    image = Catalog.image

    def noted(self: Catalog, row: int) -> Image.Image | None:
        opened.append(int(row))
        return image(self, row)

    lamps.content.image_features(lamps.encoder)
    monkeypatch.setattr(Catalog, "image", noted)
    config = lamps.image_views(augmenters=[{"type": "cutmix", "probability": 1}])
    assert lamps.pictures(config).counts.sum() > 0
    assert not {lamps.cold, lamps.broken, lamps.missing} & set(opened)


def test_views_without_an_encoder_are_refused(lamps: Any) -> None:
    with pytest.raises(InputError, match=r"augment\.text makes variants, but model\.text is null"):
        lamps.network(lamps.augment(text=lamps.text_views()))
    no_image = lamps.model(image=None, item_id=True)
    with pytest.raises(InputError, match=r"augment\.image=null"):
        lamps.network(lamps.augment(lamps.image_views()), no_image)
    lamps.network(lamps.augment(), no_image)


@pytest.mark.parametrize("training", [Tuning.FINETUNE, Tuning.LORA])
def test_a_trained_encoder_sees_views_in_training(lamps: Any, training: Tuning) -> None:
    config = lamps.image_views(share=1.0)
    settings = lamps.encoder.model_copy(update={"training": training})
    modality = lamps.image_modality(lamps.plan(config), settings, None)
    assert isinstance(modality, VariantEncoder)
    keys, maker = lamps.content.image_keys(), config.build()
    encoder = modality.encoder
    rows = torch.tensor([0, 1, lamps.plain, lamps.cold])
    shown = [lamps.content.catalog.image(int(row)) for row in rows]
    assert isinstance(encoder, ImageEncoder)
    originals = torch.stack([encoder.preprocess(p) for p in shown if p is not None])
    assert torch.equal(modality.eval().inputs(rows)["pixels"], originals)
    pixels = modality.train().inputs(rows)["pixels"]
    assert torch.equal(modality.inputs(rows)["pixels"], pixels)
    assert torch.equal(pixels[2:], originals[2:])
    for row in range(2):
        first = shown[row]
        assert first is not None
        made = [maker.variant([first], [str(keys[row])], 0, view).samples[0] for view in range(lamps.views)]
        assert any(torch.equal(pixels[row], encoder.preprocess(view)) for view in made)
        assert not torch.equal(pixels[row], originals[row])
    vectors = modality(torch.arange(lamps.n))
    assert vectors.shape == (lamps.n, encoder.width)
    assert (vectors[[lamps.broken, lamps.missing]] == 0).all()


class Letters(nn.Module):
    """Counts letters; stands in for a text encoder."""

    identity, width = "letters", 26

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(26))

    def encode(self, texts: list[str]) -> np.ndarray:
        return self.tokenize(texts)["counts"].numpy()

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        letters = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return {"counts": torch.tensor(letters, dtype=torch.float32).reshape(-1, 26)}

    def forward(self, counts: Tensor) -> Tensor:
        return counts * self.scale


@pytest.mark.parametrize("training", list(Tuning))
def test_texts(lamps: Any, training: Tuning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec.encoders.text.TextEncoder.Options.component", lambda *_: Letters())
    config = lamps.model(image=None, text=TextEncoder.Options(training=training))
    config = config.model_copy(update={"whiten": None})
    plain, viewed = (
        lamps.network(augment, config).items.modalities["text"]
        for augment in (None, lamps.augment(text=lamps.text_views(share=1.0)))
    )
    known = torch.tensor([row for row in range(lamps.n) if row != lamps.missing])
    assert torch.equal(viewed.eval()(known), plain(known))
    assert isinstance(viewed, VariantFeatures | VariantEncoder)
    assert sum(count for name, count in viewed.met.items() if name.endswith("/kept")) == viewed.counts.sum()
    shown = lamps.at_each_progress(viewed.train(), known, 8)
    different = torch.stack([(vectors != plain(known)).any(1) for vectors in shown]).any(0)
    assert known[~different].tolist() == [lamps.plain, lamps.cold]
