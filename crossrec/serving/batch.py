"""Lists of many users into one Parquet file, a part of the users at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from crossrec.runtime.files import atomic_path
from crossrec.runtime.progress import progress_bar
from crossrec.types import ABSENT, TopK

BATCH = 1024
"""Users ranked, and written as one row group, at a time."""


def write_lists(
    path: Path,
    user_ids: Sequence[str],
    ranked: Callable[[Sequence[str]], tuple[TopK, Sequence[str]]],
    batch_size: int,
) -> None:
    """Writes ``user_id``, ``item_id``, ``rank`` (from 1) and ``score``; the file appears when it is complete.

    Args:
        path: of the file.
        user_ids: in the order of the file.
        ranked: lists of some users, and the original ids of the catalogue that they are from.
        batch_size: users at a time, each a row group; bounds memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: list[tuple[str, pa.DataType]] = [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float32()),
    ]
    schema = pa.schema(columns)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
        progress_bar("lists of users", len(user_ids)) as advance,
    ):
        for start in range(0, len(user_ids), batch_size):
            users = user_ids[start : start + batch_size]
            lists, item_ids = ranked(users)
            row, place = np.nonzero(lists.ids != ABSENT)
            values = [
                pa.array(users, pa.string()).take(pa.array(row)),
                pa.array([item_ids[item] for item in lists.ids[row, place]], pa.string()),
                pa.array((place + 1).astype(np.int32)),
                pa.array(lists.scores[row, place].astype(np.float32)),
            ]
            writer.write_table(pa.table(values, schema=schema))
            advance(len(users))
