"""Rows to a table on the screen and in Markdown, with our ratio to each framework."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = (
    "framework",
    "ndcg@10",
    "recall@10",
    "coverage@10",
    "gini@10",
    "s/epoch (first)",
    "epochs",
    "targets/epoch",
    "users/s",
    "peak GB (imports)",
    "epoch: theirs / ours",
    "users/s: ours / theirs",
    "GB: theirs / ours",
)
AVERAGED = ("ndcg@10", "recall@10", "coverage@10", "gini@10")
MEDIAN = ("epoch_seconds", "first_epoch_seconds", "rank_users_per_second", "peak_rss_gb")


def merge_repeats(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row from the repeats: mean quality, median speed and memory; the first reason where all failed."""
    good = [run for run in runs if "error" not in run]
    if not good:
        return dict(runs[0])
    row = dict(good[0])
    row |= {key: mean(run[key] for run in good) for key in AVERAGED}
    row |= {key: median(run[key] for run in good) for key in MEDIAN if good[0][key] is not None}
    row["repeats"] = len(good)
    failed = [run["error"] for run in runs if "error" in run]
    if failed:
        row["note"] = f"{len(failed)} repeats failed: {failed[0]}"
    return row


def add_ratios(rows: dict[str, dict[str, Any]], ours: str) -> None:
    """Adds to every other row how many times faster and smaller ours is."""
    own = rows.get(ours)
    if own is None or "error" in own:
        return
    for name, row in rows.items():
        if name != ours and "error" not in row:
            row["epoch_ratio"] = _over(row["epoch_seconds"], own["epoch_seconds"])
            row["rank_ratio"] = own["rank_users_per_second"] / row["rank_users_per_second"]
            row["rss_ratio"] = row["peak_rss_gb"] / own["peak_rss_gb"]


def _over(theirs: float | None, own: float | None) -> float | None:
    return None if theirs is None or own is None else theirs / own


def cells(title: str, row: dict[str, Any]) -> list[str]:
    """A row as text; why a framework failed stands in :func:`notes`."""
    if "error" in row:
        return [title, "failed", *[""] * (len(COLUMNS) - 2)]
    epoch, first = row["epoch_seconds"], row["first_epoch_seconds"]
    return [
        title if row["precision"] == "fp32" else f"{title} ({row['precision']})",
        *(f"{row[name]:.4f}" for name in AVERAGED),
        "none" if epoch is None else f"{epoch:.2f} ({first:.2f})",
        f"{row['epochs']}{' (out of time)' if row['out_of_time'] else ''}",
        f"{row['targets_per_epoch']:,} in {row['steps_per_epoch']:,} steps",
        f"{row['rank_users_per_second']:,.0f} (by {row['rank_batch']})",
        f"{row['peak_rss_gb']:.2f} ({row['imports_rss_gb']:.2f})",
        *(_ratio(row.get(name)) for name in ("epoch_ratio", "rank_ratio", "rss_ratio")),
    ]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def notes(titles: dict[str, str], rows: dict[str, dict[str, Any]]) -> list[str]:
    """What a reader should know of single rows."""
    found = []
    for name, row in rows.items():
        if "error" in row:
            found.append(f"{titles[name]} failed: {row['error']}")
        if row.get("overrides"):
            found.append(f"{titles[name]} ran with {' '.join(row['overrides'])}: not the peers' terms")
        if row.get("note"):
            found.append(f"{titles[name]}: {row['note']}")
    return found


def show(console: Console, caption: str, lines: list[list[str]], remarks: list[str]) -> None:
    """Prints one table."""
    table = Table(title=caption, show_lines=False)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    for remark in remarks:
        console.print(f"  {remark}", markup=False, highlight=False)


def markdown(caption: str, lines: list[list[str]], remarks: list[str]) -> str:
    """The same as Markdown."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([f"**{caption}**", "", *head, *body, "", *(f"- {remark}" for remark in remarks), ""])
