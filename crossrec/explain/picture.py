"""Heat maps on the scored item's picture: LayerCAM, Grad-CAM and gradient-weighted attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F

from crossrec.data.pictures import pictures_of
from crossrec.encoders.image import CropMode, ImageEncoder
from crossrec.explain.attention import AttentionRecorder, gradient_rollout, rollout
from crossrec.explain.content import (
    IMAGE,
    ItemContent,
    check_feature,
    image_encoder,
    item_name,
    scores_of_raw,
)
from crossrec.explain.explanation import HeatMap, MapMethod, Unavailable
from crossrec.explain.score import Pair

BATCH = 32
"""Number of pictures encoded at once."""


@dataclass(frozen=True)
class PictureInput:
    """A picture and its path to a score.

    Args:
        encoder: image encoder.
        picture: picture of the catalogue.
        pixels_3SS: preprocessed picture.
        raw_scores: function from encoder output (B, W) to scores (B,).
        modality: name of the modality.
    """

    encoder: ImageEncoder
    picture: Image
    pixels_3SS: Tensor
    raw_scores: Callable[[Tensor], Tensor]
    modality: str = IMAGE

    @classmethod
    def of(cls, pair: Pair, content: ItemContent, name: str | None = None) -> PictureInput:
        """Read a picture of the scored item, and check that it is the one that the model encoded.

        Args:
            pair: history and item.
            content: catalogue and encoders.
            name: name of the modality; the first picture that the item has when None.

        Raises:
            Unavailable: if the model reads no pictures, or the item has none.
            InputError: if the picture's feature differs from the model's.
        """
        name = content.names(pair, IMAGE)[0] if name is None else name
        encoder = image_encoder(pair, content, name).eval()
        picture = pictures_of(content.catalog, content.column(name)).image(pair.item)
        if picture is None:
            raise Unavailable(f"item {item_name(pair, content)} has no picture in this catalogue")
        device = pair.features_KMD.device
        encoder.to(device)
        pixels_3SS = encoder.preprocess(picture).to(device)
        shown = cls(encoder, picture, pixels_3SS, scores_of_raw(pair, name), name)
        # In the arithmetic of the stored features, through which gradients don't pass.
        check_feature(pair, content, name, torch.from_numpy(encoder.encode([picture])[0]))
        return shown

    @property
    def backbone(self) -> Any:
        """The timm model, including LoRA layers."""
        adapter = self.encoder.adapter()
        return self.encoder.backbone if adapter is None else adapter.get_base_model()

    @torch.no_grad()
    def scores(self, pixels_B3SS: Tensor) -> Tensor:
        """Return (B,) scores with other pictures in place of the item's."""
        found = [self.raw_scores(self.encoder(chunk).float()) for chunk in pixels_B3SS.split(BATCH)]
        return torch.cat(found)


def layer_cam(shown: PictureInput) -> np.ndarray:
    """Return the LayerCAM map: ReLU(sum over channels c of ReLU(dScore / dA_c) A_c) at each position.

    Only channels that raise the score count. A is the last feature map, which the encoder pools; features
    are centred afterwards, so that a channel that lowers the score is active all over the picture and hides
    the others in :func:`grad_cam`.

    Args:
        shown: picture read by a network with a feature map.

    Returns:
        (h, w) float32, at least 0.

    Source:
        Jiang et al.: LayerCAM: Exploring hierarchical class activation maps for localization (TIP 2021), with
        the score of an item in place of a class.
    """
    features_CHW, gradient_CHW = _map_and_gradient(shown)
    return (features_CHW * gradient_CHW.clamp(min=0)).sum(0).clamp(min=0).cpu().numpy()


def grad_cam(shown: PictureInput) -> np.ndarray:
    """Return the Grad-CAM map: ReLU(sum over c of alpha_c A_c), alpha_c the mean of dScore / dA_c.

    Args:
        shown: picture read by a network with a feature map.

    Returns:
        (h, w) float32, at least 0.

    Source:
        Selvaraju et al.: Grad-CAM: Visual explanations from deep networks via gradient-based localization
        (ICCV 2017), equations 1 and 2, with the score of an item in place of a class.
    """
    features_CHW, gradient_CHW = _map_and_gradient(shown)
    weights_C = gradient_CHW.mean((1, 2))
    return torch.einsum("c,chw->hw", weights_C, features_CHW).clamp(min=0).cpu().numpy()


def _map_and_gradient(shown: PictureInput) -> tuple[Tensor, Tensor]:
    """Return the (C, h, w) last feature map, and the score's gradient with respect to it."""
    backbone = shown.backbone
    with torch.enable_grad():
        pixels = shown.pixels_3SS[None].contiguous(memory_format=torch.channels_last).requires_grad_()
        features = backbone.forward_features(pixels)
        score_1 = shown.raw_scores(backbone.forward_head(features).float())
        (gradient,) = torch.autograd.grad(score_1.sum(), features)
    features, gradient = features.detach()[0].float(), gradient[0].float()
    if getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return features.permute(2, 0, 1), gradient.permute(2, 0, 1)
    return features, gradient


def patch_relevance(shown: PictureInput, *, by_gradient: bool = True) -> np.ndarray:
    """Return the relevance of each patch, on the grid of patches.

    With gradients, attention counts where it raises the score (Chefer et al. 2021). Without, it is attention
    rollout (Abnar and Zuidema 2020), which is independent of the score. Both are read at the class token if
    the encoder pools by it, else as the mean over all patches.

    Args:
        shown: a picture read by a vision transformer with global attention.
        by_gradient: whether to weight attention by the score's gradient.

    Returns:
        (h, w) float32, at least 0.

    Raises:
        Unavailable: if the backbone is another kind of model.
    """
    with torch.enable_grad():
        pixels = shown.pixels_3SS[None].clone().requires_grad_()
        # The encoder alone: the rest of the model may have attention too.
        with AttentionRecorder() as recorder:
            raw_1W = shown.encoder(pixels)
        score_1 = shown.raw_scores(raw_1W.float())
    grid = _grid(shown, recorder.weights)
    layers = [weights[0].detach() for weights in recorder.weights]
    if by_gradient:
        gradients = torch.autograd.grad(score_1.sum(), recorder.weights)
        total = gradient_rollout(layers, [gradient[0] for gradient in gradients])
        # The identity, from which the rollout starts, carries no evidence.
        total = total - torch.eye(len(total), device=total.device)
    else:
        total = rollout(layers)
    prefix = len(total) - grid[0] * grid[1]
    reader = total[0] if shown.backbone.global_pool == "token" else total[prefix:].mean(0)
    return reader[prefix:].clamp(min=0).reshape(grid).cpu().numpy()


def _grid(shown: PictureInput, weights: list[Tensor]) -> tuple[int, int]:
    """Return rows and columns of patches that every attention map covers."""
    patches = getattr(shown.backbone, "patch_embed", None)
    grid = getattr(patches, "grid_size", None)
    prefix = getattr(shown.backbone, "num_prefix_tokens", 0)
    expected = None if grid is None else prefix + grid[0] * grid[1]
    shapes = {tuple(found.shape[-2:]) for found in weights}
    if grid is None or shapes != {(expected, expected)} or any(found.ndim != 4 for found in weights):
        raise Unavailable(
            f"{type(shown.backbone).__name__} has neither a map of features (for Grad-CAM) nor attention "
            "among all patches of the picture"
        )
    return int(grid[0]), int(grid[1])


def enlarged(grid_hw: np.ndarray, side: int) -> np.ndarray:
    """Return a coarse grid interpolated to (S, S), bilinear, from 0 to 1; zeros if the grid is constant."""
    fine = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(grid_hw, np.float32))[None, None],
        size=(side, side),
        mode="bilinear",
        align_corners=False,
    )[0, 0].numpy()
    fine = fine - fine.min()
    return fine / peak if (peak := fine.max()) > 0 else fine


def on_picture(input_SS: np.ndarray, encoder: ImageEncoder, width: int, height: int) -> np.ndarray:
    """Return the (H, W) map on a picture's pixels; 0 outside the encoder's crop.

    Args:
        input_SS: map on the encoder's input.
        encoder: encoder whose preprocessing cropped and scaled the picture.
        width: width of the picture.
        height: height of the picture.
    """
    covered_w, covered_h = covered(encoder, width, height)
    # grid_sample counts from -1 to 1 across the input; the covered part has the picture's centre.
    x_W = (2 * (np.arange(width) + 0.5) - width) / covered_w
    y_H = (2 * (np.arange(height) + 0.5) - height) / covered_h
    places = np.stack(np.meshgrid(x_W, y_H), axis=-1).astype(np.float32)
    found = F.grid_sample(
        torch.from_numpy(input_SS)[None, None],
        torch.from_numpy(places)[None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0, 0].numpy()
    inside = (np.abs(places) <= 1).all(axis=-1)
    return np.where(inside, found, 0).astype(np.float32)


def covered(encoder: ImageEncoder, width: int, height: int) -> tuple[float, float]:
    """Return width and height of the encoder's centred crop, in pixels of the picture.

    They exceed the picture's where the encoder pads.
    """
    settings = encoder.settings
    side = int(settings["input_size"][-1])
    scaled = math.floor(side / float(settings["crop_pct"]))
    match CropMode(settings["crop_mode"]):
        case CropMode.SQUASH:
            return width * side / scaled, height * side / scaled
        case CropMode.CENTER:
            return side * min(width, height) / scaled, side * min(width, height) / scaled
        case CropMode.BORDER:
            return side * max(width, height) / scaled, side * max(width, height) / scaled


PATCHES = 8
"""Number of patches per side for the deletion check."""
MAPS: dict[MapMethod, Callable[[PictureInput], np.ndarray]] = {
    "layer_cam": layer_cam,
    "grad_cam": grad_cam,
    "attention": patch_relevance,
}


def heat_map(shown: PictureInput, method: MapMethod | None = None) -> HeatMap:
    """Return a map of the regions of the picture that raise the item's score.

    Args:
        shown: picture and its path to a score.
        method: None for LayerCAM where the backbone has a map of features (convolutional networks,
            hierarchical transformers), and gradient-weighted attention where it has tokens (vision
            transformers).

    Raises:
        Unavailable: if the backbone has neither, or lacks what the method needs.
    """
    has_map = _has_feature_map(shown.backbone, shown.pixels_3SS)
    chosen = method or ("layer_cam" if has_map else "attention")
    if chosen != "attention" and not has_map:
        raise Unavailable(f"{chosen} needs a map of features, which {type(shown.backbone).__name__} lacks")
    coarse = MAPS[chosen](shown)
    input_SS = enlarged(coarse, shown.pixels_3SS.shape[-1])
    width, height = shown.picture.size
    grid = (int(coarse.shape[0]), int(coarse.shape[1]))
    on_pixels = on_picture(input_SS, shown.encoder, width, height)
    return HeatMap(on_pixels, input_SS, grid, chosen, shown.modality)


@torch.no_grad()
def _has_feature_map(backbone: Any, pixels_3SS: Tensor) -> bool:
    return bool(backbone.forward_features(pixels_3SS[None]).ndim == 4)


def patch_weights(heat: HeatMap) -> np.ndarray:
    """Return (PATCHES * PATCHES,) mean of the map over each patch of the encoder's input, row by row."""
    input_SS = torch.from_numpy(heat.input_SS)
    return F.adaptive_avg_pool2d(input_SS[None, None], PATCHES)[0, 0].flatten().numpy()


def scores_with_patches(shown: PictureInput, kept_VP: np.ndarray) -> np.ndarray:
    """Return (V,) float64 scores with patches of the picture replaced by its mean colour.

    Args:
        shown: a picture on its way to a score.
        kept_VP: (V, PATCHES * PATCHES) bool, row by row.
    """
    pixels = shown.pixels_3SS
    side = pixels.shape[-1]
    kept = torch.from_numpy(kept_VP.reshape(-1, 1, PATCHES, PATCHES)).float().to(pixels.device)
    # The patch of each pixel, as adaptive pooling divides them.
    kept_V1SS = F.interpolate(kept, size=(side, side), mode="nearest").bool()
    painted = torch.where(kept_V1SS, pixels, pixels.mean((1, 2), keepdim=True))
    return shown.scores(painted).double().cpu().numpy()
