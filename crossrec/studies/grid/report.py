"""Reports of an ablation: sentences, plots and tables of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from rich.table import Table

from crossrec.evaluation.comparison.compare import ComparedMetric
from crossrec.evaluation.report.figures import INK, MUTED, STYLE, colour, marker, short
from crossrec.evaluation.report.glossary import arrow, format_range, format_value
from crossrec.evaluation.significance import SIGNIFICANT
from crossrec.experiment.results import console
from crossrec.studies.grid.plan import split_slice
from crossrec.studies.grid.results import Results
from crossrec.studies.grid.search import Search

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HIGHER, LOWER, OPEN = "higher", "lower", "not settled"


def finding(results: Results, variant: str, metric: str) -> str:
    """Return whether a variant's metric is ``higher`` or ``lower`` than the reference's, or ``not settled``.

    Settled: p below 0.05 after Holm's correction over the whole study, and the same sign with every seed.
    """
    if results.comparison is None:
        return OPEN
    own = results.comparison.entry(variant, metric)
    reference = results.comparison.entry(results.comparison.systems[0], metric)
    difference = own.difference
    if difference is None or not difference.p_holm < SIGNIFICANT or not _agree(results, own, reference):
        return OPEN
    return HIGHER if difference.value > 0 else LOWER


def _agree(results: Results, own: ComparedMetric, reference: ComparedMetric) -> bool:
    """Return whether all seeds' differences have one sign; False if the variants' seeds differ."""
    if results.seeds_of(own.system) != results.seeds_of(reference.system):
        return False
    signs = np.sign(np.array(own.seeds) - np.array(reference.seeds))
    return bool(abs(signs.sum()) == len(signs))


def sentence(results: Results, metric: str, variants: Sequence[str] = ()) -> str:
    """Return one sentence on a metric: which variants lie above and below the reference, and which are open.

    Args:
        results: results with a comparison.
        metric: a compared metric.
        variants: variants in the sentence; all but the reference by default.
    """
    comparison = results.comparison
    if comparison is None:
        return f"{metric}: nothing was compared."
    reference, *others = comparison.systems
    base = comparison.entry(reference, metric)
    told: dict[str, list[str]] = {HIGHER: [], LOWER: [], OPEN: []}
    for variant in variants or others:
        told[finding(results, variant, metric)].append(
            _change(variant, comparison.entry(variant, metric), base)
        )
    parts = [f"{kind}: {', '.join(found)}" for kind, found in told.items() if found]
    return f"{metric}, against {reference} ({base.value:.4f}): {'; '.join(parts)}."


def how_settled(results: Results) -> str:
    """Return one sentence on the tests behind the findings."""
    comparison = results.comparison
    if comparison is None:
        return ""
    n_seeds = len(results.config.seeds)
    agreeing = "one seed alone, so others may differ"
    if n_seeds > 1:
        agreeing = f"the same sign in all {n_seeds} seeds"
    return (
        f"Settled: p below {SIGNIFICANT:g} by the {comparison.config.test} test over "
        f"{comparison.n_users:,} users (swapped lists for measures of all lists together), which holds the "
        "trained models fixed, after Holm's correction over "
        f"{len(comparison.entries) - len(comparison.metrics)} comparisons, and {agreeing}. "
        "In brackets: 95 % intervals of differences, over users."
    )


def _change(variant: str, entry: ComparedMetric, base: ComparedMetric) -> str:
    difference = entry.difference
    if difference is None or math.isnan(difference.value):
        return f"{variant} (no value)"
    share = f", {difference.value / base.value:+.0%}" if base.value else ""
    return f"{variant} {difference.value:+.4f} [{format_range(difference.ci95)}]{share}"


WIDTH, ROW = 3.6, 0.42


@contextmanager
def styled() -> Iterator[None]:
    """Apply the project's plot style within the block."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def dot_plot(results: Results, metrics: Sequence[str], columns: int = 3) -> Figure:
    """Return one panel per metric: each variant's mean, 95 % interval over users, and seeds as small dots.

    The dashed line is the reference.

    Args:
        results: results of a study whose variants were compared.
        metrics: compared metrics to plot.
        columns: number of columns of panels.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(metrics))
    rows = -(-len(metrics) // columns)
    height = 0.9 + ROW * len(results.variants)
    with styled():
        figure = Figure(figsize=(1.4 + WIDTH * columns, rows * height), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, metric in zip(panels, metrics, strict=False):
            _panel(axes, results, metric)
        for axes in panels[len(metrics) :]:
            axes.set_visible(False)
    return figure


def _panel(axes: Axes, results: Results, metric: str) -> None:
    names = [variant.name for variant in results.variants]
    rows = results.summary.filter(pl.col("metric") == metric)
    found = {row["variant"]: row for row in rows.iter_rows(named=True)}
    seeds = (
        {}
        if results.comparison is None
        else {entry.system: entry.seeds for entry in results.comparison.entries if entry.metric == metric}
    )
    for place, name in enumerate(names):
        if name not in found:
            continue
        row = found[name]
        if "low" in row:
            axes.plot([row["low"], row["high"]], [place, place], color=colour(0), linewidth=2.2, alpha=0.55)
        own = seeds.get(name, [])
        axes.plot(own, [place + 0.18] * len(own), ".", color=MUTED, markersize=5)
        axes.plot(row["value"], place, "o", color=colour(0), markersize=7)
    if results.comparison is not None:
        reference = results.comparison.entry(results.comparison.systems[0], metric)
        axes.axvline(reference.value, color=INK, linestyle="--", linewidth=1)
    axes.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5), xlabel=f"{metric} {_arrow(metric)}")
    axes.set_yticklabels([short(name) for name in names])


def _arrow(metric: str) -> str:
    return arrow(split_slice(metric)[1])


def plane_plot(results: Results, diversity: Sequence[str], accuracy: str) -> Figure:
    """Plot accuracy against measures of diversity, one panel each; lines are 95 % intervals over users.

    Args:
        results: results of a study whose variants were compared.
        diversity: measures on the horizontal axes.
        accuracy: metric on the vertical axis.
    """
    from matplotlib.figure import Figure

    names = [variant.name for variant in results.variants]
    with styled():
        figure = Figure(figsize=(1.0 + 4.1 * len(diversity), 4.2), layout="constrained")
        panels = figure.subplots(1, len(diversity), sharey=True, squeeze=False).ravel()
        for axes, measure in zip(panels, diversity, strict=True):
            for place, name in enumerate(names):
                _cross(axes, results, name, measure, accuracy, place)
            axes.set_xlabel(f"{measure} {_arrow(measure)}")
        panels[0].set_ylabel(f"{accuracy} {_arrow(accuracy)}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def _cross(axes: Axes, results: Results, name: str, measure: str, accuracy: str, place: int) -> None:
    own = results.summary.filter(pl.col("variant") == name)
    x, y = (own.filter(pl.col("metric") == metric).row(0, named=True) for metric in (measure, accuracy))
    if "low" in x:
        axes.plot([x["low"], x["high"]], [y["value"]] * 2, color=colour(place), alpha=0.45, linewidth=1.4)
        axes.plot([x["value"]] * 2, [y["low"], y["high"]], color=colour(place), alpha=0.45, linewidth=1.4)
    shade, kind = colour(place), marker(place)
    axes.plot(x["value"], y["value"], kind, color=shade, markersize=8, label=short(name), linestyle="none")


SETTLED = "*"


def show_results(results: Results, note: str) -> None:
    """Print the table of variants: mean ± standard deviation over seeds, intervals, differences."""
    metrics = _metrics(results)
    table = Table(title=f"{results.config.out.name}: {note}", caption=_caption(results), show_lines=True)
    table.add_column("variant")
    for metric in metrics:
        table.add_column(f"{metric} {arrow(split_slice(metric)[1])}".strip(), justify="right")
    for variant in results.variants:
        table.add_row(variant.name, *("\n".join(_cell(results, variant.name, m)) for m in metrics))
    console().print(table, highlight=False)


def markdown(results: Results, note: str, search: Search | None = None) -> str:
    """Return the same as a Markdown page, with one sentence per metric, or with the proposals of a search."""
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
    """Return the table of variants alone, as Markdown."""
    metrics = _metrics(results)
    return "\n".join(_rows(["variant", *metrics], _cells(results, metrics)))


def proposals_table(search: Search) -> list[str]:
    """Return the proposals of a search, the best on validation first, as a Markdown table."""
    sign = -1.0 if search.search.direction == "maximize" else 1.0
    known = [(search.value(proposal), proposal) for proposal in search.assignments()]
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
    """Return value ± standard deviation, interval, and difference from the reference with its p."""
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
        f"{comparison.systems[0]}, Holm-corrected p of the {comparison.config.test} test or, for aggregate "
        "metrics, of the swap test). "
        f"{SETTLED} p below 0.05 and the same sign in all seeds."
    )


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
