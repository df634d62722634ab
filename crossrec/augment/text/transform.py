"""Sentences built another way, by rules that keep their meaning."""

from __future__ import annotations

import numpy as np

from crossrec.augment.text.chinese_rules import connectives_changed
from crossrec.augment.text.clause_rules import adverb_moved, fronted, postponed, year_moved
from crossrec.augment.text.contractions import contracted, expanded
from crossrec.augment.text.outcome import EachText, Outcome
from crossrec.augment.text.segmentation import is_chinese, split_sentences

_ENGLISH_RULES = (fronted, postponed, adverb_moved, year_moved, expanded, contracted)


class Transform(EachText):
    """One rule a sentence, drawn evenly among those that fit it.

    English: a final subordinate clause comes first, or a first one last; an adverb such as "however" or a
    year moves; contractions are spelled out or made. Chinese: a connective, or a pair of them, becomes its
    equal. A rule that might bend the meaning of a sentence leaves it alone.

    Args:
        share: chance of each sentence that a rule fits.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def rewrite(self, text: str, generator: np.random.Generator) -> str | Outcome:
        """A text with sentences built another way, or why there is none."""
        sentences = split_sentences(text)
        made = [_all_forms(sentence) for sentence in sentences]
        if not any(made):
            return Outcome.NO_RULE
        for row, forms in enumerate(made):
            if forms and generator.random() < self.share:
                sentences[row] = forms[int(generator.integers(len(forms)))]
        return "".join(sentences)


def _all_forms(sentence: str) -> list[str]:
    if is_chinese(sentence):
        return connectives_changed(sentence)
    return [form for rule in _ENGLISH_RULES if (form := rule(sentence)) is not None]
