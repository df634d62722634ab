"""What a comparison says, in sentences made of its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crossrec.ablation.grid.results import Results
from crossrec.evaluation.comparison.compare import Entry
from crossrec.evaluation.report.glossary import format_range
from crossrec.evaluation.significance import SIGNIFICANT

HIGHER, LOWER, OPEN = "higher", "lower", "not settled"


def finding(results: Results, variant: str, metric: str) -> str:
    """Whether a variant's metric is ``higher`` or ``lower`` than the reference's, or ``not settled``.

    Settled: p below .05 after Holm's correction over the whole study, and the same sign with every seed.
    """
    if results.comparison is None:
        return OPEN
    own = results.comparison.entry(variant, metric)
    reference = results.comparison.entry(results.comparison.systems[0], metric)
    difference = own.difference
    if difference is None or not difference.p_holm < SIGNIFICANT or not _agree(results, own, reference):
        return OPEN
    return HIGHER if difference.value > 0 else LOWER


def _agree(results: Results, own: Entry, reference: Entry) -> bool:
    """Whether all seeds' differences have one sign; variants of which other seeds are done have no pairs."""
    if results.seeds_of(own.system) != results.seeds_of(reference.system):
        return False
    signs = np.sign(np.array(own.seeds) - np.array(reference.seeds))
    return bool(abs(signs.sum()) == len(signs))


def sentence(results: Results, metric: str, variants: Sequence[str] = ()) -> str:
    """One sentence on a metric: which variants lie above and below the reference, and which are open.

    Args:
        results: with a comparison.
        metric: one of those compared.
        variants: to speak of; all but the reference by default.
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
    """What the words above rest on."""
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


def _change(variant: str, entry: Entry, base: Entry) -> str:
    difference = entry.difference
    if difference is None or math.isnan(difference.value):
        return f"{variant} (no value)"
    share = f", {difference.value / base.value:+.0%}" if base.value else ""
    return f"{variant} {difference.value:+.4f} [{format_range(difference.ci95)}]{share}"
