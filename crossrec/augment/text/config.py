"""Configurations of text augmentation; importing them loads no heavy library."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from crossrec.augment.views import ViewsConfig
from crossrec.config import Config, UnionFamily

if TYPE_CHECKING:
    from crossrec.augment.base import Augmenter
    from crossrec.augment.text.views import TextViews

Encode = Callable[[list[str]], np.ndarray]
"""Texts to (n, D) vectors, such as the ``encode`` of a text encoder."""

_PROBABILITY = Field(default=1.0, ge=0, le=1, description="chance that a text meets this augmenter")


class Segmentation(StrEnum):
    """What a word is in Chinese text: one character, or what jieba finds (``uv pip install jieba``)."""

    CHARACTERS = "characters"
    JIEBA = "jieba"


class CharacterEdit(StrEnum):
    """What character noise does to a letter; Chinese characters have no neighbour key."""

    SWAP = "swap"
    DROP = "drop"
    REPEAT = "repeat"
    NEIGHBOUR_KEY = "neighbour_key"


class WordEdit(StrEnum):
    """What word noise does to a word."""

    SWAP = "swap"
    DROP = "drop"


class ReorderUnit(StrEnum):
    """What changes place: a sentence in its text, or a clause in its sentence."""

    SENTENCES = "sentences"
    CLAUSES = "clauses"


class LanguageModel(StrEnum):
    """The kind of a paraphrasing model: continues a prompt, or translates the text into another."""

    CAUSAL = "causal"
    SEQ2SEQ = "seq2seq"


class SynonymsConfig(Config):
    """Some words become a synonym of the same part of speech."""

    type: Literal["synonyms"] = "synonyms"
    probability: float = _PROBABILITY
    share: float = Field(default=0.3, gt=0, le=1, description="chance of each word that has a synonym")
    wordnet: Path | None = Field(
        default=None,
        description="folder with index.*, data.* and *.exc; None looks in $WNSEARCHDIR, Debian's folder and "
        "NLTK's folders",
    )
    chinese: Path | None = Field(
        default=None,
        description="wn-data-cmn.tab of the Chinese Open Wordnet; None leaves Chinese words alone",
    )
    segmentation: Segmentation | None = Field(
        default=None, description="of Chinese text; None takes the longest words that the thesaurus knows"
    )
    max_senses: int = Field(
        default=4, ge=1, description="a word with more senses than this in its part of speech is left alone"
    )
    capitalised: bool = Field(
        default=False,
        description="also replace words with a capital, as product titles need; names may change",
    )

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """Reads the dictionaries.

        Args:
            cache_dir: unused.
            encode: unused.

        Raises:
            InputError: a dictionary or jieba is not there; the message names the ways to get it.
        """
        from crossrec.augment.text.synonyms import build_synonyms

        return build_synonyms(self)


class CharacterNoiseConfig(Config):
    """Typing mistakes; digits, signs and emoji stay."""

    type: Literal["character_noise"] = "character_noise"
    probability: float = _PROBABILITY
    rate: float = Field(default=0.03, gt=0, le=1, description="share of letters that are hit, at least one")
    edits: tuple[CharacterEdit, ...] = Field(default=tuple(CharacterEdit), min_length=1)

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """Builds the augmenter; both arguments are unused."""
        from crossrec.augment.text.character_noise import CharacterNoise

        return CharacterNoise(self.rate, self.edits)


class WordNoiseConfig(Config):
    """Words are dropped or change place with the next one; numbers stay."""

    type: Literal["word_noise"] = "word_noise"
    probability: float = _PROBABILITY
    rate: float = Field(default=0.1, gt=0, le=1, description="share of words that are hit, at least one")
    edits: tuple[WordEdit, ...] = Field(default=tuple(WordEdit), min_length=1)
    segmentation: Segmentation = Segmentation.CHARACTERS

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """Builds the augmenter; both arguments are unused.

        Raises:
            InputError: jieba is asked for and not installed.
        """
        from crossrec.augment.text.segmentation import chinese_segmenter
        from crossrec.augment.text.word_noise import WordNoise

        return WordNoise(self.rate, self.edits, chinese_segmenter(self.segmentation))


class ReorderConfig(Config):
    """Neighbouring sentences, or clauses, change places."""

    type: Literal["reorder"] = "reorder"
    probability: float = _PROBABILITY
    unit: ReorderUnit = ReorderUnit.CLAUSES
    swaps: int = Field(default=1, ge=1, description="changes of place in a text, where it has as many")

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """Builds the augmenter; both arguments are unused."""
        from crossrec.augment.text.reorder import Reorder

        return Reorder(self.unit, self.swaps)


class TransformConfig(Config):
    """Sentences are built another way with the same meaning, by rules."""

    type: Literal["transform"] = "transform"
    probability: float = _PROBABILITY
    share: float = Field(default=1.0, gt=0, le=1, description="chance of each sentence that a rule fits")

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """Builds the augmenter; both arguments are unused."""
        from crossrec.augment.text.transform import Transform

        return Transform(self.share)


class ParaphraseFilters(Config):
    """When a paraphrase of a sentence is taken; all bounds include their end."""

    min_similarity: float = Field(default=0.85, ge=-1, le=1, description="cosine of the encoder's vectors")
    min_length_ratio: float = Field(default=0.6, gt=0, description="words, or Chinese characters")
    max_length_ratio: float = Field(default=1.5, gt=0)
    max_new_words: float = Field(
        default=0.25, ge=0, le=1, description="share of words whose stems the sentence lacks"
    )
    max_copied: float = Field(
        default=0.95, gt=0, le=1, description="likeness of the token sequences above which it is a near-copy"
    )

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> Self:
        if self.min_length_ratio > self.max_length_ratio:
            raise ValueError(
                f"min_length_ratio ({self.min_length_ratio:g}) must not exceed max_length_ratio "
                f"({self.max_length_ratio:g}): no paraphrase would pass"
            )
        return self


class ParaphraseConfig(Config):
    """Sentences said another way by a language model of Hugging Face, filtered and cached."""

    type: Literal["paraphrase"] = "paraphrase"
    probability: float = _PROBABILITY
    weights: str = Field(default="package:smollm2-135m", description="path, package:NAME, hub:ORG/NAME")
    architecture: str = Field(
        default="package:smollm2-135m",
        description="with weights: random, where settings and tokenizer come from",
    )
    model: LanguageModel = LanguageModel.CAUSAL
    template: str | None = Field(
        default=None,
        description="prompt with {text} in it; None for examples (causal) or 'paraphrase: {text}' (seq2seq)",
    )
    candidates: int = Field(
        default=2, ge=1, le=100_000, description="paraphrases drawn of a sentence; the best is taken"
    )
    max_sentences: int = Field(default=8, ge=1, description="sentences of a text that are said another way")
    max_words: int = Field(
        default=45, ge=1, description="a longer sentence, or one of twice as many Chinese characters, stays"
    )
    temperature: float = Field(default=0.4, gt=0, le=10_000)
    top_k: int = Field(default=50, ge=1, description="tokens that are drawn from at most")
    top_p: float = Field(default=0.9, gt=0, le=1)
    batch_size: int = Field(default=16, ge=1, le=10_000_000, description="paraphrases drawn at once")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:0, …")
    filters: ParaphraseFilters = ParaphraseFilters()

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """Prepares the augmenter; the model is loaded when a text is not in the cache.

        Args:
            cache_dir: folder for paraphrases and converted weights.
            encode: texts to vectors, for the similarity filter.

        Raises:
            InputError: ``encode`` is missing or the weights can't be had.
        """
        from crossrec.augment.text.paraphrase import build_paraphrase

        return build_paraphrase(self, cache_dir, encode)


TextAugmenterConfig = Annotated[
    SynonymsConfig
    | CharacterNoiseConfig
    | WordNoiseConfig
    | ReorderConfig
    | TransformConfig
    | ParaphraseConfig,
    UnionFamily(),
]


class TextViewsConfig(ViewsConfig):
    """Augmented views of the items' texts."""

    augmenters: tuple[TextAugmenterConfig, ...] = Field(min_length=1, description="applied one after another")

    def build(self, cache_dir: Path, encode: Encode | None = None) -> TextViews:
        """Makes views of texts.

        Args:
            cache_dir: folder for paraphrases and converted weights.
            encode: texts to vectors; only paraphrases need it.

        Raises:
            InputError: what an augmenter needs is not there.
        """
        from crossrec.augment.text.views import TextViews

        return TextViews(self, cache_dir, encode)
