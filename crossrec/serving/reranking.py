"""What a caller means by ``rerank=``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossrec.config import validate
from crossrec.rerank.recommender import RerankConfig
from crossrec.types import InputError

RUN = "run"
"""Asks for the run's own reranking."""


def as_rerank(
    given: RerankConfig | str | Mapping[str, Any] | None, of_run: RerankConfig | None
) -> RerankConfig | None:
    """The chain of rerankers that is meant.

    Args:
        given: a configuration; the name of one reranker, with its default strength; ``"run"`` for the run's
            own; a mapping as in YAML, of the whole chain or of one stage; None for no reranking.
        of_run: of the run's configuration.

    Raises:
        InputError: the run has no reranking.
        ConfigError: there is no such reranker, or it has no such option.
    """
    if given is None or isinstance(given, RerankConfig):
        return given
    if given == RUN:
        if of_run is None:
            raise InputError(
                "rerank='run': this run has no reranking of its own; name a reranker, such as mmr"
            )
        return of_run
    stage = {"type": given} if isinstance(given, str) else dict(given)
    content = stage if "stages" in stage else {"stages": [stage]}
    return validate(RerankConfig, content, "rerank", trust_code=True)
