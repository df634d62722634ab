"""Identity of data by original ids, and alignment of stored rows with another catalogue.

Data with one row per item (weights, neighbours, ranked lists) are stored with the ids of their rows, so that
a catalogue in another order, or with other items, never gives an item the row of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa

from crossrec.data.splits.base import Queries, Split
from crossrec.types import ABSENT, Sequences

DIGEST_BYTES = 16
BYTES, ENDS = "identity.item_bytes", "identity.item_ends"
"""Names of the arrays of ids in a file: their UTF-8 bytes, and the end of each id in them."""
TRAIN, VALID, TEST = "train", "valid", "test"
PARTS = (TRAIN, VALID, TEST)


@dataclass(frozen=True)
class Alignment:
    """Alignment of a catalogue's items with those of stored rows.

    Args:
        rows: (N,) for each item of the catalogue its row there, ``ABSENT`` for a new item.
        removed: number of items there that the catalogue no longer holds.
    """

    rows: np.ndarray
    removed: int

    @property
    def known(self) -> int:
        """Number of items that are in both."""
        return int((self.rows != ABSENT).sum())

    @property
    def new(self) -> int:
        """Number of items that are only in the catalogue."""
        return len(self.rows) - self.known

    @property
    def same_items(self) -> bool:
        """Whether both have the same items, in any order."""
        return not self.new and not self.removed

    @property
    def in_place(self) -> bool:
        """Whether every item is already in its stored row, with no item removed."""
        return not self.removed and bool((self.rows == np.arange(len(self.rows))).all())

    @property
    def order(self) -> np.ndarray:
        """(N,) rows of the catalogue: known items in their stored order, followed by new ones."""
        return np.argsort(np.where(self.rows == ABSENT, np.iinfo(np.int64).max, self.rows), kind="stable")

    def describe(self) -> str:
        """Return a clause with the numbers of known, new and removed items; empty if there is no change."""
        if self.same_items:
            return ""
        return (
            f"the catalogue has changed since: {self.known:,} items known, {self.new:,} new (treated as cold "
            f"items), {self.removed:,} removed"
        )


@dataclass(frozen=True)
class DataIdentity:
    """Item ids in their order, and digests of the split.

    Digests depend on original ids and times alone, never on the order of items or users.

    Args:
        item_ids: (N,) original ids; row i of the stored data belongs to the i-th.
        digests: ``train``, ``valid``, ``test`` -> digest of that part of the split; unknown parts are absent.
    """

    item_ids: np.ndarray
    digests: Mapping[str, str]

    @classmethod
    def of(cls, item_ids: np.ndarray, user_ids: np.ndarray, split: Split) -> DataIdentity:
        """Return the identity of divided data.

        Args:
            item_ids: (N,) original ids, in the order of the catalogue.
            user_ids: (U,) original ids of the rows of ``split.clicks``.
            split: split of the log.
        """
        train = _digest_rows(split.train, user_ids, item_ids)
        valid, test = (_digest_queries(split, part, user_ids, item_ids) for part in (split.valid, split.test))
        return cls(item_ids, {TRAIN: train, VALID: valid, TEST: test})

    @cached_property
    def catalog(self) -> str:
        """Digest of the set of items, whatever their order."""
        return _digest_ids(np.sort(self.item_ids.astype(object)))

    @cached_property
    def key(self) -> str:
        """Digest of everything including the order of the items, for data stored by row."""
        parts = [f"{name}={self.digests.get(name)}" for name in PARTS]
        return _hexdigest("|".join([_digest_ids(self.item_ids), *parts]).encode())

    def of_part(self, part: str) -> str:
        """Return a digest of the data that an evaluation on a split depends on, whatever the items' order."""
        return _hexdigest(
            "|".join([self.catalog, *(self.digests.get(p, "") for p in (TRAIN, part))]).encode()
        )

    def measured_on(self, part: str) -> dict[str, str | int]:
        """Return the identity stored with results on a split, to check that results are comparable."""
        digests = {"catalog": self.catalog, TRAIN: self.digests[TRAIN], "queries": self.digests[part]}
        return {"items": len(self.item_ids), **digests}

    def align(self, item_ids: np.ndarray) -> Alignment:
        """Return how the items of a catalogue relate to these.

        Args:
            item_ids: (N',) original ids of the catalogue.
        """
        row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        rows = np.fromiter((row_of.get(i, ABSENT) for i in item_ids), dtype=np.int64, count=len(item_ids))
        return Alignment(rows, len(row_of) - int((rows != ABSENT).sum()))

    def differences(self, other: DataIdentity, parts: tuple[str, ...] = PARTS) -> list[str]:
        """Return clauses on differences of other data from these; empty if they are the same.

        Args:
            other: identity of the current data.
            parts: parts of the split to compare; parts unknown to either are ignored.
        """
        found = [self.align(other.item_ids).describe()]
        names = {TRAIN: "training clicks", VALID: "validation queries", TEST: "test queries"}
        for part in parts:
            here, there = self.digests.get(part), other.digests.get(part)
            if here and there and here != there:
                found.append(f"the {names[part]} are others")
        return [clause for clause in found if clause]

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Return arrays and text metadata for a file of tensors."""
        data, ends = _utf8(self.item_ids)
        return {BYTES: data, ENDS: ends}, dict(self.digests)

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
    ) -> DataIdentity | None:
        """Return the inverse of :meth:`to_arrays`; None if the file has no ids."""
        if BYTES not in arrays or ENDS not in arrays:
            return None
        data, ends = arrays[BYTES].tobytes(), arrays[ENDS].tolist()
        ids = [data[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return cls(
            np.asarray(ids, dtype=object), {part: metadata[part] for part in PARTS if part in metadata}
        )


def _utf8(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (bytes,) uint8 of all ids, and (N,) int64 where each ends."""
    column = pa.array([str(i) for i in ids], type=pa.large_string())
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[1 : len(ids) + 1].copy()
    text = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return text[: int(ends[-1]) if len(ends) else 0].copy(), ends


def _digest_ids(ids: np.ndarray) -> str:
    data, ends = _utf8(ids)
    return _hexdigest(ends.tobytes(), data.tobytes())


def _digest_rows(rows: Sequences, names: np.ndarray, item_ids: np.ndarray, *more: np.ndarray) -> str:
    """Return a digest of clicks by id; it ignores rows without a click and the order of the rows.

    Args:
        rows: B rows.
        names: (B,) original ids of the rows' users; rows of one user keep their order.
        item_ids: (N,) original ids.
        more: further (B,) numbers of each row.
    """
    frame = pl.DataFrame({"name": [str(name) for name in names], "row": np.arange(len(names))})
    order = frame.sort("name", "row")["row"].to_numpy()
    order = order[rows.lengths[order] > 0]
    some = rows.take(order)
    clicked = np.flatnonzero(np.bincount(some.items, minlength=len(item_ids)))
    by_id = clicked[np.argsort(item_ids[clicked].astype(object), kind="stable")]
    place = np.zeros(len(item_ids), dtype=np.int64)
    place[by_id] = np.arange(len(by_id))
    parts = [_digest_ids(item_ids[by_id]).encode(), _digest_ids(names[order]).encode()]
    arrays = [some.offsets, place[some.items], *(extra[order] for extra in more)]
    if some.times is not None:
        arrays.append(some.times)
    if some.weights is not None:
        parts.append(np.ascontiguousarray(some.weights, np.float64).tobytes())
    return _hexdigest(*parts, *(np.ascontiguousarray(array, np.int64).tobytes() for array in arrays))


def _digest_queries(split: Split, queries: Queries, user_ids: np.ndarray, item_ids: np.ndarray) -> str:
    names = user_ids[queries.users]
    histories = _digest_rows(split.histories(queries), names, item_ids, queries.ends)
    targets = _digest_rows(queries.targets, names, item_ids, queries.ends)
    return _hexdigest(f"{histories} {targets}".encode())


def _hexdigest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
