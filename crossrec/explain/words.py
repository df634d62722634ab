"""Effects of the words in the scored item's text on its score."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.encoders.text import TextEncoder
from crossrec.explain.content import TEXT, ItemContent, check_feature, scores_of_raw, text_encoder
from crossrec.explain.explanation import Unavailable, Word, WordWeights
from crossrec.explain.score import Pair, integrated_gradients, sharing_copy

STEPS = 16
"""Number of points of the quadrature; the whole encoder runs at each."""
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
LETTERS = rf"(?:(?![{CJK}])[^\W_])+"
WORD = re.compile(rf"[{CJK}]|{LETTERS}(?:['\u2019-]{LETTERS})*")
"""Letters and digits, joined by apostrophes and hyphens; a Chinese or Japanese character by itself."""


@dataclass(frozen=True)
class TextInput:
    """A text and its path to a score.

    Args:
        encoder: text encoder.
        text: text of the catalogue.
        raw_scores: function from encoder output (B, W) to scores (B,).
        modality: name of the modality.
    """

    encoder: TextEncoder
    text: str
    raw_scores: Callable[[Tensor], Tensor]
    modality: str = TEXT

    @classmethod
    def of(cls, pair: Pair, content: ItemContent, name: str | None = None) -> TextInput:
        """Read a text of the scored item, and check that it is the one that the model encoded.

        Args:
            pair: history and item.
            content: catalogue and encoders.
            name: name of the modality; the first text that the item has when None.

        Raises:
            Unavailable: if the model reads no texts, or the item has none.
            InputError: if the text's feature differs from the model's.
        """
        name = content.names(pair, TEXT)[0] if name is None else name
        encoder = text_encoder(pair, content, name).eval()
        encoder.to(pair.features_KMD.device)
        (text,) = content.catalog.texts(np.asarray([pair.item]), content.column(name) or TEXT)
        read = cls(encoder, text, scores_of_raw(pair, name), name)
        check_feature(pair, content, name, read.raw([text])[0])
        return read

    def raw(self, texts: list[str]) -> Tensor:
        """Return (B, W) encoder output."""
        return torch.from_numpy(self.encoder.encode(texts)).to(self.encoder.device)

    @torch.no_grad()
    def scores(self, texts: list[str]) -> np.ndarray:
        """Return (B,) float64 scores with other texts in place of the item's."""
        return self.raw_scores(self.raw(texts)).double().cpu().numpy()


def word_weights(read: TextInput, steps: int = STEPS) -> WordWeights:
    """Return integrated gradients over the token embeddings, summed by word.

    In the baseline each token is the padding token; tokens added by the tokenizer, such as [CLS], stay.

    Args:
        read: text and its path to a score.
        steps: number of points of the quadrature.

    Raises:
        Unavailable: if the tokenizer does not report token offsets.

    Source:
        Sundararajan et al. 2017, section 6 (there texts have embeddings of zeros as the baseline).
    """
    encoder = read.encoder
    spans = token_spans(encoder, read.text)
    tokens = {name: value.to(encoder.device) for name, value in encoder.tokenize([read.text]).items()}
    twin = sharing_copy(encoder, encoder.tokenizer)
    base = _base_model(twin)
    table = base.get_input_embeddings()
    given = _Given()
    base.set_input_embeddings(given)
    ids_1L = tokens["input_ids"]
    with torch.no_grad():
        known_LE = table(ids_1L)[0]
        blank_LE = table(torch.full_like(ids_1L, int(encoder.tokenizer.pad_token_id)))[0]
    written_L1 = torch.tensor([[end > start] for start, end in spans], device=encoder.device)

    def scores(vectors_BLE: Tensor) -> Tensor:
        given.vectors_BLE = vectors_BLE
        repeated = {name: value.expand(len(vectors_BLE), -1) for name, value in tokens.items()}
        return read.raw_scores(twin(**repeated).float())

    found = integrated_gradients(scores, known_LE, torch.where(written_L1, blank_LE, known_LE), steps)
    weights_L = found.values.sum(1).double().cpu().numpy()
    words = merged(read.text, spans, weights_L)
    return WordWeights(
        text=read.text,
        words=words,
        rest=float(weights_L.sum() - sum(word.weight for word in words)),
        cut=max(end for _, end in spans) <= max((m.start() for m in WORD.finditer(read.text)), default=-1),
        completeness=found.completeness,
        modality=read.modality,
    )


class _Given(nn.Module):
    """Replacement of an embedding table that returns given vectors."""

    vectors_BLE: Tensor

    def forward(self, ids_BL: Tensor) -> Tensor:
        return self.vectors_BLE


def _base_model(encoder: TextEncoder) -> Any:
    adapter = encoder.adapter()
    return encoder.backbone if adapter is None else adapter.get_base_model()


def token_spans(encoder: TextEncoder, text: str) -> list[tuple[int, int]]:
    """Return each token's first character and the one after its last; equal for tokens without text.

    Raises:
        Unavailable: if the tokenizer does not report them.
    """
    tokenizer = encoder.tokenizer
    if not tokenizer.is_fast:
        raise Unavailable(f"{type(tokenizer).__name__} does not report the positions of its tokens")
    found = tokenizer(text, truncation=True, max_length=encoder.max_tokens, return_offsets_mapping=True)
    return [(int(start), int(end)) for start, end in found["offset_mapping"]]


def merged(text: str, spans: list[tuple[int, int]], weights_L: np.ndarray) -> tuple[Word, ...]:
    """Return words with the sum of their tokens' weights; a token belongs to the word that it overlaps most.

    Args:
        text: text that was read.
        spans: spans of L tokens.
        weights_L: (L,) weights of the tokens.

    Returns:
        The words with at least one token, in order.
    """
    places = [match.span() for match in WORD.finditer(text)]
    sums: dict[int, float] = {}
    for (start, end), weight in zip(spans, weights_L.tolist(), strict=True):
        overlaps = [min(end, last) - max(start, first) for first, last in places]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] > 0:
            sums[best] = sums.get(best, 0.0) + weight
    return tuple(Word(text[slice(*places[number])], *places[number], sums[number]) for number in sorted(sums))


def scores_with_words(read: TextInput, words: tuple[Word, ...], kept_VW: np.ndarray) -> np.ndarray:
    """Return (V,) float64 scores with some words removed from the text.

    Args:
        read: text and its path to a score.
        words: W of its words.
        kept_VW: (V, W) bool, words kept in each variant.
    """
    return read.scores([_without(read.text, words, kept_W) for kept_W in kept_VW])


def _without(text: str, words: tuple[Word, ...], kept_W: np.ndarray) -> str:
    for word in [word for word, kept in zip(words, kept_W, strict=True) if not kept][::-1]:
        text = text[: word.start] + text[word.end :]
    return text
