"""Groups of users by how much they clicked and by how mainstream their clicks are."""

from __future__ import annotations

import numpy as np

from crossrec.data.splits import Queries
from crossrec.evaluation.facts import ItemFacts
from crossrec.types import Sequences

EVERYBODY = "all users"


def group_queries(
    queries: Queries, histories: Sequences, facts: ItemFacts, tail_share: float
) -> dict[str, np.ndarray]:
    """The queries of each group; a user's group follows from the user's first query.

    Groups halve the users, at the median of clicks in the history and at the median share of clicks on head
    items (which is highest for mainstream tastes). Users at the median belong to the lower half.

    Args:
        queries: Q queries.
        histories: Q rows.
        facts: of the items.
        tail_share: share of the training clicks that the tail holds.

    Returns:
        Name -> query numbers: all users, few clicks, many clicks, niche taste, mainstream taste. An empty
        group is left out.
    """
    users_U, first_U, user_Q = np.unique(queries.users, return_index=True, return_inverse=True)
    clicks_U = histories.lengths[first_U]
    head_T = ~facts.tail(tail_share)[histories.items]
    head_Q = np.bincount(histories.row_of_click, weights=head_T, minlength=len(histories))
    mainstream_U = head_Q[first_U] / np.maximum(clicks_U, 1)
    many_U = clicks_U > np.median(clicks_U)
    head_heavy_U = mainstream_U > np.median(mainstream_U)
    members = {
        EVERYBODY: np.ones(len(users_U), dtype=bool),
        "few clicks": ~many_U,
        "many clicks": many_U,
        "niche taste": ~head_heavy_U,
        "mainstream taste": head_heavy_U,
    }
    rows = {name: np.flatnonzero(member_U[user_Q]) for name, member_U in members.items()}
    return {name: found for name, found in rows.items() if len(found)}
