"""The contract of every sequence model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_model, save_model
from torch import nn

from crossrec.model.sequence import SEQUENCE_MODELS, SequenceOptions
from crossrec.model.sequence.base import History, SequenceModel
from crossrec.types import InputError

B, L, D = 4, 7, 16
LENGTHS = torch.tensor([7, 1, 4, 6])
Build = Callable[..., SequenceModel]

CAUSAL: dict[str, dict[str, Any]] = {
    "sasrec": {"type": "sasrec", "heads": 2, "feedforward": 2},
    "sasrec without positions": {"type": "sasrec", "positions": "none"},
    "sasrec modern": {
        "type": "sasrec",
        "heads": 2,
        "positions": "rotary",
        "norm": "rms",
        "activation": "swiglu",
        "time_gaps": True,
        "click_dropout": 0.2,
    },
    "sasrec gelu": {"type": "sasrec", "activation": "gelu", "attention_dropout": 0.1},
    "esasrec": {"type": "esasrec", "heads": 2},
    "esasrec with times": {"type": "esasrec", "positions": "rotary", "time_gaps": True},
    "hstu": {"type": "hstu", "heads": 2},
    "hstu without times": {"type": "hstu", "time_bias": False},
    "gru4rec": {"type": "gru4rec"},
    "gru4rec of another width": {"type": "gru4rec", "layers": 2, "hidden": 24},
    "semantic_id": {"type": "semantic_id", "heads": 2},
    "llm": {"type": "llm", "layers": 2},
    "llm with prompt": {"type": "llm", "layers": 1, "prompt": "the shopper viewed"},
    "llm without lora": {"type": "llm", "layers": 1, "lora": None},
}
BIDIRECTIONAL: dict[str, dict[str, Any]] = {
    "bert4rec": {"type": "bert4rec", "heads": 2},
    "bert4rec wide": {"type": "bert4rec", "feedforward": 1.5, "attention_dropout": 0.1, "mask_share": 0.5},
}
MODELS = CAUSAL | BIDIRECTIONAL


@pytest.fixture
def build(build: Build) -> Build:
    """Build models whose maps that start at zero have learned something."""

    def make(*args: Any, **changes: Any) -> SequenceModel:
        model = build(*args, **changes)
        with torch.no_grad():
            for name, module in model.named_modules():
                if "lora_B" not in name and isinstance(module, nn.Linear) and not module.weight.any():
                    module.weight.normal_(std=0.1)
        return model

    return make


def history(model: SequenceModel, length: int = L, lengths: torch.Tensor = LENGTHS) -> History:
    """Random clicks, some hidden where the model guesses; garbage in padded places."""
    vectors = torch.randn(B, length, D)
    times = 1_700_000_000 + torch.randint(1, 10**6, (B, length)).cumsum(1)
    full = History(vectors, lengths, times if model.reads_times else None)
    vectors[~full.real()] *= 1000
    if model.mask_share is None:
        return full
    masked = torch.zeros(B, length, dtype=torch.bool)
    masked[:, ::3] = True
    return replace(full, masked_BL=masked)


def changed_at(given: History, position: int) -> History:
    """Another item clicked there, at another time."""
    vectors = given.vectors_BLD.clone()
    vectors[:, position] += torch.randn(B, D)
    if given.times_BL is None:
        return replace(given, vectors_BLD=vectors)
    times = given.times_BL.clone()
    times[:, position] += 10**7
    return replace(given, vectors_BLD=vectors, times_BL=times)


def test_every_sequence_model_is_here() -> None:
    missing = {*SEQUENCE_MODELS} - {settings["type"] for settings in MODELS.values()}
    assert not missing, f"add settings to CAUSAL or BIDIRECTIONAL for {missing}"


@pytest.mark.parametrize("name", MODELS)
def test_shape_and_type(name: str, build: Build) -> None:
    model = build(MODELS[name])
    assert model.max_length == 9
    for length in (1, L, 9):
        states = model(history(model, length, LENGTHS.clamp(max=length)))
        assert states.shape == (B, length, D)
        assert states.dtype == torch.float32


@pytest.mark.parametrize("name", MODELS)
def test_autocast_stays_close(name: str, build: Build) -> None:
    model = build(MODELS[name]).eval()
    given = history(model)
    exact = model(given)[given.real()]
    with torch.autocast("cpu", torch.bfloat16):
        states = model(given)
    assert states.dtype in (torch.float32, torch.bfloat16)
    rough = states[given.real()].float()
    assert (rough - exact).norm() < 0.05 * exact.norm()  # measured: at most 0.005


@pytest.mark.parametrize("name", MODELS)
def test_the_last_state_alone_is_the_same(name: str, build: Build) -> None:
    model = build(MODELS[name], D).eval()
    clicks = history(model)
    with torch.no_grad():
        expected_BD = model(clicks)[torch.arange(B), LENGTHS - 1]
        torch.testing.assert_close(model.last(clicks), expected_BD, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_never_looks_ahead(name: str, build: Build) -> None:
    model = build(MODELS[name]).eval()
    given = history(model, lengths=torch.full((B,), L))
    before = model(given)
    for position in range(L):
        after = model(changed_at(given, position))
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=1e-5, atol=1e-5)
        assert (after[:, position] - before[:, position]).abs().max() > 1e-4


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_a_masked_click_is_guessed_from_all_others_but_never_from_itself(name: str, build: Build) -> None:
    model = build(MODELS[name]).eval()
    given = history(model, lengths=torch.full((B,), L))
    assert given.masked_BL is not None
    before = model(given)
    for position in range(L):
        after = model(changed_at(given, position))
        if given.masked_BL[0, position]:
            torch.testing.assert_close(after, before, rtol=0, atol=0)
        else:
            moved = (after - before)[given.masked_BL].view(B, -1, D).abs().amax(-1)
            assert (moved > 1e-5).all()


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_shown_clicks_need_no_mask(name: str, build: Build) -> None:
    model = build(MODELS[name]).eval()
    given = history(model)
    shown = replace(given, masked_BL=torch.zeros(B, L, dtype=torch.bool))
    torch.testing.assert_close(model(replace(given, masked_BL=None)), model(shown), rtol=0, atol=0)
    assert not torch.allclose(model(given), model(shown))


@pytest.mark.parametrize("name", MODELS)
def test_neither_padding_nor_other_rows_matter(name: str, build: Build) -> None:
    model = build(MODELS[name]).eval()
    given = history(model)
    wide = history(model, 9)
    states = model(given)
    padded = History(
        torch.cat([given.vectors_BLD, wide.vectors_BLD[:, L:]], dim=1),
        lengths_B=LENGTHS,
        times_BL=_joined(given.times_BL, wide.times_BL),
        masked_BL=_joined(given.masked_BL, wide.masked_BL),
    )
    real = given.real()
    torch.testing.assert_close(model(padded)[:, :L][real], states[real], rtol=1e-5, atol=1e-5)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = History(
            given.vectors_BLD[[row], :length],
            LENGTHS[[row]],
            None if given.times_BL is None else given.times_BL[[row], :length],
            None if given.masked_BL is None else given.masked_BL[[row], :length],
        )
        torch.testing.assert_close(model(alone)[0], states[row, :length], rtol=1e-5, atol=1e-5)


def _joined(few: torch.Tensor | None, many: torch.Tensor | None) -> torch.Tensor | None:
    return None if few is None or many is None else torch.cat([few, many[:, L:]], dim=1)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_trained_or_declared_frozen(name: str, build: Build) -> None:
    known = SEQUENCE_MODELS.options(MODELS[name]["type"]).model_fields
    model = build(MODELS[name], **({"dropout": 0.0} if "dropout" in known else {})).train()
    # Adapters start with one factor at zero, which stops the other's gradient: move them first.
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if "lora_B" in label:
                parameter.normal_(std=0.1)
    given = history(model, 9, torch.full((B,), 9))
    (model(given) * torch.randn(B, 9, D)).sum().backward()
    for label, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, label
            assert parameter.grad.isfinite().all(), label
            assert parameter.grad.abs().sum() > 0, label
        else:
            assert parameter.grad is None, label
            assert label.startswith("decoder."), label


@pytest.mark.parametrize("name", MODELS)
def test_saved_weights_give_the_same_states(name: str, build: Build, tmp_path: Path) -> None:
    model, other = build(MODELS[name]).eval(), build(MODELS[name], seed=1).eval()
    given = history(model)
    real = given.real()
    assert not torch.allclose(other(given)[real], model(given)[real])
    save_model(model, str(tmp_path / "model.safetensors"))
    load_model(other, tmp_path / "model.safetensors")
    torch.testing.assert_close(other(given), model(given), rtol=0, atol=0)


@pytest.mark.parametrize("name", MODELS)
def test_configuration_survives_a_round_trip(name: str) -> None:
    family: TypeAdapter[Any] = TypeAdapter(SequenceOptions)
    config = family.validate_python(MODELS[name])
    assert family.validate_json(family.dump_json(config)) == config


@pytest.mark.parametrize("name", [n for n, s in MODELS.items() if s.get("time_gaps") or n == "hstu"])
def test_missing_times_are_an_error_that_says_what_to_do(name: str, build: Build) -> None:
    model = build(MODELS[name])
    assert model.reads_times
    with pytest.raises(InputError, match=r"set model\.sequence\.time_\w+=false"):
        model(replace(history(model), times_BL=None))


@pytest.mark.parametrize("name", [n for n, s in MODELS.items() if s.get("time_gaps") or n == "hstu"])
def test_only_differences_of_times_matter(name: str, build: Build) -> None:
    model = build(MODELS[name]).eval()
    given = history(model)
    assert given.times_BL is not None
    states = model(given)[given.real()]
    later = replace(given, times_BL=given.times_BL + 12_345_678)
    torch.testing.assert_close(model(later)[given.real()], states, rtol=0, atol=0)
    slower = replace(given, times_BL=given.times_BL * 5)
    assert (model(slower)[given.real()] - states).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["sasrec", "esasrec", "bert4rec", "hstu"])
def test_heads_must_divide_the_width(kind: str, build: Build) -> None:
    with pytest.raises(InputError, match="heads=3 does not divide"):
        build({"type": kind}, heads=3)


def test_rotary_positions_need_heads_of_even_width(build: Build) -> None:
    with pytest.raises(InputError, match="even width"):
        build({"type": "sasrec"}, heads=16, positions="rotary")


def test_weights_and_configs_of_earlier_runs_still_load(build: Build) -> None:
    names = {"positions", "norm.weight", "norm.bias"}
    parts = ("norm_attention", "qkv", "out", "norm_feedforward", "feedforward.0", "feedforward.3")
    names |= {f"blocks.{i}.{part}.{end}" for i in (0, 1) for part in parts for end in ("weight", "bias")}
    assert set(build({"type": "sasrec"}, positions=True).state_dict()) == names
    assert set(build({"type": "sasrec"}, positions=False).state_dict()) == names - {"positions"}
