"""Text encoder: a transformers model, pooled to one vector a text."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from crossrec.encoders.base import Encoder
from crossrec.encoders.config import Pooling, Precision, TextEncoderConfig, Training
from crossrec.runtime.weights import LoRAOptions, load_model, load_settings
from crossrec.types import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def build_text_encoder(config: TextEncoderConfig, cache_dir: Path) -> TextEncoder:
    """Loads tokenizer and weights as the config says.

    Raises:
        WeightsError: the weights can't be had; the message lists the ways.
        InputError: ``max_tokens`` is more than the model takes, or no layer is named as LoRA asks.
    """
    model, tokenizer = load_model(AutoModel, config.weights, cache_dir, config.architecture, config.seed)
    return TextEncoder(
        model,
        tokenizer,
        pooling=config.pooling,
        max_tokens=config.max_tokens,
        batch_size=config.batch_size,
        training=config.training,
        lora=config.lora,
        precision=config.precision,
    )


def check_text_encoder(config: TextEncoderConfig, cache_dir: Path) -> None:
    """Refuses what :func:`build_text_encoder` would, from the tokenizer and the model's settings alone.

    Raises:
        InputError: weights can't be had, or ``max_tokens`` is more than the model takes.
    """
    settings, tokenizer = load_settings(config.weights, cache_dir, config.architecture)
    _check_length(config.max_tokens, tokenizer, settings)


def _check_length(max_tokens: int, tokenizer: PreTrainedTokenizerBase, settings: PretrainedConfig) -> None:
    positions = getattr(settings.get_text_config(), "max_position_embeddings", None)
    most = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
    if max_tokens > most:
        raise InputError(f"max_tokens={max_tokens}, but this model takes at most {most}")


class TextEncoder(Encoder):
    """Tokens to one vector a text.

    Args:
        model: any transformers model with ``last_hidden_state``; of an encoder-decoder, the encoder.
        tokenizer: its tokenizer.
        pooling: mean over real tokens, or the first token.
        max_tokens: a longer text is cut.
        batch_size: texts encoded at once.
        training: which parameters learn.
        lora: settings of the adapters.
        precision: arithmetic of :meth:`encode`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pooling: Pooling = Pooling.MEAN,
        max_tokens: int = 128,
        batch_size: int = 64,
        training: Training = Training.FROZEN,
        lora: LoRAOptions | None = None,
        precision: Precision = Precision.AUTO,
    ) -> None:
        backbone = _without_unused_parts(model)
        super().__init__(backbone, training=training, lora=lora or LoRAOptions(), precision=precision)
        _check_length(max_tokens, tokenizer, model.config)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.tokenizer = tokenizer
        self.pooling, self.max_tokens, self.batch_size = pooling, max_tokens, batch_size
        self.width = int(model.config.get_text_config().hidden_size)

    @property
    def identity(self) -> str:
        """Names weights (by content) and preprocessing: the key of cached features."""
        return self._identity(
            f"text|tokenizer={tokenizer_digest(self.tokenizer)}"
            f"|max_tokens={self.max_tokens}|pooling={self.pooling}"
        )

    def tokenize(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Tokens of B texts, padded to the longest.

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
        # A tokenizer without special tokens makes nothing of "": its padding stands for it.
        mask_BL[:, 0] = 1
        return {"input_ids": ids_BL, "attention_mask": mask_BL}

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encodes tokens.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L) 1 for real tokens, on the right of which is padding.

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
        """Encodes texts in evaluation mode, those of like length together.

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
    """A hash of the vocabulary and of all rules that turn text into tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules = [type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())]
    else:
        # Padding and truncation are the state of the last call.
        everything = json.loads(backend.to_str())
        rules = [everything[name] for name in sorted(everything.keys() - {"padding", "truncation"})]
    return hashlib.blake2b(json.dumps(rules).encode(), digest_size=8).hexdigest()


def _without_unused_parts(model: PreTrainedModel) -> nn.Module:
    """Drops what pooled last states don't use: parameters without gradient stop distributed training."""
    backbone = model.get_encoder() if model.config.is_encoder_decoder else model
    if "add_pooling_layer" in inspect.signature(type(backbone).__init__).parameters:
        backbone.pooler = None
    elif isinstance(getattr(backbone, "pooler", None), nn.Module):
        backbone.pooler = nn.Identity()
    return backbone
