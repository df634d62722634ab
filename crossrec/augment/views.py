"""What views of items share, whatever they show: how many there are, how often they are used, their names."""

from __future__ import annotations

import hashlib

from pydantic import Field

from crossrec.augment.base import Draws
from crossrec.augment.schedule import Schedule
from crossrec.config import Config


class ViewsConfig(Config):
    """How many augmented views an item has, and how often training takes one in the original's place."""

    views: int = Field(4, ge=1, le=1_000, description="of each item that has a training click")
    share: float = Field(
        0.5, ge=0, le=1, description="chance that a training lookup of an item takes one of its views"
    )
    schedule: Schedule = Field(Schedule(), description="multiplies the share as training goes on")


def view_draws(seed: int, view: int, keys: list[str]) -> Draws:
    """The draws of one view of each item.

    Args:
        seed: of the experiment.
        view: its number, from 0; a view is the same however many others there are.
        keys: digests of the items' content, so that equal content has equal views.
    """
    return Draws(seed, ("view", view), keys)


def view_key(content: str, recipe: str, seed: int, view: int) -> str:
    """Names a view's content without making it: it is a function of these four alone.

    Args:
        content: digest of the item's own content.
        recipe: digest of the augmenters and of whatever else they read.
        seed: of the experiment.
        view: its number.
    """
    return digest("view", content, recipe, seed, view)


def digest(*parts: str | int) -> str:
    """A short hash of some strings and numbers."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
