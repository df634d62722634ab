"""Augmenters of texts; each takes ``(options, cache_dir, encode)``."""

from typing import Annotated

from crossrec.augment.content.text.base import TextOptions
from crossrec.config import Family

TEXT_AUGMENTERS = Family(
    "text augmenter",
    {
        "synonyms": "crossrec.augment.content.text.synonyms:Synonyms",
        "character_noise": "crossrec.augment.content.text.character_noise:CharacterNoise",
        "word_noise": "crossrec.augment.content.text.word_noise:WordNoise",
        "reorder": "crossrec.augment.content.text.reorder:TextReorder",
        "transform": "crossrec.augment.content.text.transform:Transform",
        "paraphrase": "crossrec.augment.content.text.paraphrase:Paraphrase",
    },
)
TextAugmenterOptions = Annotated[TextOptions, TEXT_AUGMENTERS]
