"""Running accounts of exposure: how often each group of items was shown, in memory or in a file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock

import numpy as np

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.types import InputError

ITEM = "item"
"""The grouping in which each item is a group."""

PLENTY = 1 << 60
"""Exposure of the group that pads lists of groups: no floor is as high."""

APPLICATION = 0x63726578
"""Number that marks the files of :class:`ExposureStore`."""

RECENT = 500
"""Number of recent costs with which a new one is compared."""

STEP = 0.01
"""Step with which the level of accepted costs follows the share."""


class ItemGroups:
    """The groups of each item, of G in total: itself, its categories, or its value in a column.

    Args:
        lists_NM: (N + 1, M) int64 groups of each item, padded with G; the last row, all padding, is what -1,
            an absent candidate, indexes.
        n_groups: G.
    """

    def __init__(self, lists_NM: np.ndarray, n_groups: int) -> None:
        self.lists_NM, self.n_groups = lists_NM, n_groups

    @classmethod
    def of(cls, items: ItemTable, name: str) -> ItemGroups:
        """Return the groups of a catalogue's items.

        Args:
            items: features of the N items.
            name: ``item``, ``category``, or a column; items whose value is unknown belong to no group.

        Raises:
            InputError: if the catalogue has no categories, or lacks the column.
        """
        n_items = items.n_items
        if name == ITEM:
            return cls(np.arange(n_items + 1)[:, None], n_items)
        if name == CATEGORY:
            items.require(CATEGORY, "rerank: quota of category")
            member = items.categories.tocsr()
            count_N = np.diff(member.indptr)
            row_P = np.repeat(np.arange(n_items), count_N)
            place_P = np.arange(len(row_P)) - np.repeat(member.indptr[:-1], count_N)
            lists_NM = np.full((n_items + 1, max(1, int(count_N.max(initial=0)))), member.shape[1])
            lists_NM[row_P, place_P] = member.indices
            return cls(lists_NM, member.shape[1])
        if name not in items.columns:
            raise InputError(
                f"rerank: quota of '{name}', which is neither '{ITEM}' nor '{CATEGORY}' nor a column of the "
                f"catalogue; there are {sorted(items.columns)}"
            )
        values = [None if value is None or value != value else str(value) for value in items.columns[name]]
        codes = {value: code for code, value in enumerate(sorted({v for v in values if v is not None}))}
        code_N = [len(codes) if value is None else codes[value] for value in [*values, None]]
        return cls(np.asarray(code_N, dtype=np.int64)[:, None], len(codes))


class Pace:
    """Pace of giving places away, so that a share of them is given, and those that cost least.

    One by one: a cost is accepted if a smaller part than ``level`` of the recent costs lies below it, and
    the level moves by ``STEP * (share - accepted)``. In the long run the accepted part of T costs differs
    from the share by at most 2 / (STEP * T), however costs drift.

    Together: :meth:`budget` says how many of a number of places may be given; fractions are carried over.

    Source:
        Gibbs, Candès: Adaptive conformal inference under distribution shift (NeurIPS 2021), for the level.

    Args:
        share: share of the places.
    """

    def __init__(self, share: float) -> None:
        self.share = self.level = share
        self.credit = 0.0
        self.n_costs = 0
        self._recent = np.zeros(RECENT)

    def accepts(self, cost: float) -> bool:
        """Return whether to accept a cost, and learn from it."""
        known = min(self.n_costs, RECENT)
        accepted = bool(np.count_nonzero(self._recent[:known] < cost) < self.level * (known + 1))
        self._recent[self.n_costs % RECENT] = cost
        self.n_costs += 1
        self.level = min(max(self.level + STEP * (self.share - accepted), 0.0), 1.0)
        return accepted

    def budget(self, n_places: int) -> int:
        """Return how many of these places may be given away."""
        self.credit += self.share * n_places
        found = int(self.credit + 1e-9)
        self.credit -= found
        return found

    def saved(self) -> tuple[float, float, int, bytes]:
        """Return the state, for :meth:`restore`."""
        return self.level, self.credit, self.n_costs, self._recent.tobytes()

    def restore(self, level: float, credit: float, n_costs: int, recent: bytes) -> None:
        """Continue from a saved state."""
        self.level, self.credit, self.n_costs = level, credit, n_costs
        self._recent = np.frombuffer(recent).copy()


class ExposureAccount:
    """Exposure of G groups so far, in memory.

    Args:
        groups: groups of the items.
        share: share of the places that may be given away.
    """

    def __init__(self, groups: ItemGroups, share: float) -> None:
        self.groups = groups
        self.lists = 0
        """Number of lists shown."""
        self.shown_G = np.zeros(groups.n_groups + 1, dtype=np.int64)
        """(G + 1,) times that each group was shown; the last entry pads."""
        self.shown_G[-1] = PLENTY
        self.since_G = np.zeros(groups.n_groups + 1, dtype=np.int64)
        """(G + 1,) number of lists shown before the group joined."""
        self.pace = Pace(share)
        self._lock = RLock()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the account: within the block it is up to date, and nobody else changes it."""
        with self._lock:
            yield

    def show(self, ids: np.ndarray, times: int = 1) -> None:
        """Count items as shown; -1 for items that are not shown after all.

        Args:
            ids: any shape, catalogue indices; an item may occur repeatedly, absent ones don't count.
            times: 1 or -1.
        """
        np.add.at(self.shown_G, self.groups.lists_NM[ids].ravel(), times)
        self.shown_G[-1] = PLENTY


class ExposureStore:
    """Exposure of items in an SQLite file that several processes share, or in the memory of one process.

    The file contains original item ids, so that it survives restarts, other orders and new items. A change
    is a transaction: a killed process leaves the account as it was.

    Args:
        path: path of the file, created if missing; None for memory.

    Raises:
        InputError: if the file is not such an account, or can't be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = RLock()
        self._open: tuple[int, sqlite3.Connection] | None = None
        with self.transaction() as database:
            self._check(database)
            database.execute(
                "CREATE TABLE IF NOT EXISTS item (id TEXT PRIMARY KEY, shown INTEGER NOT NULL, "
                "since INTEGER NOT NULL, version INTEGER NOT NULL)"
            )
            database.execute("CREATE INDEX IF NOT EXISTS item_version ON item (version)")
            database.execute("CREATE TABLE IF NOT EXISTS account (lists INTEGER, version INTEGER)")
            database.execute(
                "CREATE TABLE IF NOT EXISTS pace (settings TEXT PRIMARY KEY, level REAL, credit REAL, "
                "n_costs INTEGER, recent BLOB)"
            )
            if database.execute("SELECT count(*) FROM account").fetchone()[0] == 0:
                database.execute("INSERT INTO account VALUES (0, 0)")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the only right to write; changes of the block are kept together, none of them on an error.

        Raises:
            InputError: if the file can't be used.
        """
        with self._lock:
            try:
                database = self._connection()
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    with suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
            except sqlite3.Error as error:
                raise InputError(
                    f"{self.path}: the account of exposure can't be used ({error}); check that the folder is "
                    "writable, or choose another file"
                ) from error

    def _check(self, database: sqlite3.Connection) -> None:
        """Mark a new file, and raise for the database of another program."""
        if database.execute("PRAGMA application_id").fetchone()[0] == APPLICATION:
            return
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise InputError(f"{self.path}: a database, but no account of exposure; choose another file")
        database.execute(f"PRAGMA application_id = {APPLICATION}")

    def _connection(self) -> sqlite3.Connection:
        # A connection must not be used in a forked process.
        if self._open is None or (self.path is not None and self._open[0] != os.getpid()):
            if self.path is not None:
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise InputError(
                        f"{self.path}: the account of exposure can't be written ({error}); "
                        "choose another file"
                    ) from error
            where = ":memory:" if self.path is None else str(self.path)
            database = sqlite3.connect(where, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                # Commits without waiting for the disk: a power cut may lose the last lists, not the file.
                with closing(database.execute("PRAGMA journal_mode=WAL")):
                    pass
                database.execute("PRAGMA synchronous=NORMAL")
            except sqlite3.Error:
                database.close()
                raise
            self._open = (os.getpid(), database)
        return self._open[1]


class StoredAccount(ExposureAccount):
    """Exposure in a store: every use reads what others have shown, and writes what it shows.

    Args:
        groups: groups of the items.
        share: share of the places that may be given away.
        store: the store.
        item_ids: N original ids of the items.
        settings: name of the reranker's settings, which have their own pace.
    """

    def __init__(
        self, groups: ItemGroups, share: float, store: ExposureStore, item_ids: Sequence[str], settings: str
    ) -> None:
        super().__init__(groups, share)
        self._store, self._item_ids, self._settings = store, list(item_ids), settings
        self._row = {item_id: row for row, item_id in enumerate(self._item_ids)}
        self._shown_N = np.zeros(len(self._item_ids), dtype=np.int64)
        self._version = -1
        self._changes: list[tuple[np.ndarray, int]] = []

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the account: within the block it is up to date, and nobody else changes it."""
        with self._lock, self._store.transaction() as database:
            try:
                self._read(database)
                yield
                self._write(database)
            except BaseException:
                self._forget()
                raise

    def show(self, ids: np.ndarray, times: int = 1) -> None:
        """Count items as shown; -1 for items that are not shown after all."""
        super().show(ids, times)
        self._changes.append((np.asarray(ids).ravel(), times))

    def _read(self, database: sqlite3.Connection) -> None:
        self.lists, version = database.execute("SELECT lists, version FROM account").fetchone()
        if self._version < 0:
            self._join(database, version)
        elif version != self._version:
            rows = database.execute(
                "SELECT id, shown FROM item WHERE version > ?", (self._version,)
            ).fetchall()
            self._take([(self._row[item], shown) for item, shown in rows if item in self._row])
        self._version = version
        saved = database.execute(
            "SELECT level, credit, n_costs, recent FROM pace WHERE settings = ?", (self._settings,)
        ).fetchone()
        if saved is not None:
            self.pace.restore(*saved)

    def _join(self, database: sqlite3.Connection, version: int) -> None:
        """Read everything; items that the store lacks join now."""
        database.executemany(
            "INSERT OR IGNORE INTO item VALUES (?, 0, ?, ?)",
            ((item_id, self.lists, version) for item_id in self._item_ids),
        )
        rows = database.execute("SELECT id, shown, since FROM item").fetchall()
        known = [(self._row[item], shown, since) for item, shown, since in rows if item in self._row]
        self._take([(row, shown) for row, shown, _ in known])
        self.since_G[:] = self.lists
        for row, _, since in known:
            groups_M = self.groups.lists_NM[row]
            self.since_G[groups_M] = np.minimum(self.since_G[groups_M], since)

    def _take(self, counts: list[tuple[int, int]]) -> None:
        if not counts:
            return
        rows, shown = np.asarray(counts, dtype=np.int64).T
        groups_PM = self.groups.lists_NM[rows]
        more_PM = np.broadcast_to((shown - self._shown_N[rows])[:, None], groups_PM.shape)
        np.add.at(self.shown_G, groups_PM.ravel(), more_PM.ravel())
        self.shown_G[-1] = PLENTY
        self._shown_N[rows] = shown

    def _write(self, database: sqlite3.Connection) -> None:
        ids_P = np.concatenate([np.zeros(0, np.int64), *(ids for ids, _ in self._changes)])
        times_P = np.concatenate([np.zeros(0, np.int64), *(np.full(len(i), t) for i, t in self._changes)])
        self._changes.clear()
        np.add.at(self._shown_N, ids_P[ids_P >= 0], times_P[ids_P >= 0])
        rows = np.unique(ids_P[ids_P >= 0]).tolist()
        version = self._version + 1
        database.executemany(
            "UPDATE item SET shown = ?, version = ? WHERE id = ?",
            [(int(self._shown_N[row]), version, self._item_ids[row]) for row in rows],
        )
        database.execute("UPDATE account SET lists = ?, version = ?", (self.lists, version))
        database.execute(
            "INSERT OR REPLACE INTO pace VALUES (?, ?, ?, ?, ?)", (self._settings, *self.pace.saved())
        )
        self._version = version

    def _forget(self) -> None:
        """Read everything again next time."""
        self._version = -1
        self._changes.clear()
        self._shown_N[:] = 0
        self.shown_G[:-1] = 0
