"""Swaps that raise the exposure of groups: lists that are decided together, greedily or exactly."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import coo_array

from crossrec.rerank.exposure import ExposureAccount
from crossrec.rerank.greedy import TIE

Accepts = Callable[[float], bool]
"""Whether to make a swap, by its cost."""


class Window:
    """Lists that are decided together: the best candidates, in whose last places others may be put.

    The lists are counted as shown at once, and so is every swap.

    Args:
        floor: (G + 1,) floor of each group, or one for all.
        account: account of the groups.
        ids_WC: (W, C) candidates, ``ABSENT`` last.
        relevance_WC: (W, C) relevance.
        columns_WK: (W, K) columns of the lists, ascending.
        places: number of last places that may be given away.
    """

    def __init__(
        self,
        floor: np.ndarray | int,
        account: ExposureAccount,
        ids_WC: np.ndarray,
        relevance_WC: np.ndarray,
        columns_WK: np.ndarray,
        places: int,
    ) -> None:
        self._floor, self._account, self._lists_NM = floor, account, account.groups.lists_NM
        self._ids_WC, self._relevance_WC = ids_WC, relevance_WC
        self.columns_WK = columns_WK.copy()
        self._open = range(columns_WK.shape[1] - 1, max(columns_WK.shape[1] - places, 0) - 1, -1)
        account.show(np.take_along_axis(ids_WC, columns_WK, 1))
        groups_WOM = self._lists_NM[ids_WC[:, columns_WK.shape[1] :]]
        below_WO = (account.shown_G[groups_WOM] < self._floor_of(groups_WOM)).any(2)
        row_P, column_P = np.nonzero(below_WO)
        column_P += columns_WK.shape[1]
        order_P = np.lexsort((column_P, -relevance_WC[row_P, column_P], row_P))
        self._row_P, self._column_P = row_P[order_P], column_P[order_P]
        self._columns: list[int] = self._column_P.tolist()
        rows, starts, counts = np.unique(self._row_P, return_index=True, return_counts=True)
        self._starts = dict(zip(rows.tolist(), starts.tolist(), strict=True))
        self._ends = dict(zip(rows.tolist(), (starts + counts).tolist(), strict=True))

    @property
    def n_pairs(self) -> int:
        """Number of lists and candidates that may be swapped in."""
        return len(self._row_P) + len(self._open) * len(self._starts)

    def swap_cheapest(self, accepts: Accepts) -> None:
        """Swap greedily, the cheapest swap first.

        Args:
            accepts: function of the cost that says whether to swap; the first refusal ends it.
        """
        heap: list[tuple[float, int, int, int]] = []

        def push(row: int, position: int, place: int) -> None:
            if position < self._ends[row] and place < len(self._open):
                kept = self.columns_WK[row, self._open[place]]
                cost = self._relevance_WC[row, kept] - self._relevance_WC[row, self._columns[position]]
                heapq.heappush(heap, (float(cost), row, position, place))

        for row, position in self._starts.items():
            push(row, position, 0)
        while heap:
            cost, row, position, place = heapq.heappop(heap)
            if not self._n_below(self._ids_WC[row, self._columns[position]]):
                push(row, position + 1, place)
            elif self._n_needed(self._ids_WC[row, self.columns_WK[row, self._open[place]]]):
                push(row, position, place + 1)
            elif accepts(cost):
                self._swap(row, self._open[place], self._columns[position])
                push(row, position + 1, place + 1)
            else:
                return

    def swap_more(self, n_swaps: int) -> None:
        """Swap in what the lists of :meth:`swap_cheapest` have no place for, by moving others to free lists.

        A list without a candidate below its floor takes an item from a list that has one. These are the
        augmenting paths of two lists; longer ones are left out.

        Args:
            n_swaps: maximum number of swaps.
        """
        if not n_swaps:
            return
        given: dict[int, list[tuple[int, int]]] = {}
        for row, place, column in self._given():
            given.setdefault(int(self._ids_WC[row, column]), []).append((row, place))
        for row in self._starts:
            for place in self._open:
                if n_swaps and self.columns_WK[row, place] < self.columns_WK.shape[1]:
                    n_swaps -= self._moved(row, place, given)

    def improve(self, sweeps: int = 3) -> None:
        """Raise the relevance of greedy swaps that fill the same number of exposures.

        An item moves to another list with a free place, gives way to one below its floor that is more
        relevant, or changes places with one of another list.

        Args:
            sweeps: maximum number of passes over all swaps.
        """
        lists_of: dict[int, list[tuple[int, int]]] = {}
        for row, column in zip(self._row_P.tolist(), self._columns, strict=True):
            lists_of.setdefault(int(self._ids_WC[row, column]), []).append((row, column))
        for _ in range(sweeps):
            places = self._given()
            if not sum(self._improved(row, place, lists_of) for row, place, _ in places):
                return

    def _improved(self, row: int, place: int, lists_of: dict[int, list[tuple[int, int]]]) -> bool:
        """Make the first change that gains relevance for an item that was swapped in."""
        columns_K, worth_C = self.columns_WK[row], self._relevance_WC[row]
        held = int(columns_K[place])
        if held == place:
            return False
        mine = int(self._ids_WC[row, held])
        for column in self._columns[self._starts[row] : self._ends[row]]:
            if worth_C[column] <= worth_C[held] + TIE:
                break
            filled, lost = self._n_below(self._ids_WC[row, column]), self._n_needed(mine)
            if filled and filled >= lost and column not in columns_K:
                self._swap(row, place, column)
                return True
        # The best of the items that this list lost would come back.
        back = next(there for there in reversed(self._open) if columns_K[there] >= len(columns_K))
        saved = worth_C[back] - worth_C[held]
        for other, column in lists_of[mine]:
            if other == row or column in self.columns_WK[other]:
                continue
            worth_OC, held_K = self._relevance_WC[other], self.columns_WK[other]
            for there in self._open:
                now = int(held_K[there])
                if now == there:
                    if worth_OC[there] - worth_OC[column] < saved - TIE and not self._n_needed(
                        self._ids_WC[other, there]
                    ):
                        columns_K[place], columns_K[back] = columns_K[back], held
                        self._swap(row, back, back)
                        self._swap(other, there, column)
                        return True
                elif (mate := self._column_of(row, int(self._ids_WC[other, now]))) is not None:
                    gain = worth_C[mate] - worth_C[held] + worth_OC[column] - worth_OC[now]
                    if gain > TIE and mate not in columns_K:
                        columns_K[place], held_K[there] = mate, column
                        return True
        return False

    def _column_of(self, row: int, item: int) -> int | None:
        """Return the column of an item among those that a list may take, if it is one."""
        found = np.flatnonzero(self._ids_WC[row] == item)
        if not len(found) or found[0] < self.columns_WK.shape[1]:
            return None
        return int(found[0])

    def _given(self) -> list[tuple[int, int, int]]:
        """Return row, place and column of all places that were given away."""
        width = self.columns_WK.shape[1]
        places = [(row, place) for row in self._starts for place in self._open]
        found = [(row, place, int(self.columns_WK[row, place])) for row, place in places]
        return [(row, place, column) for row, place, column in found if column >= width]

    def _moved(self, row: int, place: int, given: dict[int, list[tuple[int, int]]]) -> bool:
        """Move an item from another list to a place if the other list has something to take its place."""
        if self._n_needed(self._ids_WC[row, self.columns_WK[row, place]]):
            return False
        for column in self._columns[self._starts[row] : self._ends[row]]:
            item = int(self._ids_WC[row, column])
            for number, (other, there) in enumerate(given.get(item, ())):
                if other == row:
                    continue
                for new in self._columns[self._starts[other] : self._ends[other]]:
                    if self._n_below(self._ids_WC[other, new]) and new not in self.columns_WK[other]:
                        if column in self.columns_WK[row]:
                            break
                        self._swap(row, place, column)
                        self._swap(other, there, new)
                        given[item][number] = (row, place)
                        given.setdefault(int(self._ids_WC[other, new]), []).append((other, there))
                        return True
        return False

    def swap_best(self, n_swaps: int) -> None:
        """Swap so that most exposures below the floor are filled, and of those choices at the least cost.

        Args:
            n_swaps: maximum number of swaps.
        """
        if not self._starts:
            return
        rows = np.asarray(list(self._starts))
        kept_WP = self.columns_WK[rows][:, list(self._open)]
        row_V = np.concatenate([np.repeat(rows, kept_WP.shape[1]), self._row_P])
        column_V = np.concatenate([kept_WP.ravel(), self._column_P])
        is_new_V = np.arange(len(row_V)) >= kept_WP.size
        item_V, worth_V = self._ids_WC[row_V, column_V], self._relevance_WC[row_V, column_V]
        self._account.show(item_V[~is_new_V], -1)
        groups_VM = self._lists_NM[item_V]
        missing_VM = self._floor_of(groups_VM) - self._account.shown_G[groups_VM]
        in_need_VM = (missing_VM > 0) & (groups_VM < self._account.groups.n_groups)
        variable_E, _ = np.nonzero(in_need_VM)
        _, first_E, group_E = np.unique(groups_VM[in_need_VM], return_index=True, return_inverse=True)
        upper_G = missing_VM[in_need_VM][first_E]
        taken_V = _solved(row_V, is_new_V, worth_V, variable_E, group_E, upper_G, kept_WP.shape[1], n_swaps)
        for row in rows:
            self.columns_WK[row, list(self._open)] = column_V[taken_V & (row_V == row)]
        self._account.show(item_V[taken_V])

    def _swap(self, row: int, place: int, column: int) -> None:
        self._account.show(self._ids_WC[row, self.columns_WK[row, place]], -1)
        self._account.show(self._ids_WC[row, column])
        self.columns_WK[row, place] = column

    def _floor_of(self, groups: np.ndarray) -> np.ndarray | int:
        return self._floor if isinstance(self._floor, int) else self._floor[groups]

    def _n_below(self, item: int) -> int:
        """Return how many groups of the item are below their floor."""
        groups_M = self._lists_NM[item]
        return int(np.count_nonzero(self._account.shown_G[groups_M] < self._floor_of(groups_M)))

    def _n_needed(self, item: int) -> int:
        """Return how many groups of an item that is shown would be below their floor without it."""
        groups_M = self._lists_NM[item]
        return int(np.count_nonzero(self._account.shown_G[groups_M] <= self._floor_of(groups_M)))


def _solved(
    row_V: np.ndarray,
    is_new_V: np.ndarray,
    worth_V: np.ndarray,
    variable_E: np.ndarray,
    group_E: np.ndarray,
    upper_G: np.ndarray,
    n_places: int,
    n_swaps: int,
) -> np.ndarray:
    """Return (V,) bool, the items in the open places.

    Args:
        row_V: list of each variable; a variable is an item in an open place of a list.
        is_new_V: whether the item replaces another one.
        worth_V: relevance, in a range of at most 1.
        variable_E: variable of each exposure of a group in need.
        group_E: its group, numbered from 0.
        upper_G: exposures that each of these groups lacks.
        n_places: open places per list.
        n_swaps: maximum number of new items.
    """
    n_variables, n_needy = len(row_V), len(upper_G)
    _, list_V = np.unique(row_V, return_inverse=True)
    n_lists, variables = int(list_V.max()) + 1, np.arange(n_variables)
    # A filled exposure is worth more than all that the swaps may lose.
    objective = -np.concatenate([worth_V, np.full(n_needy, n_swaps + 1.0)])
    rows = [list_V, n_lists + group_E, n_lists + np.arange(n_needy)]
    columns = [variables, variable_E, n_variables + np.arange(n_needy)]
    values = [np.ones(n_variables), np.ones(len(group_E)), -np.ones(n_needy)]
    rows.append(np.full(int(is_new_V.sum()), n_lists + n_needy))
    columns.append(variables[is_new_V])
    values.append(np.ones(int(is_new_V.sum())))
    shape = (n_lists + n_needy + 1, n_variables + n_needy)
    matrix = coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape)
    low = np.concatenate([np.full(n_lists, n_places), np.zeros(n_needy + 1)])
    high = np.concatenate([np.full(n_lists, n_places), np.full(n_needy, np.inf), [n_swaps]])
    found = milp(
        objective,
        integrality=np.concatenate([np.ones(n_variables), np.zeros(n_needy)]),
        bounds=(0, np.concatenate([np.ones(n_variables), upper_G])),
        constraints=LinearConstraint(matrix.tocsc(), low, high),
        options={"mip_rel_gap": 0},
    )
    if found.x is None:
        raise RuntimeError(f"the quota's program has no solution: {found.message}")
    return np.asarray(found.x[:n_variables] > 0.5)
