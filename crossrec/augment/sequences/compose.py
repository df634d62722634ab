"""Composition of sequence augmenters, and the configuration of sequence augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from crossrec.augment.base import Augmented, Schedule, count_name
from crossrec.augment.sequences import SEQUENCE_AUGMENTERS, SequenceAugmenterOptions
from crossrec.augment.sequences.base import RowRng, SequenceAugmenter, SequenceContext, stack_rows
from crossrec.config import Config
from crossrec.types import Sequences

DEFAULT_AUGMENTERS = ({"type": "crop"}, {"type": "mask"}, {"type": "reorder"})


class SequenceAugmentConfig(Config):
    """Augmented copies of users' training clicks, drawn again each epoch.

    The augmenters also make the two views of a history that a contrastive loss compares; for views alone,
    set ``copies`` to 0.
    """

    augmenters: tuple[SequenceAugmenterOptions, ...] = Field(
        default_factory=lambda: tuple(map(SEQUENCE_AUGMENTERS.parse, DEFAULT_AUGMENTERS)),
        min_length=1,
        description="by default crop, mask and reorder",
    )
    mode: Literal["one", "chain"] = Field(
        "one", description="each row goes through one augmenter at random, or through all in turn"
    )
    copies: float = Field(
        1.0, ge=0, le=10, description="augmented rows per original and epoch; 0.5 copies half of them"
    )
    max_clicks: int | None = Field(
        None, ge=1, description="maximum number of clicks of copied rows; None for all"
    )
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _schedule_is_used(self) -> Self:
        if self.copies == 0 and (self.schedule != Schedule() or self.max_clicks is not None):
            raise ValueError("schedule and max_clicks are of the copies, and copies is 0")
        return self

    def build(self, context: SequenceContext) -> SequenceAugmenter:
        """Build all augmenters as one.

        Raises:
            InputError: if content similarity is chosen and the items have no vectors.
        """
        built = [
            (f"{n}_{count_name(SEQUENCE_AUGMENTERS, options)}", options.build(context))
            for n, options in enumerate(self.augmenters)
        ]
        return OneOf(built) if self.mode == "one" else InTurn(built)


class OneOf(SequenceAugmenter):
    """Uniform choice of one augmenter per row.

    Args:
        augmenters: at least one, by the name under which they are counted.

    Source:
        Xie et al. 2022, CL4SRec, section III-C: two operators drawn from the set for the two views of a row.
    """

    def __init__(self, augmenters: Sequence[tuple[str, SequenceAugmenter]]) -> None:
        self.augmenters = list(augmenters)

    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
        """Counts are named ``<augmenter>.<what happened>``."""
        choice = (numbers.rows("choice") * len(self.augmenters)).astype(np.int64)
        parts, order = [], []
        counts: dict[str, int] = {}
        changed = np.zeros(len(samples), dtype=bool)
        for number, (name, augmenter) in enumerate(self.augmenters):
            rows = np.flatnonzero(choice == number)
            found = augmenter.augment_rows(samples.take(rows), numbers.take(rows).substream(number))
            parts.append(found.samples)
            order.append(rows)
            changed[rows] = found.changed
            counts |= {f"{name}.{what}": n for what, n in found.counts.items()}
        return Augmented(stack_rows(parts).take(np.argsort(np.concatenate(order))), changed, counts)


class InTurn(SequenceAugmenter):
    """Sequential composition: every row passes through all augmenters.

    Args:
        augmenters: at least one, by the name under which they are counted.
    """

    def __init__(self, augmenters: Sequence[tuple[str, SequenceAugmenter]]) -> None:
        self.augmenters = list(augmenters)

    def augment_rows(self, samples: Sequences, numbers: RowRng) -> Augmented[Sequences]:
        """Counts are named ``<augmenter>.<what happened>``."""
        changed = np.zeros(len(samples), dtype=bool)
        counts: dict[str, int] = {}
        for number, (name, augmenter) in enumerate(self.augmenters):
            found = augmenter.augment_rows(samples, numbers.substream(number))
            samples, changed = found.samples, changed | found.changed
            counts |= {f"{name}.{what}": n for what, n in found.counts.items()}
        return Augmented(samples, changed, counts)
