"""Sample users of a report, and items as cards with embedded thumbnails."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrec.data.catalog import Catalog
from crossrec.evaluation.report.content import RecommenderResult
from crossrec.evaluation.report.glossary import CUTOFF
from crossrec.runtime.pictures import UnreadablePicture, jpeg
from crossrec.types import ABSENT, Sequences, TopK

MAX_INSPECTED = 20_000
"""Number of queries considered for the sample, which bounds its cost."""


@dataclass(frozen=True)
class Showcase:
    """Queries whose lists are shown as pictures.

    Args:
        queries: rows of the evaluation, in display order.
        n_hits: number of them with a hit of the model within the cutoff.
    """

    queries: np.ndarray
    n_hits: int

    @property
    def n_misses(self) -> int:
        """Number of queries without a hit."""
        return len(self.queries) - self.n_hits


def hits_of(ids_QK: np.ndarray, targets: Sequences) -> np.ndarray:
    """Return (Q, K) bool, whether a recommended item is one of its query's targets."""
    width = max(int(ids_QK.max(initial=0)), int(np.max(targets.items, initial=0))) + 1
    wanted = targets.row_of_click * width + targets.items
    offered = np.arange(len(ids_QK))[:, None] * width + ids_QK
    return np.isin(offered, wanted) & (ids_QK != ABSENT)


def choose_users(lists: TopK, targets: Sequences, user_ids: Sequence[str], n: int, seed: int) -> Showcase:
    """Draw queries of different users, half of them hits of the model if there are enough.

    Args:
        lists: (Q, K) the model's lists.
        targets: Q rows of the next clicks.
        user_ids: (Q,) original ids; a user with several queries is shown once.
        n: maximum number of queries.
        seed: seed of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(lists))[:MAX_INSPECTED]
    _, first = np.unique(
        np.asarray([user_ids[q] for q in order], dtype=object).astype(str),
        return_index=True,
    )
    order = order[np.sort(first)]
    hit = hits_of(lists.ids[order, :CUTOFF], targets.take(order)).any(axis=1)
    hits, misses = order[hit], order[~hit]
    n_hits = min(len(hits), max(n // 2, n - len(misses)))
    n_misses = min(len(misses), n - n_hits)
    return Showcase(np.concatenate([hits[:n_hits], misses[:n_misses]]), n_hits)


logger = logging.getLogger(__name__)


THUMBNAIL = 160
"""Longest side of an embedded picture, pixels."""


JPEG_QUALITY = 78


N_HISTORY = 8
"""Maximum number of clicks shown of a history, and of the next clicks."""


MAX_CATEGORIES = 3


FIELDS = ["item_id", "title", "price", "categories"]


@dataclass(frozen=True)
class Card:
    """Card of an item; ``picture`` is a CSS class, or empty for a placeholder."""

    title: str
    initial: str
    price: str
    categories: str
    picture: str
    hit: bool = False
    rank: int = 0


@dataclass(frozen=True)
class ListView:
    """One recommender's list for one user."""

    name: str
    cards: list[Card]
    hit_ranks: list[int]


@dataclass(frozen=True)
class UserView:
    """One user: clicks (newest first), next clicks, and recommendations."""

    user_id: str
    n_history: int
    history: list[Card]
    n_next: int
    next_clicks: list[Card]
    lists: list[ListView]


@dataclass
class Pictures:
    """Distinct pictures of a page.

    Args:
        rules: data URI of each CSS class.
        ratios: width divided by height of each picture.
        n_broken: number of unreadable pictures.
    """

    rules: dict[str, str]
    ratios: list[float]
    n_broken: int = 0

    @property
    def ratio(self) -> float:
        """Aspect ratio of the cards' picture box: that of the median picture within bounds."""
        return float(np.clip(np.median(self.ratios), 0.66, 1.5)) if self.ratios else 1.0

    def add(self, catalog: Catalog, row: int) -> str:
        """Return the CSS class of an item's picture; empty if it is missing or unreadable."""
        try:
            picture = catalog.image(row)
        except UnreadablePicture as error:
            self.n_broken += 1
            logger.warning("item %s: its picture can't be read (%s)", catalog.item_ids[row], error)
            return ""
        if picture is None:
            return ""
        data = jpeg(picture, THUMBNAIL, JPEG_QUALITY)
        name = "p" + hashlib.sha256(data).hexdigest()[:12]
        if name not in self.rules:
            self.rules[name] = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
            self.ratios.append(picture.width / picture.height)
        return name


def build_users(
    showcase: Showcase,
    catalog: Catalog,
    histories: Sequences,
    targets: Sequences,
    user_ids: Sequence[str],
    shown: Sequence[RecommenderResult],
) -> tuple[list[UserView], Pictures]:
    """Return the content of the section on users.

    Args:
        showcase: queries to show.
        catalog: catalogue of N items.
        histories: Q rows.
        targets: Q rows of the next clicks.
        user_ids: (Q,) original ids.
        shown: recommenders whose lists are shown.
    """
    queries = showcase.queries
    past, after = histories.take(queries), targets.take(queries)
    lists = [result.lists.ids[queries, :CUTOFF] for result in shown]
    hits = [hits_of(ids, after) for ids in lists]
    rows = [
        past.tail(N_HISTORY).items,
        *(after.row(u)[:N_HISTORY] for u in range(len(queries))),
    ]
    needed = np.unique(np.concatenate([*rows, *(ids[ids != ABSENT] for ids in lists)]).astype(np.int64))
    cards, pictures = _cards(catalog, needed)
    views = [
        UserView(
            user_id=str(user_ids[query]),
            n_history=len(past.row(u)),
            history=[cards[int(i)] for i in past.row(u)[-N_HISTORY:][::-1]],
            n_next=len(after.row(u)),
            next_clicks=[cards[int(i)] for i in after.row(u)[:N_HISTORY]],
            lists=[
                _list(r.name, ids[u], hit[u], cards) for r, ids, hit in zip(shown, lists, hits, strict=True)
            ],
        )
        for u, query in enumerate(queries)
    ]
    return views, pictures


def _list(name: str, ids_K: np.ndarray, hit_K: np.ndarray, cards: dict[int, Card]) -> ListView:
    shown = [
        replace(cards[int(item)], hit=bool(hit), rank=rank)
        for rank, (item, hit) in enumerate(zip(ids_K, hit_K, strict=True), start=1)
        if item != ABSENT
    ]
    return ListView(name, shown, [card.rank for card in shown if card.hit])


def _cards(catalog: Catalog, rows: np.ndarray) -> tuple[dict[int, Card], Pictures]:
    pictures = Pictures({}, [])
    cards = {}
    table = catalog.dataset.select_columns(FIELDS)[rows.tolist()]
    for at, row in enumerate(rows.tolist()):
        title = (table["title"][at] or "").strip() or table["item_id"][at]
        price = table["price"][at]
        cards[row] = Card(
            title=title,
            initial=next((c.upper() for c in title if c.isalnum()), "?"),
            price="" if price is None or not np.isfinite(price) else f"{price:,.2f}",
            categories=" · ".join((table["categories"][at] or [])[:MAX_CATEGORIES]),
            picture=pictures.add(catalog, row),
        )
    if pictures.n_broken:
        logger.warning(
            "%d of %d pictures could not be read and are replaced by placeholders",
            pictures.n_broken,
            len(rows),
        )
    return cards, pictures
