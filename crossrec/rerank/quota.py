"""Quotas of exposure: groups of items that nobody was shown get last places, where that costs least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from crossrec.data.item_table import ItemTable
from crossrec.random import GOLDEN, mix_bits
from crossrec.rerank.base import Pool, Reranker, TradeOff
from crossrec.rerank.exposure import ITEM, ExposureAccount, ExposureStore, ItemGroups, StoredAccount
from crossrec.rerank.swaps import Window
from crossrec.types import ABSENT, Sequences

EXACT_PAIRS = 2_000
"""Number of places and candidates in question up to which ``solver: auto`` solves exactly."""


class Quota(Reranker):
    """Quota of exposure: groups below their floor get some of the last places of lists, at the least cost.

    A group is an item, a category, or a value of a column. Its floor is ``floor`` exposures, or ``floor``
    for every ``every`` lists since it joined. A swap puts a candidate with a group below its floor in the
    place of the last item of a list, unless that item keeps a group of its own at the floor; its cost is the
    difference of their relevance. At most a share ``diversity`` of the ``places`` last places of the lists
    is given away. Lists keep the pool's order.

    Unlike other rerankers, this one depends on other lists: it keeps an account of what it showed. Requests
    are served in order of time, that of the last click of their histories (in the given order where times
    are unknown), so that a list depends on earlier requests only.

    - ``batch`` 1, online: each request is decided when it comes. The cheapest swap is accepted if it is among
      the cheapest of recent ones (:class:`crossrec.rerank.exposure.Pace`).
    - ``batch`` above 1: so many requests are decided together. The swaps fill as many exposures below the
      floor as possible, and of those choices they lose the least relevance: exactly (a mixed-integer program,
      the flow from lists through items to groups), or greedily, the cheapest swap first. The lists of a batch
      depend on each other; a history that continues another one of the batch starts the next batch, since
      together they would reveal the targets of the earlier one.

    Source:
        Ours. For exposure as a minimum-cost flow: Antikacioglu, Ravi: Post processing recommender systems for
        diversity (KDD 2017). Fairness of exposure: Singh, Joachims (KDD 2018).

    Args:
        options: diversity, relevance, groups, floor, places, batch and solver.
        items: features of the catalogue's items; categories or a column are used if groups are such.

    Raises:
        InputError: if the catalogue has no categories, or lacks the column.
    """

    keeps_account = True

    class Options(TradeOff):
        """Quota of exposure: items (categories, brands) that are rarely shown get some of the last places.

        Args:
            diversity: share of the last places that may be given away: 0 keeps the pool's order.
            of: groups: each ``item``, each ``category``, or each value of a column.
            floor: number of times that each group is to be shown.
            every: number of lists to which the floor refers; once and for all when None.
            places: number of last places of each list that may be given away.
            batch: number of requests decided together; 1 decides each when it comes.
            solver: solution of a batch: ``exact``, ``greedy``, or ``auto``, exact if it is small.
        """

        reorders: ClassVar[bool] = False

        diversity: float = Field(default=0.25, ge=0, le=1)
        of: str = ITEM
        floor: int = Field(default=1, ge=1)
        every: int | None = Field(default=None, ge=1)
        places: int = Field(default=1, ge=1)
        batch: int = Field(default=1, ge=1)
        solver: Literal["auto", "exact", "greedy"] = "auto"

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._options = options
        self._groups = ItemGroups.of(items, options.of)
        self.account = ExposureAccount(self._groups, options.diversity)

    def restarted(self) -> Quota:
        """Return the same reranker with an empty account of its own."""
        fresh: Quota = object.__new__(type(self))
        fresh._options, fresh._groups = self._options, self._groups
        fresh.account = ExposureAccount(self._groups, self._options.diversity)
        return fresh

    def share_account(self, store: ExposureStore, item_ids: Sequence[str]) -> None:
        """Keep the account in a store from now on; see the base class."""
        settings = self._options.model_dump_json()
        self.account = StoredAccount(self._groups, self._options.diversity, store, item_ids, settings)

    def rerank(self, pool: Pool, k: int) -> Pool:
        """Return a pool of width min(k, C) in the pool's order, and count it as shown."""
        if self._options.diversity == 0:
            return pool.head(k)
        ids_BC = pool.ids_BC.cpu().numpy()
        relevance_BC = pool.relevance(self._options.relevance).cpu().numpy().astype(np.float64)
        columns_BK = np.tile(np.arange(min(k, ids_BC.shape[1])), (len(ids_BC), 1))
        for rows in windows(pool.histories, self._options.batch):
            with self.account.opened():
                columns_BK[rows] = self._decided(ids_BC[rows], relevance_BC[rows], columns_BK[rows])
        columns_BK = np.where(np.take_along_axis(ids_BC, columns_BK, 1) == ABSENT, ABSENT, columns_BK)
        return pool.pick(torch.from_numpy(columns_BK).to(pool.ids_BC.device))

    def _decided(self, ids_WC: np.ndarray, relevance_WC: np.ndarray, columns_WK: np.ndarray) -> np.ndarray:
        """Return the columns of the lists of one window, after counting them as shown."""
        options, account = self._options, self.account
        window = Window(self._floors(len(ids_WC)), account, ids_WC, relevance_WC, columns_WK, options.places)
        n_places = len(ids_WC) * min(options.places, columns_WK.shape[1])
        if options.batch == 1:
            window.swap_cheapest(account.pace.accepts)
        elif n_swaps := account.pace.budget(n_places):
            left = iter(range(n_swaps))
            small = options.solver == "auto" and window.n_pairs <= EXACT_PAIRS
            if options.solver == "exact" or small:
                window.swap_best(n_swaps)
            else:
                window.swap_cheapest(lambda cost: next(left, None) is not None)
                window.swap_more(len(list(left)))
                window.improve()
        account.lists += len(ids_WC)
        return np.sort(window.columns_WK, axis=1)

    def _floors(self, n_lists: int) -> np.ndarray | int:
        """Return the floors of all groups, (G + 1,) or one number, once these lists are shown."""
        options, account = self._options, self.account
        if options.every is None:
            return options.floor
        last_G = account.lists + n_lists - 1 - account.since_G
        return options.floor * (last_G // options.every + 1)


def windows(histories: Sequences, size: int) -> Iterator[np.ndarray]:
    """Yield the rows of at most ``size`` requests at a time, in order of time.

    No history of a window continues another one of it, so that no list is made beside its own targets.

    Args:
        histories: B rows; in order of their last clicks, where these have times, or else in their own.
        size: maximum number of rows.
    """
    times_B = histories.last_times
    order_B = np.arange(len(histories)) if times_B is None else np.argsort(times_B, kind="stable")
    if size == 1:
        yield from order_B[:, None]
        return
    position_T = np.arange(len(histories.items)) - np.repeat(histories.offsets[:-1], histories.lengths)
    keys_T = (histories.items.astype(np.uint64) << np.uint64(32)) + position_T.astype(np.uint64)
    sums = np.zeros(len(keys_T) + 1, dtype=np.uint64)
    np.cumsum(mix_bits(keys_T + np.uint64(GOLDEN)), out=sums[1:])
    wholes, beginnings = set[int](), set[int]()
    rows: list[int] = []
    for row in order_B.tolist():
        start, end = histories.offsets[row], histories.offsets[row + 1]
        *parts, whole = (sums[start : end + 1] - sums[start]).tolist()
        if len(rows) == size or whole in beginnings or not wholes.isdisjoint(parts):
            yield np.asarray(rows)
            wholes, beginnings, rows = set(), set(), []
        wholes.add(whole)
        beginnings.update(parts)
        rows.append(row)
    if rows:
        yield np.asarray(rows)
