"""What only the decoder offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from crossrec.model.sequence import SequenceOptions
from crossrec.model.sequence.base import History
from crossrec.model.sequence.llm import drop_mlps, passed_on, remove_final_norm
from crossrec.training.config import TrainerConfig
from crossrec.training.trainer import build_optimizer
from crossrec.types import InputError

B, L, D = 3, 7, 16
LLM = {"type": "llm"}
Build = Callable[..., Any]


def clicks(seed: int = 0, rows: int = B) -> History:
    vectors = torch.randn(rows, L, D, generator=torch.Generator().manual_seed(seed))
    return History(vectors, torch.full((rows,), L))


def teach(model: Any) -> None:
    """Give the map back random weights, as if it had learned."""
    with torch.no_grad():
        model.out.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))


def test_the_untrained_model_asks_for_the_last_items_own_vector(build: Build) -> None:
    history = clicks()
    for changes in ({"layers": 1, "mlp": "drop"}, {"layers": 2, "positions": "learned"}, {"lora": None}):
        states = build(LLM, **changes).eval()(history)
        torch.testing.assert_close(F.cosine_similarity(states, history.vectors_BLD, dim=-1), torch.ones(B, L))
        assert states.square().mean(-1).sqrt().sub(1).abs().max() < 1e-3
    torch.testing.assert_close(build(LLM, layers=1, norm="none").eval()(history), history.vectors_BLD)
    assert (
        F.cosine_similarity(build(LLM, norm="layer").eval()(history), history.vectors_BLD, dim=-1).min() > 0.9
    )


@pytest.mark.parametrize("lora", [None, {"r": 2}])
def test_the_uncut_decoder_is_hugging_faces(build: Build, tiny_llama: Path, lora: Any) -> None:
    from transformers import AutoModel

    model = build(LLM, lora=lora).eval()
    theirs = AutoModel.from_pretrained(tiny_llama).eval()
    seen: list[torch.Tensor] = []
    model.decoder.register_forward_hook(
        lambda _, args, kwargs, result: seen.extend([kwargs["inputs_embeds"], result.last_hidden_state]),
        with_kwargs=True,
    )
    model(clicks())
    tokens, ours = seen
    torch.testing.assert_close(ours, theirs(inputs_embeds=tokens).last_hidden_state, rtol=1e-5, atol=1e-5)
    size = theirs.get_input_embeddings().weight.detach().norm(dim=1).mean()
    torch.testing.assert_close(tokens.detach().norm(dim=-1).mean(), size, rtol=1e-3, atol=0)


def test_a_cut_decoder_gets_a_fresh_final_norm_and_an_uncut_one_keeps_its_own(build: Build) -> None:
    def norms(**changes: Any) -> tuple[type, type]:
        model = build(LLM, lora=None, **changes)
        return type(model.decoder.norm), type(model.norm_states)

    own, fresh = norms(), (nn.Identity, nn.RMSNorm)
    assert own == norms(layers=3) == norms(layers=1, final_norm="pretrained")
    assert own[1] is nn.Identity
    assert fresh == norms(layers=2) == norms(mlp="drop") == norms(final_norm="fresh")


def test_without_its_mlp_a_layer_only_attends(build: Build) -> None:
    dropped = build(LLM, layers=2, mlp="drop", lora=None).eval()
    kept = build(LLM, layers=2, mlp="keep", lora=None).eval()
    assert not any("mlp" in name or "post_attention" in name for name, _ in dropped.named_parameters())
    tokens = torch.randn(B, L, 32)
    states = dropped.decoder(inputs_embeds=tokens).last_hidden_state
    assert (states - kept.decoder(inputs_embeds=tokens).last_hidden_state).abs().max() > 1e-3
    with torch.no_grad():
        for layer in kept.decoder.layers:
            layer.mlp.down_proj.weight.zero_()
    torch.testing.assert_close(states, kept.decoder(inputs_embeds=tokens).last_hidden_state)


def test_adapters_on_all_maps(build: Build) -> None:
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = build(LLM, layers=2, mlp="keep", lora={"r": 2, "target_modules": modules})
    adapted = {
        name.split(".lora_A")[0].rpartition(".")[2]
        for name, _ in model.named_parameters()
        if "lora_A" in name
    }
    assert adapted == set(modules)
    with pytest.raises(InputError, match=r"no gate_proj, up_proj, down_proj; there are k_proj, .*mlp=keep"):
        build(LLM, layers=2, lora={"r": 2, "target_modules": modules})


def effective_rank(model: Any) -> float:
    """Return that of what the layer adds to random clicks, each a history of its own."""
    tokens: list[torch.Tensor] = []
    handle = model.decoder.register_forward_hook(
        lambda _, args, kwargs, result: tokens.append(result.last_hidden_state - kwargs["inputs_embeds"]),
        with_kwargs=True,
    )
    with torch.no_grad():
        model(History(torch.randn(500, 1, D), torch.ones(500, dtype=torch.int64)))
    handle.remove()
    added = tokens[0].squeeze(1)
    powers = torch.linalg.svdvals(added - added.mean(0)).square()
    return float(powers.sum().square() / powers.square().sum())


def test_a_balanced_input_passes_through_the_first_layer_in_all_its_directions(build: Build) -> None:
    balanced, plain = (
        effective_rank(build(LLM, layers=1, input_map=kind).eval()) for kind in ("balanced", "orthogonal")
    )
    assert balanced > 0.75 * D > 1.4 * plain, (balanced, plain)
    assert type(build(LLM, layers=1, input_map="orthogonal").into) is nn.Linear


def test_parts_that_are_missing_are_named(build: Build) -> None:
    layers = nn.ModuleList([nn.Module()])
    with pytest.raises(InputError, match="mlp=keep"):
        drop_mlps(layers)
    with pytest.raises(InputError, match="input_map=orthogonal"):
        passed_on(nn.ModuleDict({"layers": layers}), "layers")
    with pytest.raises(InputError, match=r"2 norms.*final_norm=pretrained"):
        remove_final_norm(
            nn.ModuleDict({"layers": layers, "a": nn.LayerNorm(2), "b": nn.RMSNorm(2)}), "layers"
        )


def test_size_and_positions_of_incoming_tokens(build: Build) -> None:
    def tokens(**changes: Any) -> torch.Tensor:
        model = build(LLM, layers=1, **changes).eval()
        seen: list[torch.Tensor] = []
        model.decoder.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
        )
        model(History(torch.ones(1, L, D), torch.tensor([L])))
        return seen[0][0]

    plain, small, placed = (
        tokens(token_size=1),
        tokens(token_size=0.1),
        tokens(positions="learned", token_size=1),
    )
    torch.testing.assert_close(tokens(), 0.2 * plain)
    torch.testing.assert_close(tokens(mlp="keep"), plain)
    torch.testing.assert_close(small, 0.1 * plain)
    assert (plain == plain[0]).all()
    assert (placed[1:] - placed[0]).norm(dim=1).min() > 0
    assert (placed - plain).norm(dim=1).max() < 0.1 * plain.norm(dim=1).min()


def test_frozen_weights_in_bf16_and_adapters_in_fp32(build: Build) -> None:
    exact, rough = build(LLM, layers=2), build(LLM, layers=2, frozen_precision="bf16")
    for name, parameter in rough.decoder.named_parameters():
        expected = torch.float32 if parameter.requires_grad else torch.bfloat16
        assert parameter.dtype == expected, name
    for model in (exact, rough):
        teach(model)
        model.eval()
    difference = (rough(clicks()) - exact(clicks())).norm() / exact(clicks()).norm()
    assert 0 < difference < 0.02
    rough(clicks()).sum().backward()
    assert all(
        p.grad is not None and p.grad.dtype == torch.float32 for p in rough.parameters() if p.requires_grad
    )
    with pytest.raises(ValueError, match="lora=null"):
        build(LLM, lora=None, frozen_precision="bf16")


def moved_by_reversal(model: Any) -> float:
    """Return how far reversing all clicks but the last moves the last state, relative to its length."""
    history = clicks(1)
    order = [*reversed(range(L - 1)), L - 1]
    model.eval()
    with torch.no_grad():
        state = model.last(history)
        moved = model.last(replace(history, vectors_BLD=history.vectors_BLD[:, order])) - state
    return (moved.norm() / state.norm()).item()


def test_order_matters_to_it_as_to_sasrec(build: Build) -> None:
    """After a few steps of learning that the click before the last one comes again."""
    moved = []
    for settings in ({**LLM, "layers": 1, "dropout": 0.0}, {"type": "sasrec", "layers": 1, "dropout": 0.0}):
        model = build(settings)
        optimizer = build_optimizer(model, TrainerConfig(lr=0.02, encoder_lr=0.02))
        for step in range(40):
            history = clicks(2 + step, rows=32)
            expected = F.normalize(history.vectors_BLD[:, -2], dim=-1)
            loss = -(F.normalize(model.last(history), dim=-1) * expected).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        moved.append(moved_by_reversal(model))
    assert moved[1] > 0.5, moved
    assert moved[0] > 0.25 * moved[1], moved  # measured: 0.5


def test_weights_of_0_1_give_the_model_of_0_1(build: Build, tiny_llama: Path, tmp_path: Path) -> None:
    """Its LayerNorm after the sum, its decoder's own final norm, and its MLP."""
    from transformers import AutoModel

    options = TypeAdapter(SequenceOptions).validate_python(
        {**LLM, "weights": str(tiny_llama), "layers": 1, "mlp": "drop", "dropout": 0.0}
    )
    assert options.follow({"norm.weight": torch.ones(D)}) == options
    model = (
        options.follow({"norm.weight": torch.ones(D), "norm.bias": torch.zeros(D)}).build(D, tmp_path).eval()
    )
    teach(model)
    theirs = AutoModel.from_pretrained(tiny_llama).eval()
    theirs.layers = theirs.layers[:1]
    history = clicks()
    with torch.no_grad():
        size = theirs.get_input_embeddings().weight.norm(dim=1).mean()
        tokens = F.layer_norm(model.into(history.vectors_BLD), (32,)) * size / 32**0.5
        states = theirs(inputs_embeds=tokens).last_hidden_state
        expected = F.layer_norm(history.vectors_BLD + model.out(states), (D,))
        torch.testing.assert_close(model(history), expected, rtol=1e-5, atol=1e-5)
    assert {name for name in model.state_dict() if not name.startswith("decoder.")} == {
        "into.weight",
        "into.bias",
        "out.weight",
        "out.bias",
        "norm.weight",
        "norm.bias",
    }


def test_only_adapters_of_the_decoder_learn(build: Build) -> None:
    model = build(LLM, layers=2)
    trained = {n for n, p in model.decoder.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)


def test_cutting_keeps_the_first_layers(build: Build) -> None:
    whole = build(LLM, lora=None)
    cut = build(LLM, layers=2, mlp="keep", lora=None)
    assert len(cut.decoder.layers) == 2
    for ours, theirs in zip(cut.decoder.layers, whole.decoder.layers, strict=False):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    with pytest.raises(ValueError, match="only 3 layers"):
        build(LLM, layers=4)


def test_the_prompt_changes_states_but_not_their_number(build: Build) -> None:
    plain = build(LLM, layers=1).eval()
    prompted = build(LLM, layers=1, prompt="the shopper viewed").eval()
    teach(plain)
    prompted.load_state_dict(plain.state_dict())
    history = History(torch.randn(B, L, D), torch.full((B,), L))
    assert prompted(history).shape == (B, L, D)
    assert (prompted(history) - plain(history)).abs().max() > 1e-3


def test_peft_loads_the_adapter_by_itself_onto_the_uncut_decoder(
    build: Build, tiny_llama: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModel

    model = build(LLM, layers=2, mlp="keep").eval()
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if "lora_B" in label:
                parameter.normal_(std=0.1)
    adapter = model.adapter()
    assert adapter is not None
    adapter.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert len(saved) == 2 * 4 * 2  # layers, projections, factors
    loaded: Any = PeftModel.from_pretrained(AutoModel.from_pretrained(tiny_llama), tmp_path / "adapter")
    loaded.base_model.model.layers = loaded.base_model.model.layers[:2]
    loaded.base_model.model.norm = nn.Identity()
    loaded.config.num_hidden_layers = 2
    tokens = torch.randn(B, L, 32)
    ours = model.decoder(inputs_embeds=tokens).last_hidden_state
    theirs = loaded(inputs_embeds=tokens).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
