"""crossrec: cross-modal, LLM-based recommenders with diversity as a first-class goal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec.version import __version__

if TYPE_CHECKING:
    from crossrec.serving.loaded import LoadedRecommender

__all__ = ["__version__", "load"]


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
