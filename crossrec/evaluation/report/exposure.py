"""The plots of who gets shown: inequality of exposure, and popularity of what is recommended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.evaluation.report.content import RecommenderResult
from crossrec.evaluation.report.figures import (
    MUTED,
    Plot,
    canvas,
    colour,
    marker,
    short,
)
from crossrec.evaluation.report.glossary import (
    CUTOFF,
    at_cutoff,
    estimate,
    format_value,
)
from crossrec.types import ABSENT

GROUPS = 10
LORENZ_POINTS = 160


def exposure_counts(ids_QK: np.ndarray, n_items: int) -> np.ndarray:
    """(N,) how often each item stands in the first ``CUTOFF`` places."""
    ids = ids_QK[:, :CUTOFF].ravel()
    return np.bincount(ids[ids != ABSENT], minlength=n_items)


def lorenz(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative shares of items and of exposure, least shown first, as at most ``LORENZ_POINTS`` points."""
    total = np.concatenate([[0], np.cumsum(np.sort(counts))]).astype(float)
    items = np.linspace(0.0, 1.0, len(total))
    # Exposure piles up at the right end: equal steps along the curve, not along the axis.
    length = np.cumsum(np.hypot(np.diff(items, prepend=0), np.diff(total / max(total[-1], 1.0), prepend=0)))
    picked = np.searchsorted(length, np.linspace(0, length[-1], LORENZ_POINTS)).clip(0, len(total) - 1)
    kept = np.unique(np.concatenate([[0], picked, [len(total) - 1]]))
    return items[kept], total[kept] / max(total[-1], 1.0)


def lorenz_plot(results: Sequence[RecommenderResult], n_items: int) -> Plot:
    """Lorenz curves of the recommended items, with the line of evenness.

    Source: Lorenz, "Methods of measuring the concentration of wealth", 1905.
    """
    name = at_cutoff("gini")
    told = []
    with canvas("lorenz", height=4.2) as (axes, drawn):
        axes.plot(
            [0, 1],
            [0, 1],
            color=MUTED,
            linewidth=1.2,
            linestyle="--",
            label="all items alike",
        )
        for i, result in enumerate(results):
            gini = estimate(result.metrics, name)
            label = short(result.name) + (f", Gini {format_value(name, gini.value)}" if gini else "")
            told.append(label)
            items, shares = lorenz(exposure_counts(result.lists.ids, n_items))
            axes.plot(
                items,
                shares,
                color=colour(i),
                label=label,
                linewidth=2.6 if i == 0 else 1.8,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of items, least shown first")
        axes.set_ylabel("share of recommendations")
        axes.legend(loc="upper left")
    return Plot(
        "Exposure",
        f"How evenly the first {CUTOFF} places are shared among all {n_items:,} items; closer to the dashed"
        " line is more even.",
        f"Lorenz curves of exposure: {'; '.join(told)}.",
        drawn[0],
    )


def decile_of(train_counts: np.ndarray) -> np.ndarray:
    """(N,) group of each item, 0 for the tenth of the catalogue with most training clicks."""
    n = len(train_counts)
    group = np.empty(n, dtype=np.int64)
    group[np.argsort(-np.asarray(train_counts), kind="stable")] = np.arange(n) * GROUPS // max(n, 1)
    return group


def decile_shares(counts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(GROUPS,) share of ``counts`` that falls on each popularity group; zeros where there are none."""
    sums = np.bincount(group, weights=counts, minlength=GROUPS)
    return np.asarray(sums / max(float(sums.sum()), 1.0))


def popularity_plot(results: Sequence[RecommenderResult], train_counts: np.ndarray) -> Plot:
    """Share of training clicks and of recommendations by popularity decile of the items."""
    group = decile_of(train_counts)
    places = np.arange(1, GROUPS + 1)
    clicks = decile_shares(train_counts, group)
    told = [f"training clicks {clicks[0]:.0%}"]
    with canvas("popularity", height=4.2) as (axes, drawn):
        axes.bar(places, 100 * clicks, color="#cfd6e2", width=0.8, label="training clicks")
        for i, result in enumerate(results):
            shares = decile_shares(exposure_counts(result.lists.ids, len(train_counts)), group)
            told.append(f"{result.name} {shares[0]:.0%}")
            axes.plot(
                places,
                100 * shares,
                color=colour(i),
                marker=marker(i),
                markersize=5,
                label=short(result.name),
            )
        axes.set(
            xticks=places,
            xlabel="tenth of the items, most clicked first",
            ylabel="share in %",
            ylim=(0, None),
        )
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper right")
    return Plot(
        "Popularity of what is recommended",
        "Above the grey bars: a recommender favours that tenth of the items more than the clicks do.",
        f"Share that falls on the most clicked tenth of the items: {'; '.join(told)}.",
        drawn[0],
    )
