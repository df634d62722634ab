"""Writes titles and texts. They name category, material and occasion, and know nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.data.sources.demo import phrases
from crossrec.data.sources.demo.vocabulary import CATEGORIES, MATERIALS, OCCASIONS


def write_title_and_text(
    category: int, material: int, occasion: int, rng: np.random.Generator
) -> tuple[str, str]:
    """A title (which names the category only) and a description of three to six sentences.

    Args:
        category: level of ``vocabulary.CATEGORIES``.
        material: level of ``vocabulary.MATERIALS``.
        occasion: level of ``vocabulary.OCCASIONS``.
    """
    kind, substance = CATEGORIES[category], MATERIALS[material]
    words: dict[str, object] = {name: _pick(values, rng) for name, values in phrases.NUMBERS.items()}
    words |= {
        "name": str(_pick(phrases.NAME_STARTS, rng)) + str(_pick(phrases.NAME_ENDS, rng)),
        "brand": _pick(phrases.BRANDS, rng),
        "noun": _pick(kind.nouns, rng),
        "material": substance,
        "virtue": _pick(phrases.VIRTUES[substance], rng),
        "occasion": _pick(list(OCCASIONS.values())[occasion], rng),
    }
    middle = [_pick(phrases.MATERIAL_SENTENCES, rng), _pick(phrases.OCCASION_SENTENCES, rng)]
    n_features = int(rng.integers(0, 3))
    features = phrases.FEATURES[kind.name]
    middle += [features[i] for i in rng.permutation(len(features))[:n_features]]
    parts = [_pick(phrases.OPENERS, rng), *(middle[i] for i in rng.permutation(len(middle)))]
    if rng.random() < 0.5:
        parts.append(_pick(phrases.CLOSERS, rng))
    title = str(_pick(phrases.TITLES, rng)).format_map({**words, "noun": str(words["noun"]).title()})
    return title, " ".join(_sentence(str(part).format_map(words)) for part in parts)


def _sentence(text: str) -> str:
    """With a capital first letter, which a material or a name put in front may lack."""
    return text[0].upper() + text[1:]


def _pick(values: Sequence[object], rng: np.random.Generator) -> object:
    return values[int(rng.integers(len(values)))]
