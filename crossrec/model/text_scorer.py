"""A language model that reads titles and scores candidates: options, prompts and network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import Component, ComponentOptions
from crossrec.encoders.base import EncoderPrecision
from crossrec.runtime.device import computes_bf16
from crossrec.runtime.weights import causal_lm, load_settings
from crossrec.runtime.weights.decoders import (
    DecoderLoRAOptions,
    check_layers,
    check_targets,
    keep_first_layers,
    layer_stack,
    target_pattern,
)
from crossrec.runtime.weights.lora import attach_lora
from crossrec.types import ABSENT, InputError, Sequences
from crossrec.vectors import pad_rows

KEY = "text_scorer"
HISTORY, ITEM = "{history}", "{item}"
SEPARATOR = ";"
"""Text between two titles of a history."""
TOKENS = {"cpu": 4_096}
"""Maximum number of tokens per forward pass (65,536 on other devices)."""
GROUP = 16
"""Number of candidates of a user per forward pass."""
LOGITS = 1 << 26
"""Maximum number of logits in memory at a time, 256 MiB."""


class TextScorer(Component, nn.Module):
    """Decoder that reads the titles of a history and of a candidate, and scores the candidate.

    The score is the difference of the logits of two answers after the prompt (``yes_no``), or the mean log
    probability of the candidate's title after the history (``title``). The part of the prompt before the
    candidate is encoded once per history. Candidates are read behind its keys and values in the same
    forward pass; an attention mask keeps them apart, so that a score doesn't depend on other candidates.

    Source: prompts as in TALLRec (Bao et al. 2023); soft item tokens beside titles as in LLaRA (Liao et al.
    2024) and CoLLM (Zhang et al. 2023); LoRA, Hu et al. 2022.

    Args:
        options: decoder, prompt, adapters.
        titles: N titles; "" for an item without one, which gets no score.
        width: width of the first stage's item vectors, which ``item_tokens`` reads.
        cache_dir: folder of converted weights.
        seed: seed of the adapters' initialization.

    Attributes:
        mix_weight: weight of the score beside the first stage's; NaN until it is chosen.
        center: score that counts as 0; an item without a title has it.
    """

    class Options(ComponentOptions):
        """A language model that scores the best candidates of the model by their titles."""

        weights: str = Field(
            "package:smollm2-135m", description="local path, package:NAME, hub name, or random"
        )
        layers: int | None = Field(None, ge=1, le=1_000, description="keep only the first n layers")
        lora: DecoderLoRAOptions | None = Field(
            DecoderLoRAOptions(), description="null trains all of the decoder's weights"
        )
        precision: EncoderPrecision = Field(
            EncoderPrecision.AUTO, description="auto computes in bf16 where the hardware supports it natively"
        )
        column: str = Field("title", description="column of the catalog that is read")
        title_tokens: int = Field(16, ge=1, le=10_000, description="tokens after which a title is cut")
        history: int = Field(10, ge=1, le=10_000, description="last clicks of a history that are read")
        prompt: str = Field(
            "A shopper viewed, oldest first: {history}\nDoes this shopper view next: {item}? Answer:",
            description="text with {history} and, behind it, {item}; score: title reads up to {item}",
        )
        score: Literal["yes_no", "title"] = Field(
            "yes_no",
            description="logit of the first answer minus that of the second, or likelihood of titles",
        )
        answers: tuple[str, str] = Field(("yes", "no"), description="the two answers of yes_no")
        item_tokens: bool = Field(
            False, description="read the model's item vector before each title, mapped to a soft token"
        )
        candidates: int = Field(50, ge=1, le=10_000, description="best items of the model that are scored")
        weight: float | None = Field(
            None, ge=0, description="weight of the score beside the model's; null chooses it on validation"
        )
        queries: int = Field(500, ge=1, description="validation queries on which the weight is chosen")
        steps: int = Field(500, ge=0, le=10_000_000, description="steps of the tuning; 0 leaves it untuned")
        batch_size: int = Field(8, ge=1, le=100_000, description="training clicks per step")
        lr: float = Field(2e-4, gt=0, le=100, description="rate of AdamW, with warm-up and cosine decay")
        negatives: int = Field(7, ge=1, le=10_000, description="other items that compete with each click")
        hard_negatives: float = Field(
            0.5,
            ge=0,
            le=1,
            description="share of the negatives from the model's candidates; the others by popularity",
        )

        @model_validator(mode="after")
        def _prompt_has_places(self) -> Self:
            places = [self.prompt.count(name) for name in (HISTORY, ITEM)]
            if places != [1, 1] or self.prompt.index(HISTORY) > self.prompt.index(ITEM):
                raise ValueError(
                    f"prompt needs {HISTORY} once and {ITEM} once behind it; got {self.prompt!r}"
                )
            return self

        def check(self, cache_dir: Path) -> None:
            """Check the options, from the decoder's configuration and tokenizer alone.

            Raises:
                InputError: if weights can't be loaded, there are fewer layers than ``layers`` or fewer
                    positions than the longest prompt, or the answers begin with the same token.
            """
            settings, tokenizer = load_settings(self.weights, cache_dir, "package:smollm2-135m")
            settings = settings.get_text_config()
            check_layers(self.layers, settings.num_hidden_layers, KEY)
            prompt = TitlePrompt(self, tokenizer, settings.vocab_size)
            positions = getattr(settings, "max_position_embeddings", None)
            if positions is not None and prompt.longest > positions:
                raise InputError(
                    f"{KEY}.history: prompts of {self.history} titles have up to {prompt.longest} tokens, "
                    f"more than the decoder's {positions} positions; lower {KEY}.history or "
                    f"{KEY}.title_tokens"
                )

    mix_weight: Tensor
    center: Tensor

    def __init__(
        self, options: Options, titles: Sequence[str], width: int, cache_dir: Path, seed: int = 0
    ) -> None:
        super().__init__()
        self.options = options
        language_model, tokenizer = causal_lm(options.weights, cache_dir)
        decoder: Any = language_model.get_decoder()
        self.words = decoder.get_input_embeddings().requires_grad_(False)
        vocabulary, inner = self.words.weight.shape
        self.prompt = TitlePrompt(options, tokenizer, vocabulary)
        head = language_model.get_output_embeddings().weight.detach()
        self.head: Tensor
        self.answer: nn.Parameter | None = None
        if options.score == "yes_no":
            first, second = self.prompt.answers
            self.answer = nn.Parameter((head[first] - head[second]).clone())
        else:
            self.register_buffer("head", head, persistent=False)
        # Texts are embedded by `words`.
        decoder.set_input_embeddings(nn.Embedding.from_pretrained(torch.zeros(1, inner)))
        stack = layer_stack(decoder, KEY)
        keep_first_layers(decoder, stack, options.layers, KEY)
        decoder.requires_grad_(options.lora is None)
        decoder.get_input_embeddings().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.soft = _SoftTokens(width, self.words.weight) if options.item_tokens else None
            if options.lora is not None:
                modules = options.lora.target_modules
                check_targets(decoder.get_submodule(stack), modules, KEY)
                decoder = attach_lora(decoder, options.lora, target_pattern(modules, stack, options.layers))
        self.decoder = decoder
        self.register_buffer("mix_weight", torch.tensor(float("nan"), dtype=torch.float64))
        self.register_buffer("center", torch.tensor(0.0, dtype=torch.float64))
        self.set_titles(titles)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.words.weight.device

    @property
    def has_title(self) -> np.ndarray:
        """(N,) bool, items that can be scored."""
        return self.titles.lengths > 0

    def set_titles(self, titles: Sequence[str]) -> None:
        """Replace the titles, such as after items have been added; arguments as in the constructor."""
        self.titles = self.prompt.tokenize(titles)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the autocast context of the precision."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=computes_bf16(self.options.precision, self.device)
        )

    @torch.no_grad()
    def score(
        self, histories: Sequences, candidates_BK: np.ndarray, vectors_ND: Tensor | None = None
    ) -> Tensor:
        """Return (B, K) float32 scores; NaN for an item without a title or a history without any.

        Args:
            histories: B rows.
            candidates_BK: item indices; ``ABSENT`` where a row has fewer.
            vectors_ND: the first stage's item vectors, which ``item_tokens`` reads.
        """
        self.eval()
        return self(histories, candidates_BK, vectors_ND)

    def forward(
        self, histories: Sequences, candidates_BK: np.ndarray, vectors_ND: Tensor | None = None
    ) -> Tensor:
        """Return differentiable scores; arguments and result as in :meth:`score`."""
        prompts = self.prompt.prefixes(histories, self.titles)
        lengths_B = np.asarray([len(prompt) for prompt in prompts])
        known_BK = np.maximum(candidates_BK, 0)
        readable_BK = (candidates_BK != ABSENT) & self.has_title[known_BK] & (lengths_B > 0)[:, None]
        scores_BK = torch.full(candidates_BK.shape, torch.nan, device=self.device)
        # Candidates of similar length are read together; unreadable ones come last.
        sizes_BK = np.where(readable_BK, self.titles.lengths[known_BK], np.iinfo(np.int64).max)
        order_BK = np.argsort(sizes_BK, axis=1, kind="stable")
        rows_R = np.flatnonzero(readable_BK.any(1))
        with self.autocast():
            for rows in self._batches(rows_R[np.argsort(-lengths_B[rows_R], kind="stable")], lengths_B):
                prefix = self._read_prefix([prompts[row] for row in rows], vectors_ND)
                for start in range(0, candidates_BK.shape[1], GROUP):
                    columns_RG = order_BK[rows, start : start + GROUP]
                    readable_RG = np.take_along_axis(readable_BK[rows], columns_RG, 1)
                    if not readable_RG.any():
                        break
                    items_RG = np.take_along_axis(known_BK[rows], columns_RG, 1)
                    found_RG = self._read_candidates(prefix, items_RG, readable_RG, vectors_ND)
                    row, column = (torch.from_numpy(found) for found in np.nonzero(readable_RG))
                    places = (torch.from_numpy(rows)[row], torch.from_numpy(columns_RG)[row, column])
                    scores_BK[places] = found_RG[row, column].float()
        return scores_BK

    def _batches(self, rows_R: np.ndarray, lengths_B: np.ndarray) -> Iterator[np.ndarray]:
        """Cut rows, longest prompts first, into batches of a limited number of tokens."""
        most = TOKENS.get(self.device.type, 65_536)
        start = 0
        while start < len(rows_R):
            widest = max(int(lengths_B[rows_R[start]]), GROUP * self.prompt.longest_end)
            yield rows_R[start : start + max(most // widest, 1)]
            start += max(most // widest, 1)

    def _embed(self, ids: Tensor, vectors_ND: Tensor | None) -> Tensor:
        """Return embeddings of tokens; ids from the vocabulary's size on are soft tokens of items."""
        vocabulary = self.words.num_embeddings
        embedded: Tensor = self.words(ids.clamp(max=vocabulary - 1))
        if self.soft is None:
            return embedded
        if vectors_ND is None:
            raise ValueError("item_tokens reads item vectors, and none are given")
        is_item = ids >= vocabulary
        vectors = vectors_ND.to(self.device)[(ids - vocabulary).clamp(min=0)[is_item]]
        return embedded.masked_scatter(is_item.unsqueeze(-1), self.soft(vectors).to(embedded.dtype))

    def _read_prefix(self, prompts: Sequence[np.ndarray], vectors_ND: Tensor | None) -> _Prefix:
        lengths_B = np.asarray([len(prompt) for prompt in prompts])
        ids_BP = torch.from_numpy(pad_rows(np.concatenate(prompts), lengths_B)).to(self.device)
        embedded = self._embed(ids_BP, vectors_ND)
        width = ids_BP.shape[1]
        positions_BP = torch.arange(width, device=self.device).expand(len(ids_BP), -1)
        seen_PP = torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
        cache = _PrefixCache()
        states_BPW = self.decoder(
            inputs_embeds=embedded,
            attention_mask=_additive(seen_PP.expand(len(ids_BP), 1, -1, -1), embedded.dtype),
            position_ids=positions_BP,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        cache.length = width
        lengths = torch.from_numpy(lengths_B).to(self.device)
        last_BW = states_BPW[torch.arange(len(lengths), device=self.device), lengths - 1]
        return _Prefix(cache, lengths, last_BW)

    def _read_candidates(
        self, prefix: _Prefix, items_BG: np.ndarray, readable_BG: np.ndarray, vectors_ND: Tensor | None
    ) -> Tensor:
        """Return (B, G) scores of candidates behind the prefix; unreadable ones have any value."""
        ends = [
            self.prompt.end(int(item), self.titles) if readable else np.zeros(1, np.int64)
            for item, readable in zip(items_BG.ravel(), readable_BG.ravel(), strict=True)
        ]
        lengths = np.asarray([len(end) for end in ends])
        ids = torch.from_numpy(pad_rows(np.concatenate(ends), lengths)).to(self.device)
        (rows, group), width = items_BG.shape, ids.shape[1]
        ids_BT = ids.reshape(rows, group * width)
        lengths_BG = torch.from_numpy(lengths.reshape(rows, group)).to(self.device)
        place_T = torch.arange(group * width, device=self.device)
        candidate_T, step_T = place_T // width, place_T % width
        own_TT = (candidate_T[:, None] == candidate_T) & (step_T[:, None] >= step_T)
        before_BP = torch.arange(prefix.cache.length, device=self.device) < prefix.lengths_B[:, None]
        seen = torch.cat(
            [
                before_BP[:, None, None, :].expand(-1, 1, group * width, -1),
                own_TT.expand(rows, 1, -1, -1),
            ],
            dim=-1,
        )
        embedded = self._embed(ids_BT, vectors_ND)
        states_BTW = self.decoder(
            inputs_embeds=embedded,
            attention_mask=_additive(seen, embedded.dtype),
            position_ids=prefix.lengths_B[:, None] + step_T,
            past_key_values=prefix.cache,
            use_cache=True,
        ).last_hidden_state
        states_BGSW = states_BTW.reshape(rows, group, width, -1)
        if self.answer is not None:
            last = (lengths_BG - 1)[..., None, None].expand(-1, -1, 1, states_BGSW.shape[-1])
            return states_BGSW.gather(2, last).squeeze(2).float() @ self.answer.float()
        # Each token is predicted at the one before it, the first at the end of the prefix.
        first_BG1W = prefix.last_BW[:, None, None].expand(-1, group, -1, -1)
        before_BGSW = torch.cat([first_BG1W, states_BGSW[:, :, :-1]], dim=2)
        real_BGS = torch.arange(width, device=self.device) < lengths_BG[..., None]
        losses = before_BGSW.new_zeros(real_BGS.shape, dtype=torch.float32)
        losses[real_BGS] = self._losses(before_BGSW[real_BGS], ids_BT.reshape(real_BGS.shape)[real_BGS])
        return -losses.sum(-1) / lengths_BG

    def _losses(self, states_TW: Tensor, ids_T: Tensor) -> Tensor:
        size = max(LOGITS // len(self.head), 1)
        parts = zip(states_TW.split(size), ids_T.split(size), strict=True)
        return torch.cat([F.cross_entropy((s @ self.head.T).float(), i, reduction="none") for s, i in parts])


@dataclass(frozen=True)
class TokenRows:
    """Tokens of N texts.

    Args:
        ids: (T,) int64.
        offsets: (N + 1,) int64; text i has the tokens ``offsets[i]:offsets[i + 1]``.
    """

    ids: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.diff(self.offsets)

    def row(self, index: int) -> np.ndarray:
        """Return the tokens of one text."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]


class TitlePrompt:
    """Prompt as tokens: its fixed parts, which are tokenized apart from the titles.

    Args:
        options: template, answers and lengths.
        tokenizer: tokenizer of the decoder.
        vocabulary: size of the vocabulary; larger ids stand for soft tokens of items.

    Raises:
        InputError: if both answers begin with the same token.
    """

    def __init__(self, options: TextScorer.Options, tokenizer: Any, vocabulary: int) -> None:
        self.options, self.vocabulary = options, vocabulary
        self._tokenizer = tokenizer
        before, rest = options.prompt.split(HISTORY)
        between, after = rest.split(ITEM)
        # Titles bring the space in front of them.
        self.before = self._ids(before.rstrip(" "), special=True)
        self.between = self._ids(between.rstrip(" "))
        self.after = self._ids(after) if options.score == "yes_no" else np.zeros(0, np.int64)
        self.separator = self._ids(SEPARATOR)
        firsts = [self._ids(f" {answer}")[:1].tolist() for answer in options.answers]
        if options.score == "yes_no" and (firsts[0] == firsts[1] or [] in firsts):
            raise InputError(
                f"{KEY}.answers: {options.answers[0]!r} and {options.answers[1]!r} begin with the same token "
                f"of {options.weights}; choose other answers"
            )
        self.answers = tuple(first[0] if first else 0 for first in firsts)

    @property
    def longest_end(self) -> int:
        """Maximum number of tokens from the candidate on."""
        return self.options.title_tokens + self.options.item_tokens + len(self.after)

    @property
    def longest(self) -> int:
        """Maximum number of tokens of a prompt."""
        title = self.options.title_tokens + self.options.item_tokens
        listed = self.options.history * title + (self.options.history - 1) * len(self.separator)
        return len(self.before) + listed + len(self.between) + self.longest_end

    def tokenize(self, titles: Sequence[str]) -> TokenRows:
        """Return the tokens of titles, cut to ``title_tokens``; none for a blank title."""
        texts = [" ".join(title.split()) for title in titles]
        rows: list[list[int]] = [[] for _ in texts]
        written = [row for row, text in enumerate(texts) if text]
        if written:
            encoded = self._tokenizer([f" {texts[row]}" for row in written], add_special_tokens=False)
            for row, ids in zip(written, encoded["input_ids"], strict=True):
                rows[row] = ids[: self.options.title_tokens]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return TokenRows(np.asarray([token for row in rows for token in row], np.int64), offsets)

    def prefixes(self, histories: Sequences, titles: TokenRows) -> list[np.ndarray]:
        """Return the tokens before the candidate for each history; none if no item of it has a title.

        The last ``history`` clicks on items with a title are listed.
        """
        known = titles.lengths > 0
        found = []
        for row in range(len(histories)):
            items = histories.row(row)
            items = items[known[items]][-self.options.history :]
            listed: list[np.ndarray] = []
            for item in items.tolist():
                listed += [self.separator, self._item(item, titles)]
            found.append(
                np.concatenate([self.before, *listed[1:], self.between]) if listed else np.zeros(0, np.int64)
            )
        return found

    def end(self, item: int, titles: TokenRows) -> np.ndarray:
        """Return the tokens from the candidate on."""
        if self.options.score == "title":
            return titles.row(item)  # its soft token would give the title away
        return np.concatenate([self._item(item, titles), self.after])

    def _item(self, item: int, titles: TokenRows) -> np.ndarray:
        own = titles.row(item)
        return np.concatenate([[self.vocabulary + item], own]) if self.options.item_tokens else own

    def _ids(self, text: str, *, special: bool = False) -> np.ndarray:
        ids = self._tokenizer(text, add_special_tokens=special)["input_ids"] if text or special else []
        return np.asarray(ids, np.int64)


class _SoftTokens(nn.Module):
    """Linear map of item vectors to soft tokens of the mean length of word embeddings."""

    def __init__(self, width: int, words_VW: Tensor) -> None:
        super().__init__()
        self.map = nn.Linear(width, words_VW.shape[1], bias=False)
        nn.init.orthogonal_(self.map.weight)
        self.size = float(words_VW.detach().float().norm(dim=1).mean())

    def forward(self, vectors_KD: Tensor) -> Tensor:
        return F.normalize(self.map(vectors_KD).float(), dim=-1) * self.size


class _PrefixCache:
    """Keys and values of a prefix, which later calls read and leave unchanged."""

    def __init__(self) -> None:
        self.length = 0
        self._layers: list[tuple[Tensor, Tensor]] = []

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the number of positions of the prefix; 0 until it has been read."""
        return self.length

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Return the keys and values that a layer attends to."""
        if not self.length:
            self._layers.append((keys, values))
            return keys, values
        before_keys, before_values = self._layers[layer]
        return torch.cat([before_keys, keys], 2), torch.cat([before_values, values], 2)


@dataclass(frozen=True)
class _Prefix:
    """Prefixes that have been read.

    Args:
        cache: keys and values.
        lengths_B: tokens of each prefix.
        last_BW: states of their last tokens.
    """

    cache: _PrefixCache
    lengths_B: Tensor
    last_BW: Tensor


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask that is added to attention scores."""
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
