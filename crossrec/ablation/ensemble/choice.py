"""What validation chooses: weights under every way of fusing, and the way itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec.ablation.ensemble.config import EnsembleStudyConfig
from crossrec.data.splits import Queries, Split
from crossrec.ensemble.candidates import union_of_lists
from crossrec.ensemble.evidence import Answered, Evidence, answered
from crossrec.ensemble.learning import Learned, learn_weights
from crossrec.evaluation.facts import distinct
from crossrec.evaluation.metrics import ACCURACY
from crossrec.types import Recommender

SCORES_AT_ONCE = 1 << 24
MOST_ROWS = 1024
"""Scores of a member, and queries, that are gathered at a time."""


@dataclass(frozen=True)
class Choice:
    """What was chosen on validation.

    Args:
        fusion: the way of fusing whose weights are worth most on users that had no part in learning them.
        learned: under this way.
        trials: (way, what was learned) for all.
    """

    fusion: Any
    learned: Learned
    trials: list[tuple[Any, Learned]]


def choose(
    members: Mapping[str, Recommender], split: Split, config: EnsembleStudyConfig, *, exclude_seen: bool
) -> Choice:
    """Learns weights on validation under every way of fusing, and takes the best cross-fitted way."""
    queries = split.valid
    n_targets_Q = distinct(queries.targets, split.n_items).lengths
    gathered: dict[str, list[Answered]] = {}
    trials: list[tuple[Any, Learned]] = []
    for fusion in config.fusions:
        beyond = fusion.beyond
        if beyond not in gathered:
            gathered[beyond] = gather(
                list(members.values()),
                split,
                queries,
                config.candidates,
                exclude_seen=exclude_seen,
                ask_beyond=beyond == "scored",
            )
        rule = fusion.build(min(config.candidates, split.n_items))
        evidence = Evidence(gathered[beyond], rule, config.missing, queries.users, n_targets_Q, len(members))
        trials.append((fusion, learn_weights(evidence, ACCURACY[config.metric], config.learning)))
    fusion, learned = max(trials, key=lambda trial: trial[1].cross_fitted)
    return Choice(fusion, learned, trials)


def gather(
    members: Sequence[Recommender],
    split: Split,
    queries: Queries,
    places: int,
    *,
    exclude_seen: bool,
    ask_beyond: bool,
) -> list[Answered]:
    """Members' candidates of the queries that have a target among them.

    Args:
        members: fitted.
        split: whose clicks the queries speak of.
        queries: Q queries.
        places: C, length of each member's list.
        exclude_seen: whether items of a query's history are left out.
        ask_beyond: whether members score candidates of others.
    """
    step = max(min(SCORES_AT_ONCE // split.n_items, MOST_ROWS), 1)
    parts = []
    for start in range(0, len(queries), step):
        rows = np.arange(start, min(start + step, len(queries)))
        histories = split.clicks.take(queries.users[rows], queries.ends[rows])
        excluded = histories if exclude_seen else None
        found = union_of_lists(members, histories, excluded, places, ask_beyond=ask_beyond)
        parts.append(answered(found, queries.targets.take(rows), start))
    return parts
