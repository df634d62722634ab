"""Sentences said another way by a language model, filtered and cached."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from crossrec.augment.base import Augmented, Augmenter, Draws
from crossrec.augment.text.config import Encode, ParaphraseConfig
from crossrec.augment.text.drafts import Drafts
from crossrec.augment.text.generation import load_generator
from crossrec.augment.text.outcome import Outcome, collect
from crossrec.augment.text.paraphrase_filters import Drop, likeness, reason_to_drop
from crossrec.augment.text.paraphrase_store import RecordStore
from crossrec.augment.text.prompts import check_template
from crossrec.augment.text.segmentation import is_chinese, split_parts, split_sentences
from crossrec.augment.text.similarity import Similarities
from crossrec.runtime.weights import resolve
from crossrec.types import InputError

_LEAST_WORDS = 5
_CHINESE_CHARACTERS_PER_WORD = 2


def build_paraphrase(config: ParaphraseConfig, cache_dir: Path, encode: Encode | None) -> Paraphrase:
    """Prepares the augmenter; the model itself is loaded when it is needed.

    Raises:
        InputError: there is no encoder, the weights can't be had, or the template has no place for the text.
    """
    if encode is None:
        raise InputError(
            "the paraphrase augmenter measures meaning with the text encoder, and there is none; "
            "give the model a text encoder or take paraphrase out of the chain"
        )
    check_template(config.template)
    identity = resolve(config.weights).identity
    folder = cache_dir / "paraphrases"
    drafts = Drafts(
        config, identity, RecordStore(folder / "drafts"), lambda: load_generator(config, cache_dir)
    )
    return Paraphrase(config, drafts, Similarities(encode, RecordStore(folder / "similarities")))


class Paraphrase(Augmenter[list[str]]):
    """Says the sentences of a text another way, one by one; a sentence without a good paraphrase stays.

    Of a sentence's drafts those are left that :func:`reason_to_drop` lets through and whose meaning is near
    enough; the one least like the sentence in words is taken. Besides the outcome of texts,
    :attr:`Augmented.counts` has ``sentences/kept``, ``sentences/stayed`` and ``drafts/REASON``.

    Args:
        config: sizes and bounds.
        drafts: what the model makes of sentences.
        similarities: likeness of meaning.

    Source:
        Wahle et al., How Large Language Models Are Transforming Machine-Paraphrased Plagiarism, EMNLP 2022
        (few-shot paraphrasing, filtered by similarity of meaning); the other filters are ours.
    """

    def __init__(self, config: ParaphraseConfig, drafts: Drafts, similarities: Similarities) -> None:
        self.config, self.drafts, self.similarities = config, drafts, similarities

    def augment(self, samples: list[str], draws: Draws) -> Augmented[list[str]]:
        """Augments all texts; every process must call this with the same ones, since they share the work.

        A sentence's paraphrase depends on its own words, the seed and the stream of ``draws``, not on the
        text or the item that it stands in.
        """
        texts = [split_sentences(text) for text in samples]
        wanted = list(dict.fromkeys(s.strip() for text in texts for s in self.chosen(text)))
        found, counts = self.paraphrases(wanted, draws)
        made = [self._put_together(text, found) for text in texts]
        result = collect(samples, made)
        return replace(result, counts={**result.counts, **counts})

    def paraphrases(self, sentences: list[str], draws: Draws) -> tuple[dict[str, str], dict[str, int]]:
        """The paraphrases of those of n unlike sentences that have a good one, and what was counted."""
        drafts = self.drafts.of(sentences, draws)
        pairs = [(old, new) for old in sentences for new in dict.fromkeys(drafts[old])]
        reasons = [reason_to_drop(old, new, self.config.filters) for old, new in pairs]
        left = [
            (old, new) for (old, new), reason in zip(pairs, reasons, strict=True) if reason is None and new
        ]
        similar = self.similarities.of(left)
        good = [pair for pair in left if similar[pair] >= self.config.filters.min_similarity]
        counts = Counter(f"drafts/{reason}" for reason in reasons if reason is not None)
        counts[f"drafts/{Drop.SIMILARITY}"] += len(left) - len(good)
        counts[f"drafts/{Outcome.KEPT}"] += len(good)
        best: dict[str, str] = {}
        for old, new in good:
            if old not in best or likeness(old, new) < likeness(old, best[old]):
                best[old] = new
        counts[f"sentences/{Outcome.KEPT}"] += len(best)
        counts["sentences/stayed"] += len(sentences) - len(best)
        return best, {key: count for key, count in sorted(counts.items()) if count}

    def chosen(self, sentences: list[str]) -> list[str]:
        """The sentences of a text that are said another way: the first ones of middling length."""
        fit = [sentence for sentence in sentences if self._fits(sentence)]
        return fit[: self.config.max_sentences]

    def _fits(self, sentence: str) -> bool:
        words = [part for part in split_parts(sentence) if part.word]
        per_word = _CHINESE_CHARACTERS_PER_WORD if is_chinese(sentence) else 1
        return _LEAST_WORDS * per_word <= len(words) <= self.config.max_words * per_word

    def _put_together(self, sentences: list[str], found: dict[str, str]) -> str | Outcome:
        if not "".join(sentences).strip():
            return Outcome.EMPTY
        chosen = self.chosen(sentences)
        if not chosen:
            return Outcome.NO_SENTENCE
        said = {sentence: found[sentence.strip()] for sentence in chosen if sentence.strip() in found}
        if not said:
            return Outcome.ALL_DROPPED
        return "".join(_in_place_of(sentence, said.get(sentence)) for sentence in sentences)


def _in_place_of(sentence: str, paraphrase: str | None) -> str:
    """A paraphrase with the space around the sentence for which it stands."""
    if paraphrase is None:
        return sentence
    body = sentence.strip()
    start = sentence.index(body)
    return sentence[:start] + paraphrase + sentence[start + len(body) :]
