"""Augmenters of click sequences; each takes ``(options, context)``."""

from typing import Annotated

from crossrec.augment.sequences.base import SequenceOptions
from crossrec.config import Family

SEQUENCE_AUGMENTERS = Family(
    "sequence augmenter",
    {
        "crop": "crossrec.augment.sequences.order:ItemCrop",
        "mask": "crossrec.augment.sequences.order:ItemMask",
        "reorder": "crossrec.augment.sequences.order:ItemReorder",
        "substitute": "crossrec.augment.sequences.similar:ItemSubstitute",
        "insert": "crossrec.augment.sequences.similar:ItemInsert",
    },
)
SequenceAugmenterOptions = Annotated[SequenceOptions, SEQUENCE_AUGMENTERS]
