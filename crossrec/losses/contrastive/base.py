"""What contrastive terms see of a step, and their contract."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class ViewSample:
    """Two augmented views of each history of a step.

    Args:
        first_BD, second_BD: float32 vector of each view; row b of both is of the same history.
        users_B: int64, equal for histories of the same user.
    """

    first_BD: Tensor
    second_BD: Tensor
    users_B: Tensor


@dataclass(frozen=True)
class ItemSample:
    """Some items of a step, each known by its modalities.

    Args:
        features_KMD: float32 projected features; anything where a modality is missing.
        present_KM: bool.
    """

    features_KMD: Tensor
    present_KM: Tensor


@dataclass(frozen=True)
class ContrastSample:
    """What terms asked for: None where no term did, or where the step has nothing of it.

    Args:
        views: of the histories.
        items: of the catalogue.
    """

    views: ViewSample | None = None
    items: ItemSample | None = None


class ContrastiveTerm(nn.Module):
    """A loss in fp32 that pulls together what belongs together, among everything of a step.

    Attributes:
        needs_views: whether it looks at two views of each history.
        needs_items: how many of a step's items it looks at, at most; 0 for none.
    """

    needs_views: bool = False
    needs_items: int = 0

    def can_see(self, sample: ContrastSample) -> bool:
        """Whether the sample has what the term needs."""
        return (sample.views is not None or not self.needs_views) and (
            sample.items is not None or not self.needs_items
        )

    def forward(self, sample: ContrastSample) -> Tensor:
        """() mean in nats over what the term compares; the sample has what the term needs."""
        raise NotImplementedError("a contrastive term implements forward()")
