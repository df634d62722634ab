"""Heat maps on pictures: planted spots are found, on the right pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from crossrec.encoders.base import EncoderPrecision, Tuning
from crossrec.encoders.image import CropMode, ImageEncoder
from crossrec.explain import ItemContent
from crossrec.explain.content import check_feature
from crossrec.explain.explanation import MapMethod, Unavailable
from crossrec.explain.faithfulness import Deletion, deletion_curves
from crossrec.explain.picture import (
    PictureInput,
    enlarged,
    grad_cam,
    heat_map,
    layer_cam,
    on_picture,
    patch_relevance,
    patch_weights,
    scores_with_patches,
)
from crossrec.explain.score import Pair
from crossrec.types import InputError, Sequences


class SeesRed(nn.Module):
    """A network whose map holds the red and the blue of each of 8 by 8 places, and pools them."""

    num_features = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward_features(self, pixels: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(pixels, 8) * self.scale
        return torch.stack([pooled[:, 0] - pooled[:, 1], pooled[:, 2] - pooled[:, 1]], dim=1)

    def forward_head(self, features: Tensor) -> Tensor:
        return features.mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(pixels))


def spotted(width: int, height: int, x: int, y: int) -> Image.Image:
    """Grey, with a red spot around (x, y) and a blue one in the opposite corner."""
    pixels = np.full((height, width, 3), 120, np.uint8)
    pixels[max(0, y - 5) : y + 5, max(0, x - 5) : x + 5] = (250, 20, 20)
    other_x, other_y = width - 1 - x, height - 1 - y
    pixels[max(0, other_y - 5) : other_y + 5, max(0, other_x - 5) : other_x + 5] = (20, 20, 250)
    return Image.fromarray(pixels)


def sees_red(**options: Any) -> ImageEncoder:
    return ImageEncoder(ImageEncoder.Options(image_size=64, **options), Path(), SeesRed())


def shown(picture: Image.Image, **options: Any) -> PictureInput:
    encoder = sees_red(precision=EncoderPrecision.FP32, **options)
    return PictureInput(
        encoder, picture, encoder.preprocess(picture), lambda raw_BW: raw_BW[:, 0] - raw_BW[:, 1]
    )


@pytest.mark.parametrize(("width", "height"), [(96, 96), (120, 80), (60, 100)])
@pytest.mark.parametrize("crop_mode", list(CropMode))
@pytest.mark.parametrize("method", ["layer_cam", "grad_cam"])
def test_the_spot_that_raises_the_score_is_found_on_the_picture(
    width: int, height: int, crop_mode: CropMode, method: MapMethod
) -> None:
    x, y = round(0.4 * width), round(0.35 * height)
    seen = shown(spotted(width, height, x, y), crop_mode=crop_mode, crop_pct=0.9)
    heat = heat_map(seen, method)
    assert (heat.method, heat.grid) == (method, (8, 8))
    assert heat.map_HW.shape == (height, width)
    hottest_y, hottest_x = np.unravel_index(heat.map_HW.argmax(), heat.map_HW.shape)
    # A cell of the map covers an eighth of what the encoder sees.
    assert abs(hottest_x - x) <= max(width, height) / 8
    assert abs(hottest_y - y) <= max(width, height) / 8
    assert heat.map_HW[height - 1 - y, width - 1 - x] < 0.05
    assert 0.9 < heat.map_HW.max() <= 1


@pytest.mark.parametrize("crop_mode", list(CropMode))
def test_a_map_of_the_encoders_input_comes_to_lie_on_the_pictures_pixels(crop_mode: CropMode) -> None:
    encoder = sees_red(crop_mode=crop_mode, crop_pct=0.8)
    ramp = np.linspace(0, 255, 90).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ramp[None, :, None], (60, 90, 3)).copy())
    mean, std = encoder.settings["mean"][0], encoder.settings["std"][0]
    brightness = encoder.preprocess(picture)[0].numpy() * std + mean
    back = on_picture(brightness.astype(np.float32), encoder, 90, 60)
    looked = back[30] > 0
    assert looked.sum() >= 45
    np.testing.assert_allclose(back[30][looked][2:-2], (ramp / 255)[looked][2:-2], atol=0.03)


def test_deleting_the_named_patches_beats_chance_and_shuffled_weights_do_not() -> None:
    seen = shown(spotted(96, 96, 30, 40))
    weights_P = patch_weights(heat_map(seen))

    def scores(kept_VP: np.ndarray) -> np.ndarray:
        return scores_with_patches(seen, kept_VP)

    found = deletion_curves(Deletion(weights_P, scores), n_random=20, seed=0)
    assert found.aopc > 1.5 * found.random_aopc
    shuffled = deletion_curves(
        Deletion(np.random.default_rng(1).permutation(weights_P), scores), n_random=20, seed=0
    )
    assert shuffled.aopc < 0.7 * found.aopc


def test_painting_over_keeps_all_other_pixels() -> None:
    seen = shown(spotted(96, 96, 30, 40))
    kept = np.ones((2, 64), bool)
    kept[1, 9] = False  # second row, second column
    pictures: list[Tensor] = []
    watched = PictureInput(seen.encoder, seen.picture, seen.pixels_3SS, lambda raw_BW: raw_BW[:, 0])
    handle = seen.encoder.register_forward_pre_hook(lambda _, inputs: pictures.append(inputs[0]))
    scores_with_patches(watched, kept)
    handle.remove()
    changed = (pictures[0][1] != pictures[0][0]).any(0)
    assert torch.equal(pictures[0][0], seen.pixels_3SS)
    assert changed.nonzero().min(0).values.tolist() == [8, 8]
    assert changed.nonzero().max(0).values.tolist() == [15, 15]


def test_a_score_that_nothing_raises_gives_an_empty_map() -> None:
    grey = Image.new("RGB", (40, 40), (90, 90, 90))
    encoder = sees_red()
    heat = heat_map(
        PictureInput(encoder, grey, encoder.preprocess(grey), lambda raw_BW: -(raw_BW[:, 0] ** 2))
    )
    assert not heat.map_HW.any()
    assert not enlarged(np.zeros((2, 2), np.float32), 8).any()


@pytest.mark.parametrize(
    ("model", "method", "grid"),
    [
        ("test_resnet", "layer_cam", (2, 2)),
        ("test_efficientnet", "layer_cam", (2, 2)),
        ("test_vit", "attention", (4, 4)),
        ("test_vit2", "attention", (4, 4)),
    ],
)
def test_frozen_features_of_real_backbones(
    make_shop: Callable[..., Any], model: str, method: str, grid: tuple[int, int]
) -> None:
    shop = make_shop(model)
    pair = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 5)
    seen = PictureInput.of(pair, shop.content)
    assert float(seen.scores(seen.pixels_3SS[None])) == pytest.approx(pair.score, rel=1e-2, abs=1e-2)
    heat = heat_map(seen)
    assert (heat.method, heat.grid) == (method, grid)
    assert heat.map_HW.shape == (40, 48)
    assert np.isfinite(heat.map_HW).all()
    # A random network may find nothing here that raises a score; then something lowers it.
    opposite = PictureInput(
        seen.encoder, seen.picture, seen.pixels_3SS, lambda raw_BW: -seen.raw_scores(raw_BW)
    )
    assert max(heat.map_HW.max(), heat_map(opposite).map_HW.max()) > 0.9
    assert heat.overlay(seen.picture).size == (48, 40)


@pytest.mark.parametrize("training", [Tuning.FINETUNE, Tuning.LORA])
def test_trained_encoders(make_shop: Callable[..., Any], training: Tuning) -> None:
    for model in ("test_efficientnet", "test_vit"):
        shop = make_shop(model, image={"training": training})
        pair = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 5)
        seen = PictureInput.of(pair, shop.content)
        assert float(seen.scores(seen.pixels_3SS[None])) == pytest.approx(pair.score, rel=1e-4, abs=1e-4)
        assert heat_map(seen).map_HW.max() > 0.9
        assert all(parameter.grad is None for parameter in shop.recommender.network.parameters())


def test_rollout_without_gradients_knows_nothing_of_the_score(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("test_vit")
    maps = {}
    for clicks in ([1, 2, 3], [9, 8]):
        pair = Pair.of(shop.recommender, Sequences.from_lists([clicks]), 5)
        seen = PictureInput.of(pair, shop.content)
        maps[len(clicks)] = [patch_relevance(seen, by_gradient=known) for known in (True, False)]
    np.testing.assert_allclose(maps[3][1], maps[2][1], rtol=1e-5)
    assert np.abs(maps[3][0] - maps[2][0]).max() > 1e-6


def test_a_picture_that_changed_is_an_error(shop: Any, catalog: Any, tmp_path: Path) -> None:
    pair = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 5)
    rows = np.arange(len(catalog))
    rows[5] = 6
    moved = ItemContent(_with_rows(catalog, rows), shop.content.config, tmp_path)
    with pytest.raises(InputError, match="image of item 'p5' gives another feature than the model knows"):
        PictureInput.of(pair, moved)
    with pytest.raises(InputError, match="another feature"):
        check_feature(
            pair, shop.content, "image", torch.full((shop.content.encoder("image").width,), torch.nan)
        )


def _with_rows(catalog: Any, rows: np.ndarray) -> Any:
    class Moved:
        item_ids = catalog.item_ids

        def image(self, row: int) -> Any:
            return catalog.image(int(rows[row]))

    return Moved()


def test_grad_cam_needs_a_map_of_features(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("test_vit")
    seen = PictureInput.of(Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 5), shop.content)
    with pytest.raises(Unavailable, match="grad_cam needs a map of features"):
        heat_map(seen, "grad_cam")


def test_the_maps_by_hand() -> None:
    seen = shown(spotted(96, 96, 30, 40))
    features = seen.backbone.forward_features(seen.pixels_3SS[None])[0]
    # The score is the mean of the first channel minus that of the second.
    np.testing.assert_allclose(
        grad_cam(seen), (features[0] - features[1]).clamp(min=0).detach() / 64, atol=1e-6
    )
    np.testing.assert_allclose(layer_cam(seen), features[0].clamp(min=0).detach() / 64, atol=1e-6)


def test_an_item_without_a_picture_says_so(shop: Any) -> None:
    pair = Pair.of(shop.recommender, Sequences.from_lists([[1, 2, 3]]), 23)
    with pytest.raises(Unavailable, match="item 'p23' has no image"):
        PictureInput.of(pair, shop.content)


def test_json_of_a_large_map_is_small() -> None:
    heat = heat_map(shown(spotted(400, 300, 100, 100)))
    content = heat.to_dict()
    assert (content["height"], content["width"]) == (300, 400)
    assert (len(content["map"]), len(content["map"][0])) == (48, 64)
