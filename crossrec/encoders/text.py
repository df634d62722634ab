"""Text encoder: a transformers model, pooled to one vector per text."""

from __future__ import annotations

import hashlib
import inspect
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from crossrec.config import ComponentOptions
from crossrec.encoders.base import Encoder, EncoderPrecision, Tuning, without_type
from crossrec.runtime.weights import load_model, load_settings
from crossrec.runtime.weights.lora import LoRAOptions
from crossrec.types import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


class Pooling(StrEnum):
    """Pooling of the tokens' vectors."""

    MEAN = "mean"
    CLS = "cls"


class TextEncoder(Encoder):
    """Any ``transformers`` model with ``last_hidden_state``, pooled to one vector per text.

    Of an encoder-decoder, the encoder is used.

    Args:
        options: weights, pooling, and trained parameters.
        cache_dir: folder of converted weights.

    Raises:
        WeightsError: if the weights can't be loaded; the message lists the ways to get them.
        InputError: if ``max_tokens`` exceeds the model's maximum, or no layer has a name in
            ``lora.target_modules``.
    """

    class Options(ComponentOptions):
        """Any encoder of ``transformers``, pooled to one vector per text."""

        weights: str = Field(
            default="package:minilm", description="path, package:NAME, hub:ORG/NAME or random"
        )
        architecture: str = Field(
            default="package:minilm",
            description="source of settings and tokenizer with weights: random",
        )
        seed: int = Field(default=0, ge=0, description="seed of the initialisation with weights: random")
        pooling: Pooling = Pooling.MEAN
        max_tokens: int = Field(
            default=128, ge=2, le=1_000_000, description="maximum length of a text; longer ones are cut"
        )
        training: Tuning = Tuning.FROZEN
        lora: LoRAOptions = LoRAOptions()
        batch_size: int = Field(
            default=64, ge=1, le=10_000_000, description="number of texts encoded at once"
        )
        precision: EncoderPrecision = EncoderPrecision.AUTO

        _type = model_validator(mode="before")(without_type("transformer"))

        def check(self, cache_dir: Path) -> None:
            """Check the options, from the tokenizer and the model's settings alone.

            Raises:
                InputError: if weights can't be loaded, or ``max_tokens`` exceeds the model's maximum.
            """
            settings, tokenizer = load_settings(self.weights, cache_dir, self.architecture)
            _check_length(self.max_tokens, tokenizer, settings)

    def __init__(self, options: Options, cache_dir: Path) -> None:
        from transformers import AutoModel

        model, tokenizer = load_model(
            AutoModel, options.weights, cache_dir, options.architecture, options.seed
        )
        backbone = _without_unused_parts(model)
        super().__init__(backbone, training=options.training, lora=options.lora, precision=options.precision)
        _check_length(options.max_tokens, tokenizer, model.config)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.tokenizer = tokenizer
        self.pooling, self.max_tokens, self.batch_size = (
            options.pooling,
            options.max_tokens,
            options.batch_size,
        )
        self.width = int(model.config.get_text_config().hidden_size)

    @property
    def identity(self) -> str:
        """Identity of weights (by content) and preprocessing: the key of cached features."""
        return self._identity(
            f"text|tokenizer={tokenizer_digest(self.tokenizer)}"
            f"|max_tokens={self.max_tokens}|pooling={self.pooling}"
        )

    def tokenize(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Return the tokens of B texts, padded to the longest.

        Returns:
            ``input_ids`` and ``attention_mask``, each (B, L) int64; an empty text has at least one token.
        """
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_attention_mask=True
        )
        ids_BL = torch.as_tensor(tokens["input_ids"], dtype=torch.long)
        mask_BL = torch.as_tensor(tokens["attention_mask"], dtype=torch.long)
        if ids_BL.shape[1] == 0:
            ids_BL = torch.full((len(texts), 1), int(self.tokenizer.pad_token_id))
            mask_BL = torch.zeros_like(ids_BL)
        # A tokenizer without special tokens returns no token for "": padding replaces it.
        mask_BL[:, 0] = 1
        return {"input_ids": ids_BL, "attention_mask": mask_BL}

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encode tokens.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 for real tokens, followed by padding on the right.

        Returns:
            (B, D) vectors, not normalised.
        """
        hidden_BLD = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling is Pooling.CLS:
            return hidden_BLD[:, 0]
        mask_BL1 = attention_mask.unsqueeze(-1).to(hidden_BLD.dtype)
        return (hidden_BLD * mask_BL1).sum(1) / mask_BL1.sum(1)

    @torch.no_grad()
    def encode(self, texts: list[str]) -> np.ndarray:
        """Encode texts in evaluation mode, batching texts of similar length.

        Returns:
            (B, D) float32, in the order of ``texts``.
        """
        vectors_BD = np.zeros((len(texts), self.width), np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        was_training = self.training
        self.eval()
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            tokens = self.tokenize([texts[row] for row in rows])
            with self.autocast():
                output_BD = self(**{name: tensor.to(self.device) for name, tensor in tokens.items()})
            vectors_BD[rows] = output_BD.float().cpu().numpy()
        self.train(was_training)
        return vectors_BD


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of the vocabulary and of all rules that turn text into tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    else:
        # Padding and truncation are the state of the last call.
        everything = json.loads(backend.to_str())
        rules = [everything[name] for name in sorted(everything.keys() - {"padding", "truncation"})]
    return hashlib.blake2b(json.dumps(rules).encode(), digest_size=8).hexdigest()


def _check_length(max_tokens: int, tokenizer: PreTrainedTokenizerBase, settings: PretrainedConfig) -> None:
    positions = getattr(settings.get_text_config(), "max_position_embeddings", None)
    most = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
    if max_tokens > most:
        raise InputError(f"max_tokens={max_tokens}, but this model takes at most {most}")


def _without_unused_parts(model: PreTrainedModel) -> nn.Module:
    """Drop what pooled last states don't use: parameters without gradient stop distributed training."""
    backbone = model.get_encoder() if model.config.is_encoder_decoder else model
    if "add_pooling_layer" in inspect.signature(type(backbone).__init__).parameters:
        backbone.pooler = None
    elif isinstance(getattr(backbone, "pooler", None), nn.Module):
        backbone.pooler = nn.Identity()
    return backbone
