"""Which items get augmented views, and what is said of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from crossrec.runtime import distributed

if TYPE_CHECKING:
    from crossrec.augment.content.variants import ImageVariantsConfig, TextVariantsConfig

logger = logging.getLogger(__name__)


class ContentAugmentation(Protocol):
    """What of an experiment's augmentation concerns the content of items."""

    @property
    def text(self) -> TextVariantsConfig | None:
        """Views of texts."""

    @property
    def image(self) -> ImageVariantsConfig | None:
        """Views of pictures."""


@dataclass(frozen=True)
class TrainingViews:
    """Which items get views.

    Only items with a training click do. The others are targets of no click, so that their views would be
    looked up as negatives alone, and nothing that only validation or test knows is augmented.

    Args:
        augment: of the experiment.
        trained_N: (N,) bool, items with a training click.
        seed: of the experiment.
    """

    augment: ContentAugmentation
    trained_N: np.ndarray
    seed: int


def report(content: str, trained: int, usable: int, counts_N: np.ndarray, met: dict[str, int]) -> None:
    """Says on the main process how many items have views, and what happened where some were made.

    Args:
        content: "text" or "picture".
        trained: training items.
        usable: those with such content that can be read.
        counts_N: (N,) views that each item has.
        met: what the augmenters counted on this process, of the views that no cache knew.
    """
    if not distributed.is_main():
        return
    viewed = int((counts_N > 0).sum())
    logger.info(
        "views of the %s: %d of %d training items have %.1f views on average; the others keep their original "
        "alone: %d have no readable %s, %d came back unchanged in every view%s",
        content,
        viewed,
        trained,
        counts_N.sum() / max(viewed, 1),
        trained - usable,
        content,
        usable - viewed,
        f" ({', '.join(f'{name} {count}' for name, count in sorted(met.items()))})" if met else "",
    )
