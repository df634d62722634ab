"""Views where an encoder is part of the training step, and texts under any kind of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossrec.encoders.base import Tuning
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.views import ViewedEncoder, ViewedFeatures


@pytest.mark.parametrize("training", [Tuning.FINETUNE, Tuning.LORA])
def test_a_trained_encoder_sees_views_in_training(lamps: Any, training: Tuning) -> None:
    config = lamps.image_views(share=1.0)
    settings = lamps.encoder.model_copy(update={"training": training})
    modality = lamps.content.image(settings, None, lamps.plan(config))
    assert isinstance(modality, ViewedEncoder)
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
        made = [maker.view([first], [str(keys[row])], 0, view).samples[0] for view in range(lamps.views)]
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
    monkeypatch.setattr(TextEncoder.Options, "build", lambda self, cache_dir: Letters())
    config = lamps.model(image=None, text=TextEncoder.Options(training=training))
    config = config.model_copy(update={"whiten": None})
    plain, viewed = (
        lamps.network(augment, config).items.modalities["text"]
        for augment in (None, lamps.augment(text=lamps.text_views(share=1.0)))
    )
    known = torch.tensor([row for row in range(lamps.n) if row != lamps.missing])
    assert torch.equal(viewed.eval()(known), plain(known))
    assert isinstance(viewed, ViewedFeatures | ViewedEncoder)
    assert sum(count for name, count in viewed.met.items() if name.endswith("/kept")) == viewed.counts.sum()
    shown = lamps.at_each_progress(viewed.train(), known, 8)
    different = torch.stack([(vectors != plain(known)).any(1) for vectors in shown]).any(0)
    assert known[~different].tolist() == [lamps.plain, lamps.cold]
