# ruff: noqa: RUF001 - Chinese punctuation
"""Texts drawn from a language model, many at once, each with its own random numbers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from crossrec.augment.content.text.language import is_chinese
from crossrec.types import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LanguageModel(StrEnum):
    """The kind of a paraphrasing model: continues a prompt, or translates the text into another."""

    CAUSAL = "causal"
    SEQ2SEQ = "seq2seq"


_PLACE = "{text}"
_SEQ2SEQ_TEMPLATE = "paraphrase: {text}"
_ENGLISH_EXAMPLES = (
    (
        "A young doctor named Ruth moves to a remote village in Wales after the death of her husband, "
        "hoping to start a new life.",
        "After her husband dies, a young doctor named Ruth settles in a remote village in Wales in the hope "
        "of beginning a new life.",
    ),
    (
        "This cream leaves dry skin soft and smooth without a greasy feel.",
        "This cream makes dry skin soft and smooth and does not feel greasy.",
    ),
    (
        "Brothers Sam and Joe must save their father's farm before the bank takes it away, but Joe has a "
        "secret.",
        "Brothers Sam and Joe have to rescue the farm of their father before it is taken away by the bank, "
        "but Joe is hiding something.",
    ),
    (
        "When Karen meets an old friend in London, she begins to question her marriage.",
        "Karen starts to doubt her marriage when she runs into an old friend in London.",
    ),
)
_CHINESE_EXAMPLES = (
    ("一个年轻的医生在妻子去世后搬到了偏远的村庄。", "妻子死后，一位年轻医生去了一个偏僻的村子生活。"),
    ("这款面霜让干燥的皮肤变得柔软光滑，而且不油腻。", "用了这款面霜，干性皮肤会变得柔滑，也没有油腻感。"),
    ("两兄弟必须在银行收走农场之前救下它。", "在农场被银行收走以前，两兄弟得想办法保住它。"),
)
_ENGLISH_TASK, _ENGLISH_SOURCE, _ENGLISH_TARGET = (
    "Say each sentence in other words and keep its meaning.",
    "Sentence:",
    "In other words:",
)
_CHINESE_TASK, _CHINESE_SOURCE, _CHINESE_TARGET = "用不同的说法改写每个句子，意思不变。", "句子：", "改写："
LABELS = (_ENGLISH_SOURCE, _ENGLISH_TARGET, _CHINESE_SOURCE, _CHINESE_TARGET)
"""Text that a model writes when it continues the prompt."""

EXAMPLES = tuple(text for pair in (*_ENGLISH_EXAMPLES, *_CHINESE_EXAMPLES) for text in pair)


@dataclass(frozen=True)
class Prompt:
    """Prompt of a language model.

    Args:
        shared: the beginning, the same for all sentences of a language; read once.
        own: the rest, with the sentence.
    """

    shared: str
    own: str


def prompt_for(sentence: str, model: LanguageModel, template: str | None) -> Prompt:
    """Return the prompt for one sentence: the template, or examples in its language."""
    if template is None and model is LanguageModel.CAUSAL:
        if is_chinese(sentence):
            template = _few_shot(_CHINESE_TASK, _CHINESE_SOURCE, _CHINESE_TARGET, _CHINESE_EXAMPLES)
        else:
            template = _few_shot(_ENGLISH_TASK, _ENGLISH_SOURCE, _ENGLISH_TARGET, _ENGLISH_EXAMPLES)
    before, _, after = (template or _SEQ2SEQ_TEMPLATE).partition(_PLACE)
    # Tokens begin with their space.
    shared = before.rstrip(" ")
    return Prompt(shared, before[len(shared) :] + sentence + after)


def check_template(template: str | None) -> None:
    """Check that a template has a place for the text.

    Raises:
        InputError: if it has none.
    """
    if template is not None and _PLACE not in template:
        raise InputError(f"template '{template}' has no {_PLACE}, where the sentence goes")


def _few_shot(task: str, source: str, target: str, examples: tuple[tuple[str, str], ...]) -> str:
    shown = "".join(f"{source} {old}\n{target} {new}\n\n" for old, new in examples)
    return f"{task}\n\n{shown}{source} {_PLACE}\n{target}"


_LINE_END = "\n"


class LineGenerator:
    """Sampler of one line of text per prompt from a language model.

    Args:
        model: causal, or encoder-decoder.
        tokenizer: its tokenizer.
        seq2seq: whether the model is an encoder-decoder.
        temperature: divisor of the scores.
        top_k: maximum number of likeliest tokens to draw from.
        top_p: total probability of the likeliest tokens to draw from.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        seq2seq: bool,
        temperature: float,
        top_k: int,
        top_p: float,
    ) -> None:
        self.model, self.tokenizer, self.seq2seq = model, tokenizer, seq2seq
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right" if seq2seq else "left"
        self._memories: dict[str, tuple[Any, Any]] = {}
        self._line_ends = _tokens_with(tokenizer, _LINE_END)

    def draw(
        self, prompts: list[Prompt], generators: Sequence[np.random.Generator], max_new_tokens: int
    ) -> list[str | None]:
        """Draw one line per prompt; None if no line end was reached.

        A row's tokens come from its own generator, so they depend on other rows only through rounding:
        padding changes sums in the last digits, which may rarely change a draw.

        Args:
            prompts: B prompts with one shared beginning.
            generators: one per row.
            max_new_tokens: a longer line counts as without end.
        """
        inputs = self._encoder_inputs(prompts) if self.seq2seq else self._decoder_inputs(prompts)
        n_prompt = 1 if self.seq2seq else inputs["input_ids"].shape[1]
        uniform_BL = np.stack([generator.random(max_new_tokens) for generator in generators])
        with torch.inference_mode():
            model: Any = self.model
            output_BL = model.generate(**inputs, **self._settings(uniform_BL, n_prompt, max_new_tokens))
        return [self._line(row) for row in output_BL[:, n_prompt:].tolist()]

    def _encoder_inputs(self, prompts: list[Prompt]) -> dict[str, Any]:
        tokens = self.tokenizer([p.shared + p.own for p in prompts], return_tensors="pt", padding=True)
        return {name: tokens[name].to(self.model.device) for name in ("input_ids", "attention_mask")}

    def _decoder_inputs(self, prompts: list[Prompt]) -> dict[str, Any]:
        """Return tokens, padded between shared prefix and suffix, with the prefix's key-value cache."""
        shared = prompts[0].shared
        first_1P, memory = self._read(shared)
        own = self.tokenizer(
            [p.own for p in prompts], return_tensors="pt", padding=True, add_special_tokens=False
        )
        first_BP = first_1P.repeat(len(prompts), 1)
        ids_BL = torch.cat([first_BP, own["input_ids"].to(first_BP.device)], dim=1)
        mask_BL = torch.cat([torch.ones_like(first_BP), own["attention_mask"].to(first_BP.device)], dim=1)
        if first_1P.shape[1] == 0:
            return {"input_ids": ids_BL, "attention_mask": mask_BL}
        memory = copy.deepcopy(memory)
        memory.batch_repeat_interleave(len(prompts))
        return {"input_ids": ids_BL, "attention_mask": mask_BL, "past_key_values": memory}

    def _read(self, shared: str) -> tuple[torch.Tensor, Any]:
        """Return tokens (1, P) of the shared prefix and its key-value cache."""
        if shared not in self._memories:
            ids = self.tokenizer(shared)["input_ids"]
            ids_1P = torch.as_tensor([ids], dtype=torch.long, device=self.model.device)
            with torch.inference_mode():
                model: Any = self.model
                made = model(input_ids=ids_1P, use_cache=True) if ids else None
            self._memories[shared] = ids_1P, None if made is None else made.past_key_values
        return self._memories[shared]

    def _settings(self, uniform_BL: np.ndarray, n_prompt: int, max_new_tokens: int) -> dict[str, Any]:
        from transformers import GenerationConfig

        ends = torch.as_tensor(self._line_ends, device=self.model.device)
        uniform = torch.as_tensor(uniform_BL, dtype=torch.float64, device=self.model.device)

        def sampled(ids_BL: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
            """Return scores under which greedy decoding samples with the rows' own numbers."""
            draw_B = uniform[:, ids_BL.shape[1] - n_prompt]
            token_B1 = draw_tokens(scores_BV, draw_B, self.temperature, self.top_k, self.top_p)[:, None]
            return torch.full_like(scores_BV, -torch.inf).scatter_(1, token_B1, 0.0)

        def at_line_end(ids_BL: torch.Tensor, scores: Any) -> torch.Tensor:
            return torch.isin(ids_BL[:, -1], ends) & (ids_BL.shape[1] > n_prompt)

        config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self._end_tokens(),
            decoder_start_token_id=getattr(self.model.generation_config, "decoder_start_token_id", None),
        )
        return {
            "generation_config": config,
            "logits_processor": [sampled],
            "stopping_criteria": [at_line_end],
        }

    def _end_tokens(self) -> list[int]:
        found = self.model.generation_config.eos_token_id
        ends = found if isinstance(found, list) else [found]
        return sorted({int(token) for token in [*ends, self.tokenizer.eos_token_id] if token is not None})

    def _line(self, tokens: list[int]) -> str | None:
        stops = {*self._line_ends, *self._end_tokens()}
        if not stops.intersection(tokens):
            return None
        text = str(self.tokenizer.decode(tokens, skip_special_tokens=True))
        return text.strip().partition(_LINE_END)[0].strip()


def draw_tokens(
    scores_BV: torch.Tensor, uniform_B: torch.Tensor, temperature: float, top_k: int, top_p: float
) -> torch.Tensor:
    """Draw one token per row by top-k and top-p sampling with given uniform numbers.

    Args:
        scores_BV: (B, V) unnormalised log probabilities.
        uniform_B: (B,) in [0, 1).
        temperature: divisor of the scores.
        top_k: maximum number of tokens to draw from.
        top_p: total probability of the tokens to draw from.

    Returns:
        (B,) int64 tokens.

    Source:
        Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020, section 3.1.
    """
    probability_BV = (scores_BV.double() / temperature).softmax(-1)
    ordered_BK, token_BK = probability_BV.topk(min(top_k, scores_BV.shape[1]), dim=-1)
    before_BK = ordered_BK.cumsum(-1) - ordered_BK
    reached_BK = torch.where(before_BK < top_p, ordered_BK, 0.0).cumsum(-1)
    place_B1 = torch.searchsorted(reached_BK, uniform_B[:, None] * reached_BK[:, -1:], right=True)
    return token_BK.gather(1, place_B1.clamp(max=token_BK.shape[1] - 1)).squeeze(1)


def _tokens_with(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return all tokens whose text contains a string."""
    n_tokens = len(tokenizer)
    decoded = tokenizer.batch_decode([[token] for token in range(n_tokens)])
    return [token for token, piece in enumerate(decoded) if text in piece]
