"""The tables of an ablation: on the terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.table import Table

from crossrec.ablation.grid.checks import split_slice
from crossrec.ablation.grid.results import Results
from crossrec.ablation.grid.search import Search
from crossrec.ablation.grid.verdict import OPEN, finding, how_settled, sentence
from crossrec.evaluation.report.glossary import arrow, format_value
from crossrec.experiment.tables import console

SETTLED = "*"


def show_results(results: Results, note: str) -> None:
    """Prints the table of variants: mean ± standard deviation over seeds, intervals, differences."""
    metrics = _metrics(results)
    table = Table(title=f"{results.config.out.name}: {note}", caption=_caption(results), show_lines=True)
    table.add_column("variant")
    for metric in metrics:
        table.add_column(f"{metric} {arrow(split_slice(metric)[1])}".strip(), justify="right")
    for variant in results.variants:
        table.add_row(variant.name, *("\n".join(_cell(results, variant.name, m)) for m in metrics))
    console().print(table, highlight=False)


def markdown(results: Results, note: str, search: Search | None = None) -> str:
    """The same as a Markdown page, with one sentence a metric, or with the proposals of a search."""
    metrics = _metrics(results)
    lines = [f"# {results.config.out.name}", "", note, "", markdown_table(results)]
    if results.comparison is not None:
        lines += ["", *(f"- {sentence(results, metric)}" for metric in metrics), "", how_settled(results)]
    lines += ["", _caption(results)]
    if search is not None:
        lines += ["", *proposals_table(search)]
    failed = [f"- {trial.name}: {results.outcomes[trial.name].error}" for trial in results.failed]
    if failed:
        lines += ["", "Failed:", *failed]
    return "\n".join(lines) + "\n"


def markdown_table(results: Results) -> str:
    """The table of variants alone, as Markdown."""
    metrics = _metrics(results)
    return "\n".join(_rows(["variant", *metrics], _cells(results, metrics)))


def proposals_table(search: Search) -> list[str]:
    """The proposals of a search, the best on validation first, as a Markdown table."""
    sign = -1.0 if search.search.direction == "maximize" else 1.0
    known = [(search.value(proposal), proposal) for proposal in search.proposals()]
    known.sort(key=lambda entry: (entry[0] is None, sign * (entry[0] or 0.0), entry[1].number))
    names = list(search.search.space)
    cells = [
        [p.name, *(_setting(p.values[n]) for n in names), "failed" if value is None else f"{value:.4f}"]
        for value, p in known
    ]
    return _rows(["proposal", *names, f"{search.search.objective}, validation"], cells)


def _setting(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _metrics(results: Results) -> list[str]:
    if results.comparison is not None:
        return results.comparison.metrics
    return results.summary["metric"].unique(maintain_order=True).to_list() if results.done else []


def _cells(results: Results, metrics: Sequence[str]) -> list[list[str]]:
    return [
        [variant.name, *(" ".join(_cell(results, variant.name, m)) for m in metrics)]
        for variant in results.variants
    ]


def _cell(results: Results, variant: str, metric: str) -> list[str]:
    """Value ± standard deviation, interval, and the difference from the reference with its p."""
    found = results.summary.filter((pl.col("variant") == variant) & (pl.col("metric") == metric))
    if found.is_empty():
        return ["none"]
    row = found.row(0, named=True)
    spread = "" if math.isnan(row["sd"]) else f" ± {format_value(metric, row['sd'])}"
    missing = "" if row["seeds"] == len(results.config.seeds) else f" ({row['seeds']} seeds)"
    parts = [f"{format_value(metric, row['value'])}{spread}{missing}"]
    if "low" in row and not math.isnan(row["low"]):
        parts.append(f"[{format_value(metric, row['low'])}, {format_value(metric, row['high'])}]")
    if not math.isnan(row.get("p_holm", math.nan)):
        star = "" if finding(results, variant, metric) == OPEN else SETTLED
        parts.append(f"({row['difference']:+.4f}, p {row['p_holm']:.3f}){star}")
    return parts


def _caption(results: Results) -> str:
    n_seeds = len(results.config.seeds)
    if results.comparison is None:
        return f"Mean ± standard deviation over {n_seeds} seeds; part: {results.config.measured_part}."
    comparison = results.comparison
    return (
        f"{comparison.protocol}; part: {results.config.measured_part}. Mean ± standard deviation over "
        f"{n_seeds} seeds, [95 % interval over {comparison.n_users:,} users], (difference from "
        f"{comparison.systems[0]}, Holm's p of the {comparison.config.test} test or, for measures of all "
        "lists together, of the swap test). "
        f"{SETTLED} p below .05 and one sign in all seeds."
    )


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
