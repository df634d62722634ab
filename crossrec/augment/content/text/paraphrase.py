"""Paraphrases of sentences by a language model, filtered and cached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from crossrec.augment.base import Augmented, Augmenter, SampleRng
from crossrec.augment.content.text.base import Encode, TextOptions, TextOutcome, collect
from crossrec.augment.content.text.generation import (
    LanguageModel,
    LineGenerator,
    check_template,
    prompt_for,
)
from crossrec.augment.content.text.language import is_chinese, split_parts, split_sentences
from crossrec.augment.content.text.paraphrase_filters import Drop, ParaphraseFilters, likeness, reason_to_drop
from crossrec.augment.content.text.paraphrase_store import RecordStore, Similarities, content_digest
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.progress import progress_bar
from crossrec.runtime.weights import load_model, resolve
from crossrec.types import InputError

_TOKENS_PER_WORD = 2.2
"""More than text has under usual tokenizers; a longer draft would be dropped for its length."""

_LEAST_TOKENS = 16
_LEAST_WORDS = 5
_CHINESE_CHARACTERS_PER_WORD = 2


class Paraphrase(Augmenter[list[str]]):
    """Paraphrase of a text sentence by sentence; a sentence without a good paraphrase stays.

    Of a sentence's drafts, those that pass :func:`reason_to_drop` and have a similar meaning are kept; the
    one with the least similar wording is chosen. Besides the outcome of texts,
    :attr:`Augmented.counts` has ``sentences/kept``, ``sentences/stayed`` and ``drafts/REASON``.

    Args:
        options: the model, its sampling, and bounds on what it makes.
        cache_dir: folder for paraphrases and converted weights.
        encode: texts to vectors, for the similarity of meaning.
        drafts: source of candidate sentences; by default the model of the options, loaded at the first
            sentence that is not in the cache.

    Raises:
        InputError: if ``encode`` is missing, the weights are unavailable, or the template has no place
            for the text.

    Source:
        Wahle et al., How Large Language Models Are Transforming Machine-Paraphrased Plagiarism, EMNLP 2022
        (few-shot paraphrasing, filtered by similarity of meaning); the other filters are ours.
    """

    class Options(TextOptions):
        """Paraphrases by a Hugging Face language model, filtered and cached."""

        weights: str = Field(default="package:smollm2-135m", description="path, package:NAME, hub:ORG/NAME")
        architecture: str = Field(
            default="package:smollm2-135m",
            description="source of settings and tokenizer with weights: random",
        )
        model: LanguageModel = LanguageModel.CAUSAL
        template: str | None = Field(
            default=None,
            description="prompt with {text} in it; None for examples (causal) or 'paraphrase: {text}' "
            "(seq2seq)",
        )
        candidates: int = Field(
            default=2, ge=1, le=100_000, description="paraphrases drawn of a sentence; the best is taken"
        )
        max_sentences: int = Field(
            default=8, ge=1, description="maximum number of paraphrased sentences per text"
        )
        max_words: int = Field(
            default=45,
            ge=1,
            description="a longer sentence, or one of twice as many Chinese characters, stays",
        )
        temperature: float = Field(default=0.4, gt=0, le=10_000)
        top_k: int = Field(default=50, ge=1, description="tokens that are drawn from at most")
        top_p: float = Field(default=0.9, gt=0, le=1)
        batch_size: int = Field(default=16, ge=1, le=10_000_000, description="paraphrases drawn at once")
        device: str = Field(default="auto", description="auto, cpu, cuda, cuda:0, …")
        filters: ParaphraseFilters = ParaphraseFilters()

    def __init__(
        self, options: Options, cache_dir: Path, encode: Encode | None = None, *, drafts: Drafts | None = None
    ) -> None:
        if encode is None:
            raise InputError(
                "the paraphrase augmenter measures meaning with the text encoder, and there is none; "
                "give the model a text encoder or take paraphrase out of the chain"
            )
        check_template(options.template)
        self.options = options
        folder = cache_dir / "paraphrases"
        self.drafts = drafts or Drafts(
            options,
            resolve(options.weights).identity,
            RecordStore(folder / "drafts"),
            lambda: load_generator(options, cache_dir),
        )
        self.similarities = Similarities(encode, RecordStore(folder / "similarities"))

    def augment(self, samples: list[str], draws: SampleRng) -> Augmented[list[str]]:
        """Augment all texts; all processes share the work and must call this with the same texts.

        A sentence's paraphrase depends on its own words, the seed and the stream of ``draws``, not on its
        text or item.
        """
        texts = [split_sentences(text) for text in samples]
        wanted = list(dict.fromkeys(s.strip() for text in texts for s in self.chosen(text)))
        found, counts = self.paraphrases(wanted, draws)
        made = [self._put_together(text, found) for text in texts]
        result = collect(samples, made)
        return replace(result, counts={**result.counts, **counts})

    def paraphrases(self, sentences: list[str], draws: SampleRng) -> tuple[dict[str, str], dict[str, int]]:
        """Return the accepted paraphrases of n distinct sentences, and counts."""
        drafts = self.drafts.of(sentences, draws)
        pairs = [(old, new) for old in sentences for new in dict.fromkeys(drafts[old])]
        reasons = [reason_to_drop(old, new, self.options.filters) for old, new in pairs]
        left = [
            (old, new) for (old, new), reason in zip(pairs, reasons, strict=True) if reason is None and new
        ]
        similar = self.similarities.of(left)
        good = [pair for pair in left if similar[pair] >= self.options.filters.min_similarity]
        counts = Counter(f"drafts/{reason}" for reason in reasons if reason is not None)
        counts[f"drafts/{Drop.SIMILARITY}"] += len(left) - len(good)
        counts[f"drafts/{TextOutcome.KEPT}"] += len(good)
        best: dict[str, str] = {}
        for old, new in good:
            if old not in best or likeness(old, new) < likeness(old, best[old]):
                best[old] = new
        counts[f"sentences/{TextOutcome.KEPT}"] += len(best)
        counts["sentences/stayed"] += len(sentences) - len(best)
        return best, {key: count for key, count in sorted(counts.items()) if count}

    def chosen(self, sentences: list[str]) -> list[str]:
        """Return the sentences of a text to paraphrase: the first ones of medium length."""
        fit = [sentence for sentence in sentences if self._fits(sentence)]
        return fit[: self.options.max_sentences]

    def _fits(self, sentence: str) -> bool:
        words = [part for part in split_parts(sentence) if part.word]
        per_word = _CHINESE_CHARACTERS_PER_WORD if is_chinese(sentence) else 1
        return _LEAST_WORDS * per_word <= len(words) <= self.options.max_words * per_word

    def _put_together(self, sentences: list[str], found: dict[str, str]) -> str | TextOutcome:
        if not "".join(sentences).strip():
            return TextOutcome.EMPTY
        chosen = self.chosen(sentences)
        if not chosen:
            return TextOutcome.NO_SENTENCE
        said = {sentence: found[sentence.strip()] for sentence in chosen if sentence.strip() in found}
        if not said:
            return TextOutcome.ALL_DROPPED
        return "".join(_in_place_of(sentence, said.get(sentence)) for sentence in sentences)


def _in_place_of(sentence: str, paraphrase: str | None) -> str:
    """Return a paraphrase with the space around the sentence that it replaces."""
    if paraphrase is None:
        return sentence
    body = sentence.strip()
    start = sentence.index(body)
    return sentence[:start] + paraphrase + sentence[start + len(body) :]


class Drafts:
    """Candidate paraphrases, drawn in blocks; process ``i % world_size`` draws block i.

    Args:
        options: options of the model and its sampling.
        identity: identity of the weights, part of every key.
        store: store of finished drafts.
        load: function that returns the generator, called for the first sentence that is not in the store.
    """

    def __init__(
        self,
        options: Paraphrase.Options,
        identity: str,
        store: RecordStore,
        load: Callable[[], LineGenerator],
    ) -> None:
        self.options, self.identity, self.store = options, identity, store
        self._load = load
        self._generator: LineGenerator | None = None

    def of(self, sentences: list[str], draws: SampleRng) -> dict[str, list[str | None]]:
        """Return the drafts of each sentence, None for an unfinished one. Every process must call this.

        Args:
            sentences: distinct sentences.
            draws: random numbers, of which seed and stream count; each sentence is its own key.
        """
        keys = {sentence: self._key(sentence, draws) for sentence in sentences}
        done = self.store.values()
        # Blocks are cut before finished ones are dropped: the same batches in a resumed and an unbroken run.
        blocks = self._blocks(sentences)
        mine = blocks[distributed.rank() :: distributed.world_size()]
        todo = [block for block in mine if any(keys[sentence] not in done for sentence in block)]
        with progress_bar("paraphrases", sum(map(len, todo))) as advance:
            for block in todo:
                drawn = self._draw(block, draws)
                # In another batch rounding may change a draw; stored drafts stay.
                new = {keys[sentence]: drawn[sentence] for sentence in block if keys[sentence] not in done}
                self.store.write(new)
                advance(len(block))
        distributed.barrier()
        done = self.store.values()
        return {sentence: done[keys[sentence]] for sentence in sentences}

    def _blocks(self, sentences: list[str]) -> list[list[str]]:
        """Group sentences of one language and similar length."""
        size = max(1, self.options.batch_size // self.options.candidates)
        blocks: list[list[str]] = []
        for chinese in (False, True):
            group = [sentence for sentence in sentences if is_chinese(sentence) is chinese]
            group.sort(key=lambda sentence: (len(sentence), sentence))
            blocks += [group[start : start + size] for start in range(0, len(group), size)]
        return blocks

    def _draw(self, sentences: list[str], draws: SampleRng) -> dict[str, list[str | None]]:
        if self._generator is None:
            self._generator = self._load()
        prompts = [prompt_for(sentence, self.options.model, self.options.template) for sentence in sentences]
        n_tokens = _LEAST_TOKENS + int(_TOKENS_PER_WORD * max(map(_n_words, sentences)))
        rounds = range(self.options.candidates)
        own = [SampleRng(draws.seed, (*draws.stream, "draft", number), sentences) for number in rounds]
        lines = self._generator.draw(
            prompts * len(rounds), [generator for round_draws in own for generator in round_draws], n_tokens
        )
        return {
            sentence: [lines[number * len(sentences) + row] for number in rounds]
            for row, sentence in enumerate(sentences)
        }

    def _key(self, sentence: str, draws: SampleRng) -> str:
        prompt = prompt_for(sentence, self.options.model, self.options.template)
        sampling = [self.options.candidates, self.options.temperature, self.options.top_k, self.options.top_p]
        return content_digest(self.identity, prompt.shared, prompt.own, sampling, draws.seed, draws.stream)


def _n_words(sentence: str) -> int:
    return sum(part.word for part in split_parts(sentence))


def load_generator(options: Paraphrase.Options, cache_dir: Path) -> LineGenerator:
    """Load the model of the options onto its device.

    Raises:
        WeightsError: if the weights are unavailable or of another kind.
        InputError: if the device does not exist.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    seq2seq = options.model is LanguageModel.SEQ2SEQ
    auto_class = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    model, tokenizer = load_model(auto_class, options.weights, cache_dir, options.architecture, 0)
    model.to(pick_device(options.device))
    return LineGenerator(
        model,
        tokenizer,
        seq2seq=seq2seq,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
    )
