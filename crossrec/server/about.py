"""What is said of the model that is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossrec.config import Config
from crossrec.experiment.prepared import MODEL_SPACE, describe_reranking
from crossrec.rerank.recommender import RerankConfig
from crossrec.server.schemas import OFFERED, Measured, ModelAnswer, Range, RerankerInfo
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.server.service import Service
    from crossrec.serving.loaded import LoadedRecommender

SHOWN_K = "@10"
SHOWN = ("ndcg", "recall", "hit", "coverage", "gini", "ild", "ild_category", "novelty")
"""Measured figures that are shown, of lists of ten."""

CATEGORY = "category"


def model_answer(service: Service) -> ModelAnswer:
    """What is served, as it is now."""
    shop, config = service.shop, service.shop.config
    spaces = spaces_of(shop)
    return ModelAnswer(
        name=shop.name,
        model=shop.about.model,
        items=len(service.shelf),
        users=len(service.users),
        modalities=list(shop.model.modalities),
        spaces=spaces,
        rerankers=offered(shop, spaces),
        run_rerank=None if config.rerank is None else describe_reranking(config.rerank),
        data=shop.about.data_name,
        note=shop.about.data_note,
        metrics=measured(shop.about.metrics),
        retrieval=service.lists.retrieval,
        feedback=service.log is not None,
        max_upload_bytes=service.config.max_upload_bytes,
    )


def spaces_of(shop: LoadedRecommender) -> list[str]:
    """Spaces in which this recommender can compare items."""
    return [MODEL_SPACE, *shop.items.spaces.names]


def offered(shop: LoadedRecommender, spaces: Sequence[str]) -> list[RerankerInfo]:
    """Rerankers that this catalogue has what they need for, with the spaces that they may go by."""
    found = []
    for name, kind in OFFERED.items():
        usable = _works(shop, kind)
        by_likeness = "space" in kind.model_fields
        if usable or by_likeness:
            found.append(
                RerankerInfo(
                    type=name,
                    summary=(kind.__doc__ or "").strip().splitlines()[0],
                    diversity=kind.model_fields["diversity"].default,
                    spaces=[*([CATEGORY] if usable else []), *spaces] if by_likeness else [],
                )
            )
    return found


def _works(shop: LoadedRecommender, kind: type[Config]) -> bool:
    """Whether a reranker can be made with its defaults: it says itself what a catalogue lacks."""
    try:
        shop.items.rerankers(RerankConfig.model_validate({"stages": [kind()]}))
    except InputError:
        return False
    return True


def measured(metrics: Mapping[str, Any]) -> dict[str, Measured]:
    """The figures to show of a ``metrics.json``; empty where nothing was measured."""
    found = {}
    for name in SHOWN:
        entry = metrics.get(name + SHOWN_K)
        if isinstance(entry, Mapping) and isinstance(value := entry.get("value"), int | float):
            ends = entry.get("ci95") or [None, None]
            interval = None if None in ends else Range(low=ends[0], high=ends[1])
            found[name + SHOWN_K] = Measured(value=value, ci95=interval)
    return found
