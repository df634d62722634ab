"""What the command line shows: the plan before a training, the table after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from crossrec.evaluation.bootstrap import Estimate
from crossrec.evaluation.report.glossary import note_on_distances
from crossrec.experiment.measure import Measured
from crossrec.runtime import distributed

if TYPE_CHECKING:
    from crossrec.experiment.assembly import Setting

COLUMNS = ("ndcg", "recall", "coverage", "gini", "ild", "ild_category")
LOWER_IS_BETTER = ("gini",)
COLD = "cold_items"


def console() -> Console:
    """Standard output; wide enough for the tables where it is not a terminal."""
    out = Console()
    return out if out.is_terminal else Console(width=160)


def show(text: str) -> None:
    """Prints a line on the main process."""
    if distributed.is_main():
        console().print(text, highlight=False, markup=False)


def show_account(setting: Setting) -> None:
    """Prints what cleaning dropped, and the counts of what is left."""
    data = setting.data
    if data.note:
        show(f"Data: {data.name} ({data.note})")
    for line in data.account.lines():
        show(f"  {line}")
    for warning in data.account.warnings:
        show(f"Warning: {warning}")
    show(f"Split: {data.split.protocol}")
    for reason, count in data.split.excluded.items():
        if count:
            show(f"  left out, {reason}: {count:,}")
    counts = data.summary()
    show("Counts: " + ", ".join(f"{k.replace('_', ' ')} {_number(v)}" for k, v in counts.items()))


def show_results(setting: Setting, found: Sequence[Measured], part: str) -> None:
    """Prints the final table: recommenders by metrics with 95 % intervals, the best of each starred."""
    if not distributed.is_main():
        return
    k = max(setting.config.evaluation.ks)
    names = [f"{c}@{k}" for c in COLUMNS if f"{c}@{k}" in found[0].evaluation.metrics]
    note = f"{setting.data.name}: {setting.data.note}" if setting.data.note else setting.data.name
    evaluation = found[0].evaluation
    title = f"{part}, {evaluation.n_users:,} users, {evaluation.n_queries:,} queries ({note})"
    shown = [(name, m.evaluation.metrics[name]["value"]) for name in names for m in found]
    caption = "\n".join(part for part in (evaluation.protocol, note_on_distances(shown)) if part)
    table = Table(title=title, caption=caption, show_lines=True)
    table.add_column("recommender")
    for name in [*names, f"cold recall@{k}"]:
        table.add_column(name, justify="right")
    columns = [[m.evaluation.metrics[name] for m in found] for name in names]
    columns.append([m.evaluation.slices[COLD][f"recall@{k}"] for m in found])
    marked = [_mark(column, name.split("@")[0]) for column, name in zip(columns, [*names, ""], strict=True)]
    for row, measured in enumerate(found):
        table.add_row(measured.name, *(cells[row] for cells in marked))
    console().print(table)


def _mark(estimates: Sequence[Estimate], metric: str) -> list[str]:
    values = [e["value"] for e in estimates]
    known = [v for v in values if v == v]
    best = None if not known else (min(known) if metric in LOWER_IS_BETTER else max(known))
    # A best of zero is nobody's merit.
    return [_cell(e, starred=e["value"] == best != 0 and len(values) > 1) for e in estimates]


def _cell(estimate: Estimate, *, starred: bool) -> str:
    value, ci = estimate["value"], estimate.get("ci95")
    if value != value:
        return "none"
    interval = "" if not ci or ci[0] != ci[0] else f"\n[{ci[0]:.4f}, {ci[1]:.4f}]"
    return f"{'* ' if starred else ''}{value:.4f}{interval}"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
