"""Synthetic items of tail categories and synthetic users with few clicks, from fitted generators.

A synthetic item has no row in the catalogue: in some look-ups of training, its vector replaces the features
of a nearby item of the same categories. So no index in ranking, popularity, negatives, checkpoints or
metrics is ever synthetic, and losses over the catalogue stay comparable. A synthetic user is a row of clicks
on real training items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.sparse import csr_matrix

from crossrec.augment.base import SampleRng, Schedule
from crossrec.augment.generators import VECTOR_GENERATORS, VectorGeneratorOptions
from crossrec.config import Config
from crossrec.data.item_table import tail_items
from crossrec.data.profiles import click_matrix
from crossrec.types import InputError, Sequences
from crossrec.vectors import unit_rows

ClassSource = Literal["categories", "segments"]


class SyntheticItemsConfig(Config):
    """Synthetic items of tail categories: feature vectors that replace an item's own in training.

    Args:
        generator: generator of frozen features of items with a training click, given their categories.
        spaces: names of the modalities whose features are generated; those that the model does not use
            frozen are ignored.
        tail_share: share of the training clicks (of items in categories) in tail categories.
        ratio: number of synthetic items per item of a tail category.
        pool: number of vectors drawn per synthetic item, of which those nearest to the item are kept.
        share: probability that a training look-up of such an item returns a synthetic one.
        schedule: factor of the share over the training.
    """

    generator: VectorGeneratorOptions = Field(
        default_factory=lambda: VECTOR_GENERATORS.parse({"type": "beta_vae"})
    )
    spaces: tuple[str, ...] = Field(("text", "image"), min_length=1)
    tail_share: float = Field(0.3, gt=0, lt=1)
    ratio: int = Field(2, ge=1, le=20)
    pool: int = Field(8, ge=1, le=1_000_000)
    share: float = Field(0.3, gt=0, le=1)
    schedule: Schedule = Schedule()


class SyntheticUsersConfig(Config):
    """Synthetic users like those with few clicks: generated profiles, turned into clicks on real items.

    Args:
        generator: generator of profiles (mean content vectors of training clicks) of users with two clicks
            or more, given the distribution of their clicks over categories.
        max_clicks: maximum number of training clicks (at least two) of oversampled users.
        ratio: number of synthetic users per oversampled user.
        temperature: temperature of the softmax over cosines of profile and item.
        schedule: schedule of the number of synthetic users.
    """

    generator: VectorGeneratorOptions = Field(
        default_factory=lambda: VECTOR_GENERATORS.parse({"type": "beta_vae"})
    )
    max_clicks: int = Field(5, ge=2)
    ratio: float = Field(1.0, gt=0, le=20)
    temperature: float = Field(0.05, gt=0, le=10_000)
    schedule: Schedule = Schedule()


class SynthesisUseConfig(Config):
    """Use of generators in training; evaluation never sees synthetic data.

    Args:
        items: options for items of tail categories; None for none.
        users: options for users with few clicks; None for none.
        components: dimensions to which features are reduced by PCA for the generators.
        classes: condition of a sample: categories (of an item; of a user, how the clicks fall
            on them), or the K-means group of ``segments`` that the item or user is in.
        max_classes: maximum number of categories as condition, the most frequent ones; an item with only
            other categories is generated without a class.
    """

    items: SyntheticItemsConfig | None = None
    users: SyntheticUsersConfig | None = None
    components: int = Field(64, ge=2, le=65_536)
    classes: ClassSource = "categories"
    max_classes: int = Field(256, ge=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.items is None and self.users is None:
            raise ValueError("needs items or users, or leave synthesis out")
        return self


Sample = Callable[[np.ndarray, int], np.ndarray]
"""(n, G) classes and a seed in, (n, W) generated vectors out."""

SCORES_AT_ONCE = 1 << 24
"""Maximum number of scores of synthetic users over training items in memory: 64 MiB in fp32."""

ITEMS_AT_ONCE = 2048
"""Number of items whose pools of vectors are in memory at a time."""


@dataclass(frozen=True)
class SyntheticItems:
    """Synthetic items of tail categories in one feature space.

    Args:
        items: (I,) sorted catalogue indices of the oversampled items.
        vectors: (I, V, W) synthetic vectors for each, nearest first.
        n_training: training items that have features here, to which the number relates.
    """

    items: np.ndarray
    vectors: np.ndarray
    n_training: int

    @property
    def count(self) -> int:
        """Number of synthetic items."""
        return int(self.vectors.shape[0] * self.vectors.shape[1])


@dataclass(frozen=True)
class SyntheticUsers:
    """Synthetic users as rows of clicks on real items.

    Args:
        rows: S rows; their times are those of the users they are made after.
        like: (S,) the few-click user whose number of clicks and categories each was made for.
        n_training: users with two training clicks or more, to which the number relates.
    """

    rows: Sequences
    like: np.ndarray
    n_training: int

    def first(self, share: float) -> Sequences:
        """Return the first ``share`` of the rows, for a schedule."""
        return self.rows.take(np.arange(round(len(self.rows) * share)))


def tail_categories(categories: csr_matrix, train_counts: np.ndarray, share: float) -> np.ndarray:
    """Return (G,) bool, categories outside the smallest top set with ``1 - share`` of the clicks.

    Args:
        categories: (N, G) membership; a click on an item of several categories counts in each.
        train_counts: (N,) training clicks.
        share: maximum share of all counted clicks in the tail.
    """
    clicks_G = np.asarray((categories > 0).T @ train_counts, dtype=np.float64).ravel()
    return tail_items(clicks_G, share)


def oversampled_items(
    categories: csr_matrix, train_counts: np.ndarray, present: np.ndarray, share: float
) -> np.ndarray:
    """Return (I,) sorted training items with features in a tail category.

    Raises:
        InputError: if there is none.
    """
    if not (categories > 0).nnz:
        raise InputError(
            "augment.synthesis.items oversamples tail categories, but no item of the catalogue has one; "
            "give the catalogue categories, or leave items out"
        )
    tail_G = tail_categories(categories, train_counts, share)
    wanted_N = (np.asarray((categories > 0) @ tail_G.astype(np.float32)).ravel() > 0) & (train_counts > 0)
    if not (wanted_N & present).any():
        raise InputError(
            "augment.synthesis.items: no item with a training click and features is in a tail category; "
            "raise tail_share, or leave items out"
        )
    return np.flatnonzero(wanted_N & present)


def synthesise_items(
    features: np.ndarray,
    items: np.ndarray,
    classes: np.ndarray,
    sample: Sample,
    config: SyntheticItemsConfig,
    n_training: int,
    seed: int,
) -> SyntheticItems:
    """Draw vectors of each item's own classes and keep those nearest to it.

    Args:
        features: (N, W) of the catalogue, in the generator's space.
        items: (I,) oversampled items.
        classes: (N, G) classes of all items.
        sample: sample of a generator fitted on training items alone.
        config: options of the items.
        n_training: training items that the number relates to.
        seed: seed of the samples; those of the items from place ``start`` on have ``seed + start``.
    """
    drawn, parts = config.ratio * config.pool, []
    for start in range(0, len(items), ITEMS_AT_ONCE):
        part = items[start : start + ITEMS_AT_ONCE]
        pool = sample(np.repeat(classes[part], drawn, axis=0), seed + start).reshape(len(part), drawn, -1)
        distance = np.linalg.norm(pool - features[part][:, None, :], axis=2)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, : config.ratio]
        parts.append(np.take_along_axis(pool, nearest[:, :, None], axis=1))
    return SyntheticItems(items, np.concatenate(parts), n_training)


def few_click_users(train: Sequences, max_clicks: int) -> np.ndarray:
    """Return (F,) rows of two to ``max_clicks`` clicks.

    Raises:
        InputError: if there is none.
    """
    rows = np.flatnonzero((train.lengths >= 2) & (train.lengths <= max_clicks))
    if not len(rows):
        raise InputError(
            f"augment.synthesis.users: no user has 2 to {max_clicks} training clicks; raise max_clicks, or "
            "leave users out"
        )
    return rows


def user_profiles(train: Sequences, vectors: np.ndarray) -> np.ndarray:
    """Return (U, W) float32 mean vectors of users' training clicks; zeros without clicks.

    Args:
        train: U rows of training clicks.
        vectors: (N, W) of the catalogue; rows of zeros where missing.
    """
    total = click_matrix(train, len(vectors)) @ np.asarray(vectors, np.float32)
    return np.asarray(total / np.maximum(train.lengths, 1)[:, None], dtype=np.float32)


def synthesise_users(
    train: Sequences,
    vectors: np.ndarray,
    classes: np.ndarray,
    sample: Sample,
    config: SyntheticUsersConfig,
    seed: int,
) -> SyntheticUsers:
    """Generate profiles like those of few-click users, and draw their items without replacement.

    A profile's items are drawn from softmax(cosine / temperature) over the training items with a vector, and
    stand in the order in which they were drawn. A row is as long as the user's it was made for.

    Args:
        train: U rows of training clicks.
        vectors: (N, W) item vectors in the space of the profiles; rows of zeros where missing.
        classes: (U, G) classes of all users.
        sample: sample of a generator fitted on training profiles alone.
        config: options of the users.
        seed: seed of profiles and items.

    Source:
        Drawing without repeats by the largest perturbed scores: Kool et al. 2019, "Stochastic beams and where
        to find them" (the Gumbel-top-k trick).
    """
    few = few_click_users(train, config.max_clicks)
    # In a random order, so that any first part of them is as good as another.
    draws = SampleRng(seed, ("synthetic users",), [])
    like = np.tile(few, int(np.ceil(config.ratio)))[: max(1, round(len(few) * config.ratio))]
    like = draws.substream("order").shared().permutation(like)
    profiles = sample(classes[like], seed)
    clicked = np.flatnonzero(np.bincount(train.items, minlength=len(vectors)))
    clicked = clicked[np.any(vectors[clicked] != 0, axis=1)]
    lengths = np.minimum(train.lengths[like], len(clicked))
    turned_WC = np.ascontiguousarray(unit_rows(vectors[clicked]).T / config.temperature, np.float32)
    step = max(1, SCORES_AT_ONCE // max(len(clicked), 1))
    items = [
        _drawn(
            profiles[start : start + step],
            turned_WC,
            lengths[start : start + step],
            draws.substream(start).shared(),
        )
        for start in range(0, len(like), step)
    ]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    like_clicks = train.take(like, lengths)
    drawn = clicked[np.concatenate(items)].astype(train.items.dtype)
    rows = Sequences(offsets, drawn, like_clicks.times, like_clicks.weights)
    return SyntheticUsers(rows, like, int((train.lengths > 1).sum()))


def _drawn(
    profiles: np.ndarray, turned_WC: np.ndarray, lengths: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return flat columns of ``turned_WC``, ``lengths`` per profile."""
    scores_BC = unit_rows(profiles).astype(np.float32) @ turned_WC
    # Less the logarithm of an exponential draw is plus a Gumbel draw.
    waits_BC = generator.standard_exponential(scores_BC.shape, dtype=np.float32)
    scores_BC -= np.log(np.maximum(waits_BC, np.finfo(np.float32).tiny))
    order = _best(scores_BC, int(lengths.max(initial=0)))
    return order[np.arange(order.shape[1]) < lengths[:, None]]


def _best(scores_BC: np.ndarray, k: int) -> np.ndarray:
    """Return (B, k) columns of the largest scores per row, best first."""
    if k == 0:
        return np.zeros((len(scores_BC), 0), dtype=np.int64)
    n = scores_BC.shape[1]
    places_BK = np.argpartition(scores_BC, n - k, axis=1)[:, n - k :]
    order = np.argsort(-np.take_along_axis(scores_BC, places_BK, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places_BK, order, axis=1)


@dataclass(frozen=True)
class PrincipalComponents:
    """Principal component analysis.

    Args:
        mean: (W,) of the vectors it was fitted on.
        axes: (W, C) orthonormal directions.
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, components: int) -> Self:
        """Fit on n vectors; between 1 and min(n - 1, W) components are kept."""
        known = np.asarray(vectors, dtype=np.float64)
        mean = known.mean(0)
        kept = max(1, min(components, len(known) - 1, known.shape[1]))
        _, axes = np.linalg.eigh((known - mean).T @ (known - mean))
        axes = axes[:, ::-1][:, :kept]
        # The sign of an axis depends on the library; the largest entry is made positive.
        signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(kept)])
        return cls(mean.astype(np.float32), (axes * np.where(signs == 0, 1, signs)).astype(np.float32))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, C) coordinates of (n, W) vectors."""
        return (rows - self.mean) @ self.axes

    def direction(self, differences: np.ndarray) -> np.ndarray:
        """Map differences of coordinates (..., C) to differences of vectors (..., W)."""
        return differences @ self.axes.T
