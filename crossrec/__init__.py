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
    """Return a trained recommender, ready to recommend.

    Args:
        source: the folder of a run, a folder that ``save_pretrained`` wrote, or the name of such a folder on
            the Hugging Face hub, ``user/name``.
        overrides: laid on a run's configuration, such as ``["data.root=elsewhere"]``.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``.
        trust_code: import the classes outside crossrec that the folder names (``type: module:Class``), which
            may run any code; refused by default. Code that comes with pretrained weights is never run.

    Raises:
        InputError: if there is no such recommender, or what it needs can't be had.
    """
    from crossrec.serving.loaded import LoadedRecommender
    from crossrec.serving.opening import open_recommender

    return LoadedRecommender(
        open_recommender(source, overrides=overrides, device=device, trust_code=trust_code)
    )
