"""A pretrained decoder as the sequence model, tuned by LoRA."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from crossrec.model.sequence.base import History, SequenceModel, SequenceModelOptions
from crossrec.runtime.dropout import Dropout
from crossrec.runtime.weights import causal_lm, load_settings
from crossrec.runtime.weights.lora import LoRAOptions, attach_lora
from crossrec.types import InputError

if TYPE_CHECKING:
    from peft import PeftModel


class DecoderLoRAOptions(LoRAOptions):
    """LoRA with the defaults of a decoder: on all maps of its attention, with some dropout."""

    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class LLMSequenceModel(SequenceModel):
    """Pretrained decoder that reads item vectors through ``inputs_embeds`` after an optional text prompt.

    The decoder's weights are frozen but for LoRA adapters (all are trained when ``lora`` is null);
    the maps from item width to decoder width and back are trained in full. Incoming vectors are
    scaled to the size of the decoder's own token embeddings, which is what its first layer expects.

    Source: LoRA, Hu et al. 2022; items as soft tokens as in LLaRA (Liao et al. 2024) and HLLM
    (Chen et al. 2024).

    Args:
        options: decoder, layers kept, adapters, prompt.
        width: D of item vectors and hidden states.
        cache_dir: folder of converted weights.
    """

    class Options(SequenceModelOptions):
        """A Hugging Face decoder that reads item vectors through ``inputs_embeds``."""

        weights: str = Field(
            "package:smollm2-135m", description="local path, package:NAME, hub name, or random"
        )
        layers: int | None = Field(None, ge=1, le=1_000, description="keep only the first n layers")
        lora: DecoderLoRAOptions | None = Field(
            DecoderLoRAOptions(), description="null trains all of the decoder's weights"
        )
        prompt: str | None = Field(None, description="text before the items")
        dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate of the incoming item vectors")

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
            _check_layers(self.layers, settings.num_hidden_layers)
            prompt = 0 if self.prompt is None else len(tokenizer(self.prompt)["input_ids"])
            positions = getattr(settings, "max_position_embeddings", None)
            if positions is not None and prompt + self.max_length > positions:
                raise InputError(
                    f"model.sequence.max_length: {self.max_length} clicks and a prompt of {prompt} tokens "
                    f"are more than the decoder's {positions} positions"
                )

    prompt: Tensor

    def __init__(self, options: Options, width: int, cache_dir: Path) -> None:
        super().__init__()
        self.max_length = options.max_length
        language_model, tokenizer = causal_lm(options.weights, cache_dir)
        decoder = language_model.get_decoder()
        stack = _keep_first_layers(decoder, options.layers)
        embedding = decoder.get_input_embeddings().weight.detach()
        decoder_width = embedding.shape[1]
        self.register_buffer("prompt", _embed_prompt(options.prompt, tokenizer, embedding), persistent=False)
        self.token_size = float(embedding.float().norm(dim=1).mean())
        # Only the prompt needs token embeddings, and it is embedded already.
        decoder.set_input_embeddings(nn.Embedding(1, decoder_width))
        self.decoder = self._adapt(decoder, options, stack)
        self.into = nn.Linear(width, decoder_width)
        self.norm_in = nn.LayerNorm(decoder_width, elementwise_affine=False)
        self.dropout = Dropout(options.dropout)
        self.out = nn.Linear(decoder_width, width)
        nn.init.orthogonal_(self.into.weight)
        self.norm = nn.LayerNorm(width)

    def _adapt(self, decoder: Any, options: Options, stack: str) -> Any:
        decoder.config.use_cache = False
        decoder.get_input_embeddings().requires_grad_(False)
        self.has_adapter = options.lora is not None
        if options.lora is None:
            return decoder
        targets = _target_pattern(options.lora.target_modules, stack, options.layers)
        return attach_lora(decoder, options.lora, targets)

    def forward(self, history: History) -> Tensor:
        """Return hidden states (B, L, D); the prompt's own positions are cut off."""
        vectors_BLD = history.vectors_BLD
        tokens = self.norm_in(self.into(vectors_BLD)) * (self.token_size / self.into.out_features**0.5)
        tokens = self.dropout(tokens)
        prompt = self.prompt.to(tokens.dtype).expand(len(tokens), -1, -1)
        states = self.decoder(inputs_embeds=torch.cat([prompt, tokens], dim=1)).last_hidden_state
        # A residual connection around the decoder: it adds to the clicked item's own vector.
        return self.norm(vectors_BLD + self.out(states[:, prompt.shape[1] :]))

    def adapter(self) -> PeftModel | None:
        """Return peft's model; None if all weights are trained."""
        return self.decoder if self.has_adapter else None


def _check_layers(count: int | None, total: int) -> None:
    if count is not None and count > total:
        raise InputError(f"model.sequence.layers={count}, but the decoder has only {total} layers")


def _keep_first_layers(decoder: Any, count: int | None) -> str:
    """Truncate the decoder in place, and return the name of its stack of layers."""
    total = decoder.config.num_hidden_layers
    _check_layers(count, total)
    stacks = [n for n, m in decoder.named_modules() if isinstance(m, nn.ModuleList) and len(m) == total]
    if not stacks:
        raise InputError(f"model.sequence: found no stack of {total} layers in {type(decoder).__name__}")
    parent, _, name = stacks[0].rpartition(".")
    if count is not None:
        holder = decoder.get_submodule(parent)
        setattr(holder, name, getattr(holder, name)[:count])
        decoder.config.num_hidden_layers = count
    return stacks[0]


def _target_pattern(modules: tuple[str, ...], stack: str, layers: int | None) -> str:
    """Return a pattern of the adapted modules with layer numbers: it fits the uncut decoder as well."""
    numbers = r"\d+" if layers is None else "|".join(str(i) for i in range(layers))
    names = "|".join(re.escape(module) for module in modules)
    return rf"(.*\.)?{re.escape(stack)}\.({numbers})\.(.*\.)?({names})"


def _embed_prompt(prompt: str | None, tokenizer: Any, embedding: Tensor) -> Tensor:
    """Return (1, P, decoder width) embeddings of the prompt's tokens; P = 0 without a prompt."""
    if prompt is None:
        return embedding.new_zeros(1, 0, embedding.shape[1])
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    return embedding[ids[0]].unsqueeze(0).clone()
