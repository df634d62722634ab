"""Files of ranked lists with original ids: written after ranking, read to evaluate lists of other tools."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from crossrec.data.sources.table_file import twin_columns
from crossrec.data.splits.base import Queries
from crossrec.runtime.files import atomic_path
from crossrec.types import ABSENT, InputError, TopK

logger = logging.getLogger(__name__)

TYPES: dict[str, type[pl.DataType]] = {
    "user_id": pl.String,
    "query": pl.Int64,
    "rank": pl.Int64,
    "item_id": pl.String,
    "score": pl.Float64,
}
"""Columns of a predictions file, in order."""


class PredictionsError(InputError):
    """A predictions file that can't be used; the message names the file and the row or column."""


def recommendations_frame(
    lists: TopK,
    queries: Queries,
    user_ids: Sequence[str] | np.ndarray,
    item_ids: Sequence[str] | np.ndarray,
) -> pl.DataFrame:
    """Return lists as a frame: ``user_id``, ``query``, ``rank`` (from 1), ``item_id``, ``score``.

    Args:
        lists: (Q, K); absent places are left out.
        queries: Q queries.
        user_ids: (U,) original ids of the split's clicks, indexed by ``queries.users``.
        item_ids: (N,) original ids of the catalogue.
    """
    query, place = np.nonzero(lists.ids != ABSENT)
    users = np.asarray(user_ids, dtype=object)[np.asarray(queries.users)[query]]
    items = np.asarray(item_ids, dtype=object)[lists.ids[query, place]]
    return pl.DataFrame(
        {
            "user_id": [str(user) for user in users],
            "query": query,
            "rank": place + 1,
            "item_id": [str(item) for item in items],
            "score": lists.scores[query, place],
        },
        schema_overrides={"user_id": pl.String, "item_id": pl.String, "score": pl.Float32},
    )


def save_recommendations(
    path: Path,
    lists: TopK,
    queries: Queries,
    user_ids: Sequence[str] | np.ndarray,
    item_ids: Sequence[str] | np.ndarray,
) -> None:
    """Write :func:`recommendations_frame` as a Parquet file at a path."""
    frame = recommendations_frame(lists, queries, user_ids, item_ids)
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary)


def load_predictions(
    path: Path,
    user_ids: Sequence[str] | np.ndarray,
    item_ids: Sequence[str] | np.ndarray,
    k: int | None = None,
) -> TopK:
    """Read lists that any tool wrote, as Parquet or CSV, one row per recommendation.

    Columns: ``user_id``, ``item_id``, and ``rank`` (from 1; takes precedence) or ``score`` (higher is
    better, ties by catalogue order). ``query`` (0 to Q-1) is the query of a user and is required if a user
    has several. Other columns are ignored.

    Args:
        path: path that ends in ``.parquet`` or ``.csv``.
        user_ids: (Q,) original id of each query's user, in the order of the queries.
        item_ids: (N,) original ids of the catalogue.
        k: length of the lists; that of the file's longest list when None. Longer lists are cut.

    Returns:
        (Q, k) lists; scores are the file's, or minus the rank where it has none. A query without a row has
        an empty list; their number is logged (and counted by ``evaluate_lists``).

    Raises:
        PredictionsError: if a column is missing or has invalid values, a user or item is unknown, or a rank
            or an item is repeated in a list.
    """
    rows = read_rows(path, "predictions", PredictionsError)
    return lists_of_rows(rows, user_ids, item_ids, k, where=path)


def lists_of_rows(
    rows: pl.DataFrame,
    user_ids: Sequence[str] | np.ndarray,
    item_ids: Sequence[str] | np.ndarray,
    k: int | None = None,
    *,
    where: Path | str,
) -> TopK:
    """Return lists from one row per recommendation, as :func:`load_predictions` reads them.

    Args:
        rows: columns as in :func:`load_predictions`.
        user_ids: as there.
        item_ids: as there.
        k: as there.
        where: name of the rows in errors.
    """
    path, frame = where, _typed(where, rows)
    if not frame.height:
        raise PredictionsError(f"{path}: the file has no rows")
    frame = _with_queries(path, frame, [str(user) for user in user_ids])
    frame = _with_items(path, frame, [str(item) for item in item_ids])
    frame = _with_ranks(path, frame, len(item_ids))
    longest = int(frame["rank"].max() or 0)  # type: ignore[arg-type]
    width = longest if k is None else k
    if longest < width:
        logger.warning("%s: the longest list has %d of the %d requested places", path, longest, width)
    ids = np.full((len(user_ids), width), ABSENT, dtype=np.int64)
    scores = np.full(ids.shape, -np.inf, dtype=np.float32)
    kept = frame.filter(pl.col("rank") <= width)
    query, place = kept["query"].to_numpy(), kept["rank"].to_numpy() - 1
    ids[query, place], scores[query, place] = kept["item"].to_numpy(), kept["score"].to_numpy()
    empty = int((ids == ABSENT).all(1).sum())
    if empty:
        logger.warning("%s: %d of %d queries have no list; they count as misses", path, empty, len(ids))
    return TopK(ids, scores)


def read_rows(path: Path, content: str, fault: type[InputError]) -> pl.DataFrame:
    """Read a Parquet file, or a CSV file as texts.

    Args:
        path: ends in ``.parquet`` or ``.csv``.
        content: name of the content in messages.
        fault: error to raise.

    Raises:
        fault: if there is no such file, it can't be read, or two columns have one name.
    """
    readers = {
        ".parquet": lambda: pl.read_parquet(path),
        ".csv": lambda: pl.read_csv(path, infer_schema=False),
    }
    if path.suffix not in readers:
        raise fault(f"{path}: {content} are read from .parquet or .csv files")
    try:
        if path.suffix == ".csv" and (twins := twin_columns(path)):
            raise fault(twins)
        return readers[path.suffix]()
    except FileNotFoundError as error:
        raise fault(f"{path}: no such {content} file") from error
    except (pl.exceptions.PolarsError, csv.Error, OSError, UnicodeError) as error:
        reason = str(error).split("\n")[0]
        raise fault(f"{path}: can't be read as {path.suffix[1:]}: {reason}") from error


def _typed(path: Path | str, frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in ("user_id", "item_id") if name not in frame.columns]
    if not {"rank", "score"} & set(frame.columns):
        missing.append("rank' or 'score")
    if missing:
        raise PredictionsError(f"{path}: lacks the column '{missing[0]}'; it has {frame.columns}")
    return cast_columns(path, frame, TYPES, PredictionsError)


def cast_columns(
    path: Path | str, frame: pl.DataFrame, types: Mapping[str, type[pl.DataType]], fault: type[InputError]
) -> pl.DataFrame:
    """Return the columns of these types that there are, cast to them.

    Args:
        path: file of the rows, for messages.
        frame: rows.
        types: type per column.
        fault: error to raise.

    Raises:
        fault: if a value is missing or of another type; names the row and the column.
    """
    columns = {name: dtype for name, dtype in types.items() if name in frame.columns}
    for name, dtype in columns.items():
        typed = frame[name].cast(dtype, strict=False)
        bad = typed.is_null()
        if dtype == pl.Float64:
            bad = bad | typed.is_nan()
        if dtype == pl.Int64 and frame[name].dtype.is_float():
            bad = bad | (frame[name] != typed)
        if bad.any():
            row, wanted = int(bad.arg_max() or 0), dtype.__name__
            raise fault(
                f"{path}: row {row + 1}: column '{name}' holds {frame[name][row]!r}, expected {wanted}"
            )
        frame = frame.with_columns(typed)
    return frame.select(list(columns))


def _with_queries(path: Path | str, frame: pl.DataFrame, user_ids: list[str]) -> pl.DataFrame:
    """Add or check the column ``query``."""
    asked = pl.DataFrame({"user_id": user_ids}, schema={"user_id": pl.String}).with_row_index("expected")
    unknown = frame.filter(~pl.col("user_id").is_in(asked["user_id"].implode()))
    if unknown.height:
        raise PredictionsError(
            f"{path}: {unknown['user_id'].n_unique()} users have no query in this part of the split (first: "
            f"'{unknown['user_id'][0]}'); remove their rows, or evaluate the part that they belong to"
        )
    if "query" not in frame.columns:
        if asked["user_id"].n_unique() < asked.height:
            raise PredictionsError(
                f"{path}: users have several queries here; add a column 'query' with the number of the "
                f"query, from 0 to {asked.height - 1}"
            )
        joined = frame.join(asked, on="user_id", how="left", maintain_order="left")
        return joined.rename({"expected": "query"}).with_columns(pl.col("query").cast(pl.Int64))
    outside = ~frame["query"].is_between(0, len(user_ids) - 1)
    _refuse(path, frame, outside, "query", f"queries are numbered from 0 to {len(user_ids) - 1}")
    owners = asked["user_id"].gather(frame["query"])
    _refuse(path, frame, owners != frame["user_id"], "query", "it belongs to another user")
    return frame


def _with_items(path: Path | str, frame: pl.DataFrame, item_ids: list[str]) -> pl.DataFrame:
    catalog = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String}).with_row_index("item")
    joined = frame.join(catalog, on="item_id", how="left", maintain_order="left")
    _refuse(path, joined, joined["item"].is_null(), "item_id", "it is not in the catalogue")
    twice = joined.select(pl.struct("query", "item").is_duplicated()).to_series()
    _refuse(path, joined, twice, "item_id", "it is repeated in this user's list")
    return joined


def _with_ranks(path: Path | str, frame: pl.DataFrame, n_items: int) -> pl.DataFrame:
    if "rank" not in frame.columns:
        best_first = frame.sort("query", "score", "item", descending=[False, True, False])
        return best_first.with_columns(pl.int_range(1, pl.len() + 1).over("query").alias("rank"))
    outside = ~frame["rank"].is_between(1, n_items)
    _refuse(path, frame, outside, "rank", f"ranks go from 1 to {n_items}, the size of the catalogue")
    twice = frame.select(pl.struct("query", "rank").is_duplicated()).to_series()
    _refuse(path, frame, twice, "rank", "it is repeated in this user's list")
    return frame if "score" in frame.columns else frame.with_columns((-pl.col("rank")).alias("score"))


def _refuse(path: Path | str, frame: pl.DataFrame, bad: pl.Series, column: str, reason: str) -> None:
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise PredictionsError(
            f"{path}: row {row + 1}: user '{frame['user_id'][row]}', {column} '{frame[column][row]}': "
            f"{reason} ({int(bad.sum())} such rows)"
        )
