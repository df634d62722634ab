"""A pretrained decoder as the sequence model, tuned by LoRA."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from crossrec.model.sequence.base import History, SequenceModel, SequenceModelOptions
from crossrec.model.sequence.layers import learned_positions, make_norm
from crossrec.runtime.dropout import Dropout
from crossrec.runtime.weights import causal_lm, load_settings
from crossrec.runtime.weights.decoders import (
    DecoderLoRAOptions,
    check_layers,
    check_targets,
    keep_first_layers,
    layer_stack,
    stack_holder,
    target_pattern,
)
from crossrec.runtime.weights.lora import attach_lora
from crossrec.types import InputError

if TYPE_CHECKING:
    from peft import PeftModel


SMALL_TOKENS = 0.2
"""Length of items, in mean token embeddings, for layers that only attend: what they add isn't drowned."""

KEY = "model.sequence"

FORM_OF_0_1 = {
    "mlp": "keep",
    "final_norm": "pretrained",
    "frozen_precision": "fp32",
    "input_map": "orthogonal",
    "token_size": 1.0,
    "positions": "decoder",
    "norm": "layer",
}
"""Options of the model as version 0.1 had it."""


class LLMSequenceModel(SequenceModel):
    """Pretrained decoder that reads item vectors through ``inputs_embeds`` after an optional text prompt.

    The decoder's weights are frozen but for LoRA adapters (all are trained when ``lora`` is null); the maps
    from item width to decoder width and back are trained in full. Incoming vectors are scaled relative to the
    decoder's own token embeddings. The map back starts at zero and its result is added to the clicked item's
    vector: an untrained model recommends what is similar to the last click.

    The map into the decoder is balanced against the first layer: of random vectors of D = 64, its attention
    passes on an effective rank of 5 in SmolLM2 (41 with random weights), which learns slowly; of balanced
    ones, 57. Small tokens keep the residual stream from drowning what attention adds.

    Source: LoRA, Hu et al. 2022; items as soft tokens as in LLaRA (Liao et al. 2024) and HLLM (Chen et al.
    2024); zero-initialised update as in ReZero (Bachlechner et al. 2021); learning rates by width, Yang et
    al. 2022 (muP, table 8: Adam's rate of an output map falls with its input width).

    Args:
        options: decoder, parts kept, adapters, prompt.
        width: D of item vectors and hidden states.
        cache_dir: folder of converted weights.
    """

    class Options(SequenceModelOptions):
        """A Hugging Face decoder that reads item vectors through ``inputs_embeds``."""

        weights: str = Field(
            "package:smollm2-135m", description="local path, package:NAME, hub name, or random"
        )
        layers: int | None = Field(None, ge=1, le=1_000, description="keep only the first n layers")
        mlp: Literal["auto", "keep", "drop"] = Field(
            "auto",
            description="whether layers keep their MLP; without it they only attend; auto drops it if layers "
            "are missing",
        )
        final_norm: Literal["auto", "pretrained", "fresh"] = Field(
            "auto",
            description="norm of the last states: the decoder's own, which is fitted to its last layer, or "
            "one without weights; auto takes a fresh one if layers or MLPs are missing",
        )
        lora: DecoderLoRAOptions | None = Field(
            DecoderLoRAOptions(), description="null trains all of the decoder's weights"
        )
        frozen_precision: Literal["fp32", "bf16"] = Field(
            "fp32", description="precision of frozen weights and of states; adapters stay in fp32"
        )
        prompt: str | None = Field(None, description="text before the items")
        input_map: Literal["balanced", "orthogonal"] = Field(
            "balanced",
            description="initial map from item vectors: balanced makes all their directions equally large "
            "in what the first layer's attention passes on",
        )
        token_size: float | None = Field(
            None,
            gt=0,
            le=1_000,
            description="length of incoming vectors, in mean token embeddings; null takes 1, or 0.2 without "
            "MLPs",
        )
        positions: Literal["decoder", "learned"] = Field(
            "decoder", description="learned adds one vector per position to the decoder's own positions"
        )
        norm: Literal["rms", "layer", "none"] = Field(
            "rms", description="norm of the sum of item vector and update"
        )
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate of the incoming item vectors")

        @model_validator(mode="after")
        def _something_is_frozen(self) -> Self:
            if self.frozen_precision != "fp32" and self.lora is None:
                raise ValueError(
                    "frozen_precision=bf16 with lora=null: all weights are trained and stay in fp32; "
                    "set frozen_precision=fp32, or give lora"
                )
            return self

        @property
        def pretrained(self) -> bool:
            """Whether the model contains pretrained weights: always."""
            return True

        @property
        def has_adapters(self) -> bool:
            """Whether LoRA is on."""
            return self.lora is not None

        def check(self, cache_dir: Path) -> None:
            """Check the options, from the decoder's configuration alone.

            Raises:
                InputError: if weights can't be loaded, or there are fewer layers than ``layers``, or fewer
                    positions than ``max_length``.
            """
            settings, tokenizer = load_settings(self.weights, cache_dir, "package:smollm2-135m")
            settings = settings.get_text_config()
            check_layers(self.layers, settings.num_hidden_layers, KEY)
            prompt = 0 if self.prompt is None else len(tokenizer(self.prompt)["input_ids"])
            positions = getattr(settings, "max_position_embeddings", None)
            if positions is not None and prompt + self.max_length > positions:
                raise InputError(
                    f"model.sequence.max_length: {self.max_length} clicks and a prompt of {prompt} tokens "
                    f"are more than the decoder's {positions} positions"
                )

        def follow(self, saved: Mapping[str, Tensor]) -> Self:
            """Return the form of version 0.1 if the weights have its LayerNorm."""
            if self.norm == "layer" or "norm.bias" not in saved:
                return self
            return self.model_copy(update=FORM_OF_0_1)

    prompt: Tensor

    def __init__(self, options: Options, width: int, cache_dir: Path) -> None:
        super().__init__()
        self.max_length = options.max_length
        language_model, tokenizer = causal_lm(options.weights, cache_dir)
        decoder = language_model.get_decoder()
        stack = layer_stack(decoder, KEY)
        cut = options.layers is not None and options.layers < decoder.config.num_hidden_layers
        drop = options.mlp == "drop" or (options.mlp == "auto" and cut)
        fresh_norm = options.final_norm == "fresh" or (options.final_norm == "auto" and (cut or drop))
        keep_first_layers(decoder, stack, options.layers, KEY)
        if drop:
            drop_mlps(decoder.get_submodule(stack))
        embedding = decoder.get_input_embeddings().weight.detach()
        decoder_width = embedding.shape[1]
        self.norm_states: nn.Module = nn.Identity()
        if fresh_norm:
            remove_final_norm(decoder, stack)
            # Its gain would repeat the map that follows.
            self.norm_states = nn.RMSNorm(decoder_width, eps=1e-5, elementwise_affine=False)
        attention_map = passed_on(decoder, stack) if options.input_map == "balanced" else None
        self.register_buffer("prompt", _embed_prompt(options.prompt, tokenizer, embedding), persistent=False)
        relative_size = options.token_size or (SMALL_TOKENS if drop else 1.0)
        self.token_size = relative_size * float(embedding.float().norm(dim=1).mean())
        # Only the prompt needs token embeddings, and it is embedded already.
        decoder.set_input_embeddings(nn.Embedding(1, decoder_width))
        self.decoder = self._adapt(decoder, options, stack)
        self.dtype = torch.bfloat16 if options.frozen_precision == "bf16" else None
        self.into = nn.Linear(width, decoder_width)
        if attention_map is None:
            nn.init.orthogonal_(self.into.weight)
        else:
            _balance(self.into, attention_map)
        self.norm_in = nn.LayerNorm(decoder_width, elementwise_affine=False)
        self.positions: nn.Parameter | None = None
        if options.positions == "learned":
            self.positions = learned_positions(options.max_length, decoder_width)
        self.dropout = Dropout(options.dropout)
        self.out = _OutputMap(decoder_width, width)
        self.norm: nn.Module = nn.Identity() if options.norm == "none" else make_norm(options.norm, width)

    def _adapt(self, decoder: Any, options: Options, stack: str) -> Any:
        decoder.config.use_cache = False
        decoder.get_input_embeddings().requires_grad_(False)
        self.has_adapter = options.lora is not None
        if options.lora is None:
            return decoder
        modules = options.lora.target_modules
        hint = " (those of an MLP only with model.sequence.mlp=keep)"
        check_targets(decoder.get_submodule(stack), modules, KEY, hint)
        adapted = attach_lora(decoder, options.lora, target_pattern(modules, stack, options.layers))
        if options.frozen_precision == "bf16":
            for parameter in adapted.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.bfloat16()
        return adapted

    def forward(self, history: History) -> Tensor:
        """Return hidden states (B, L, D); the prompt's own positions are cut off."""
        vectors_BLD = history.vectors_BLD
        tokens = self.norm_in(self.into(vectors_BLD))
        if self.positions is not None:
            tokens = tokens + self.positions[: tokens.shape[1]].to(tokens.dtype)
        tokens = self.dropout(tokens * (self.token_size / self.into.out_features**0.5))
        prompt = self.prompt.to(tokens.dtype).expand(len(tokens), -1, -1)
        tokens = torch.cat([prompt, tokens], dim=1)
        if self.dtype is not None:
            tokens = tokens.to(self.dtype)
        states = self.decoder(inputs_embeds=tokens).last_hidden_state[:, prompt.shape[1] :]
        update_BLD = self.out(self.norm_states(states.to(vectors_BLD.dtype)))
        return self.norm(vectors_BLD + update_BLD)

    def adapter(self) -> PeftModel | None:
        """Return peft's model; None if all weights are trained."""
        return self.decoder if self.has_adapter else None


def drop_mlps(layers: nn.Module) -> None:
    """Replace the MLP of each layer by zeros, and its norm by the identity, in place.

    Raises:
        InputError: if it can't be told which parts these are.
    """
    for layer in layers.children():
        norms = [name for name, module in layer.named_children() if _is_norm(module)]
        if not hasattr(layer, "mlp") or len(norms) > 2:
            raise InputError(
                f"model.sequence.mlp: {type(layer).__name__} has no part named mlp, or more norms than one "
                "for it and one for attention; set model.sequence.mlp=keep"
            )
        layer.mlp = _NoUpdate()
        # A layer whose MLP runs beside attention may have one norm for both.
        for name in norms[1:]:
            setattr(layer, name, nn.Identity())


def remove_final_norm(decoder: Any, stack: str) -> None:
    """Replace the norm after the last layer by the identity, in place.

    Raises:
        InputError: if it can't be told which module it is.
    """
    holder, _ = stack_holder(decoder, stack)
    norms = [name for name, module in holder.named_children() if _is_norm(module)]
    if len(norms) != 1:
        raise InputError(
            f"model.sequence.final_norm: {type(holder).__name__} has {len(norms)} norms beside its layers "
            f"({', '.join(norms) or 'none'}), so the final one is unknown; set "
            "model.sequence.final_norm=pretrained"
        )
    setattr(holder, norms[0], nn.Identity())


@torch.no_grad()
def passed_on(decoder: Any, stack: str) -> Tensor:
    """Return the matrix (W, W) from a token to what the first layer's attention makes of it alone.

    It is the product of norm gain, value and output maps. In a pretrained first layer few of its singular
    values are large.

    Raises:
        InputError: if the layer has no part that is recognized as its attention.
    """
    layer = decoder.get_submodule(stack)[0]
    parts = [module for name, module in layer.named_children() if name.endswith(("attn", "attention"))]
    if len(parts) != 1:
        raise InputError(
            f"model.sequence.input_map=balanced: {type(layer).__name__} has {len(parts)} parts named "
            "attention; set model.sequence.input_map=orthogonal"
        )
    found: list[Tensor] = []
    handle = parts[0].register_forward_hook(
        lambda _, __, result: found.append(result[0] if isinstance(result, tuple) else result)
    )
    width = decoder.config.hidden_size
    # A pair of opposite tokens, each a sequence of its own, cancels biases.
    units = torch.eye(width) * width**0.5
    decoder(inputs_embeds=torch.cat([units, -units]).unsqueeze(1), use_cache=False)
    handle.remove()
    plus, minus = found[0].squeeze(1).chunk(2)
    return (plus - minus).T / 2


@torch.no_grad()
def _balance(into: nn.Linear, attention_map: Tensor) -> None:
    """Initialise the map from item vectors so that ``attention_map`` after it has equal singular values.

    Where ``attention_map`` has too low a rank, the values of the remaining directions stay smaller.
    """
    width = into.in_features
    _, sizes, directions = torch.linalg.svd(attention_map)
    rows = min(width, len(sizes))
    sizes = sizes[:rows].clamp(min=float(sizes[0]) * 1e-3)
    rotation = nn.init.orthogonal_(torch.empty(rows, width))
    weight = (directions[:rows].T / sizes) @ rotation
    into.weight.copy_(weight / weight.square().mean().sqrt() * width**-0.5)
    into.bias.zero_()


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


class _NoUpdate(nn.Module):
    """Zero in place of a part whose result is added to its input."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.new_zeros(())


class _OutputMap(nn.Linear):
    """Linear map that starts at zero and learns at a rate that falls with its input width.

    Attributes:
        lr_scale: factor of the learning rate, read by the optimizer.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__(width, out)
        self.lr_scale = min(1.0, out / width)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def _embed_prompt(prompt: str | None, tokenizer: Any, embedding: Tensor) -> Tensor:
    """Return (1, P, decoder width) embeddings of the prompt's tokens; P = 0 without a prompt."""
    if prompt is None:
        return embedding.new_zeros(1, 0, embedding.shape[1])
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    return embedding[ids[0]].unsqueeze(0).clone()
