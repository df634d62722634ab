"""What generators learn: samples, and what they are told of them, categories or K-means groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossrec.types import ABSENT, InputError

if TYPE_CHECKING:
    from crossrec.augment.generators.application import ClassSource
    from crossrec.data.segments import ClusterAssignment
    from crossrec.experiment.prepared import PreparedExperiment


@dataclass(frozen=True)
class Material:
    """Samples with their classes.

    Args:
        samples: (n, …) float32.
        classes: (n, G) float32 multi-hot.
        class_names: G names.
    """

    samples: np.ndarray
    classes: np.ndarray
    class_names: tuple[str, ...]


def item_classes(
    setting: PreparedExperiment, source: ClassSource, max_classes: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The items' classes.

    Args:
        setting: of the experiment.
        source: ``categories``, or ``segments`` for the item groups.
        max_classes: categories of most training items that are kept; groups are kept all.

    Returns:
        (N, G) float32 membership, and G names.

    Raises:
        InputError: groups are asked for, and the experiment has none.
    """
    if source == "segments":
        return _of_groups(setting.item_groups)
    data = setting.data
    members = data.catalog.category_matrix
    sizes = np.asarray(members[data.split.train_counts > 0].sum(0)).ravel()
    chosen = np.sort(np.argsort(-sizes, kind="stable")[:max_classes])
    names = tuple(data.catalog.category_names[place] for place in chosen)
    return members[:, chosen].toarray().astype(np.float32), names


def segment_classes(setting: PreparedExperiment) -> tuple[np.ndarray, tuple[str, ...]]:
    """(U, G) float32 membership of users in their segments, and G names.

    Raises:
        InputError: the experiment has no segments.
    """
    return _of_groups(setting.segments)


def _of_groups(groups: ClusterAssignment | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if groups is None:
        raise InputError(
            "classes: segments tells generators the groups of the section 'segments', which the "
            "configuration lacks: add it, or set classes to categories"
        )
    labels, n_groups = groups.labels, len(groups.notes)
    members = np.zeros((len(labels), n_groups), np.float32)
    known = np.flatnonzero(labels != ABSENT)
    members[known, labels[known]] = 1
    return members, tuple(str(group) for group in range(n_groups))
