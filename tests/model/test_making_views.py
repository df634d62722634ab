"""Making views of pictures: from training items alone, each once, with an account of those that have none."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crossrec.data.catalog import Catalog
from crossrec.encoders.image import ImageEncoder
from crossrec.model.build import Content
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
    again = lamps.pictures(lamps.image_views(share=0.9), Content(lamps.catalogue(), lamps.content.cache_dir))
    assert sum(encoded) == 0
    assert torch.equal(again.get_buffer("view_vectors"), first.get_buffer("view_vectors"))
    lamps.pictures(lamps.image_views(views=lamps.views + 1))
    assert sum(encoded) == usable
    encoded.clear()
    rows = np.arange(lamps.n)[::-1].copy()
    turned = Content(lamps.content.catalog.select(rows), lamps.content.cache_dir)
    plan = replace(lamps.plan(lamps.image_views()), trained_N=(lamps.counts > 0)[rows])
    back = turned.image(lamps.encoder, 4, plan)
    assert sum(encoded) == 0
    assert torch.equal(back.get_buffer("counts"), first.counts.flip(0))
    lamps.content.image(lamps.encoder, 4, lamps.plan(lamps.image_views(), seed=1))
    assert sum(encoded) == usable * lamps.views


def test_what_has_no_view_is_counted(lamps: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crossrec.model.view_plan"):
        modality = lamps.pictures(lamps.image_views())
    assert modality.counts.tolist() == [
        0 if item in lamps.without_views else lamps.views for item in range(lamps.n)
    ]
    (line,) = [r.getMessage() for r in caplog.records if r.name == "crossrec.model.view_plan"]
    assert "views of the picture: 10 of 13 training items have 3.0 views" in line
    assert "2 have no readable picture, 1 came back unchanged in every view" in line
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
    with pytest.raises(InputError, match=r"augment\.text asks for views, but model\.text is null"):
        lamps.network(lamps.augment(text=lamps.text_views()))
    no_image = lamps.model(image=None, item_id=True)
    with pytest.raises(InputError, match=r"augment\.image=null"):
        lamps.network(lamps.augment(lamps.image_views()), no_image)
    lamps.network(lamps.augment(), no_image)
