"""Configuration of user segments and item groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.data.prepare import PreparedData
    from crossrec.data.segments import Groups

UserView = Literal["words", "behaviour"]
ItemView = Literal["words", "categories"]


class SegmentsConfig(Config):
    """K-means segments of users, and groups of items, made from the training part alone.

    Both are slices of the results; user segments are also strata of ``augment.resample``, and item groups a
    modality of the model where ``model.item_group`` says so.

    Args:
        users: number of user segments; those without a training click are in none.
        items: number of item groups; items without any of the views are in none.
        user_views: what users are grouped by: mean TF-IDF of the texts they clicked, counts of their clicks.
        item_views: what items are grouped by: TF-IDF of their text, their categories.
        max_words: size of the vocabulary at most.
        components: dimensions to which TF-IDF is reduced before grouping.
        seed: of the centres.
    """

    users: int = Field(5, ge=1, le=1_000_000)
    items: int = Field(20, ge=1, le=1_000_000)
    user_views: tuple[UserView, ...] = Field(("words", "behaviour"), min_length=1)
    item_views: tuple[ItemView, ...] = Field(("words", "categories"), min_length=1)
    max_words: int = Field(20_000, ge=1)
    components: int = Field(32, ge=1, le=65_536)
    seed: int = Field(0, ge=0)

    def user_segments(self, data: PreparedData, tail_share: float) -> Groups:
        """Segments of the split's users, from their training clicks."""
        from crossrec.data.segments import user_segments

        return user_segments(data, self, tail_share)

    def item_groups(self, data: PreparedData, vectors_ND: np.ndarray | None = None) -> Groups:
        """Groups of the catalogue's items, fitted on those with a training click.

        Args:
            data: cleaned and divided.
            vectors_ND: (N, D) content vectors to group by as well; rows of zeros where missing.
        """
        from crossrec.data.segments import item_groups

        return item_groups(data, self, vectors_ND)
