"""crossrec: cross-modal, LLM-based recommenders with diversity as a first-class goal.

Everything that YAML can name is here by its class: ``crossrec.MMR(diversity=0.2)`` is what
``{type: mmr, diversity: 0.2}`` is in a configuration. Names are imported on first use.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.version import __version__

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset
    from crossrec.data.fitted import FittedRecommender
    from crossrec.ensemble.recommender import Ensemble
    from crossrec.experiment.compare import compare
    from crossrec.experiment.measure import evaluate
    from crossrec.model.text_scorer import TextScorer
    from crossrec.rerank.recommender import RerankConfig
    from crossrec.serving.loaded import LoadedRecommender
    from crossrec.serving.sequential import SequentialRecommender

_NAMES = {
    "Dataset": "crossrec.data.dataset:Dataset",
    "SequentialRecommender": "crossrec.serving.sequential:SequentialRecommender",
    "FittedRecommender": "crossrec.data.fitted:FittedRecommender",
    "Ensemble": "crossrec.ensemble.recommender:Ensemble",
    "RerankConfig": "crossrec.rerank.recommender:RerankConfig",
    "TextScorer": "crossrec.model.text_scorer:TextScorer",
    "compare": "crossrec.experiment.compare:compare",
    "evaluate": "crossrec.experiment.measure:evaluate",
}
_FAMILIES = (
    "crossrec.model.modalities:MODALITIES",
    "crossrec.model.fusion:FUSIONS",
    "crossrec.model.sequence:SEQUENCE_MODELS",
    "crossrec.baselines:BASELINES",
    "crossrec.rerank:RERANKERS",
    "crossrec.exploration:EXPLORERS",
    "crossrec.ensemble:LIST_FUSIONS",
    "crossrec.losses:LOSSES",
    "crossrec.losses:DIVERSITY_SETS",
    "crossrec.losses.terms:DIVERSITY_TERMS",
    "crossrec.losses.terms:CONTRASTIVE_TERMS",
    "crossrec.augment.content.text:TEXT_AUGMENTERS",
    "crossrec.augment.content.image:IMAGE_AUGMENTERS",
    "crossrec.augment.sequences:SEQUENCE_AUGMENTERS",
    "crossrec.augment.generators:GENERATORS",
    "crossrec.data.sources:SOURCES",
    "crossrec.data.splits:SPLITS",
)
"""Families whose members are public here by their class names."""

__all__ = [
    "Dataset",
    "Ensemble",
    "FittedRecommender",
    "RerankConfig",
    "SequentialRecommender",
    "TextScorer",
    "__version__",
    "compare",
    "evaluate",
    "load",
]


def _found(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _components() -> dict[str, str]:
    """Return the class name of each member of the families -> ``module:Class``."""
    members = (target for family in _FAMILIES for target in _found(family).members.values())
    return {target.partition(":")[2]: target for target in members}


def __getattr__(name: str) -> Any:
    target = _NAMES.get(name) or (None if name.startswith("_") else _components().get(name))
    if target is None:
        raise AttributeError(f"module 'crossrec' has no attribute '{name}'")
    value = globals()[name] = _found(target)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_components()})


def load(
    source: str | Path, *, overrides: Sequence[str] = (), device: str = "auto", trust_code: bool = False
) -> LoadedRecommender:
    """Load a trained recommender, ready to recommend.

    Args:
        source: folder of a run, folder that ``save_pretrained`` wrote, or name of such a folder on the
            Hugging Face hub, ``user/name``.
        overrides: overrides of a run's configuration, such as ``["data.root=elsewhere"]``.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``.
        trust_code: whether to import classes outside crossrec that the folder names (``type: module:Class``),
            which may run any code; rejected by default. Code that comes with pretrained weights is never run.

    Raises:
        InputError: if there is no such recommender, or data or weights that it needs are unavailable.
    """
    from crossrec.serving.loaded import LoadedRecommender
    from crossrec.serving.opening import open_recommender

    return LoadedRecommender(
        open_recommender(source, overrides=overrides, device=device, trust_code=trust_code)
    )
